"""The tools of the local system, as a person calls them."""

import fcntl
import time
from pathlib import Path

import jwt
import pytest

from lambdas.adapters.table import Table
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention, Episode
from local.token import access_token
from tests.e2e.harness import Business, System


def test_the_token_tool_prints_a_token_and_nothing_else(system: System) -> None:
    done = system.run_tool(
        *("local.token", "--business", "b1", "--business", "b2"),
        *("--user", "e2e-tool", "--scope", "operator"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    claims = jwt.decode(done.stdout.strip(), options={"verify_signature": False})
    assert claims["username"] == "e2e-tool"
    assert set(claims["cognito:groups"]) == {"business:b1", "business:b2", "operator"}


def test_a_token_has_only_what_was_asked_for_this_time(system: System) -> None:
    access_token(system.endpoints, user="e2e-again", businesses=["b1"])
    token = access_token(system.endpoints, user="e2e-again", businesses=["b2"])
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["cognito:groups"] == ["business:b2"]


def test_a_token_without_a_business_and_a_role_is_refused(system: System) -> None:
    done = system.run_tool("local.token", "--user", "e2e-nobody")
    assert (done.returncode, done.stdout) == (2, "")
    assert "BUSINESS=" in done.stderr
    assert "SCOPE=operator" in done.stderr


@pytest.mark.parametrize("tool", ["local.token", "local.demo"])
def test_a_tool_says_that_no_system_is_running(system: System, tmp_path: Path, tool: str) -> None:
    done = system.run_tool(tool, LOCAL_STATE=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "make run" in done.stderr


def test_the_demo_names_businesses_that_keep_its_alarm_busy_and_says_how_to_end_it(
    system: System, business: Business
) -> None:
    business.set_available(True)
    table = Table(system.client("dynamodb"), system.endpoints.tableName)
    before = table.load(BusinessId(business.id))
    table.mark_episode(before, Episode(Attention.VIRTUAL_ONLY, int(time.time())))
    done = system.run_tool("local.demo")
    business.set_available(False)
    assert done.returncode == 1
    assert f"make -s token BUSINESS={business.id}" in done.stderr
    assert f"{system.endpoints.restUrl}/businesses/{business.id}/availability" in done.stderr


def test_a_busy_port_is_one_clear_line(system: System, tmp_path: Path) -> None:
    done = system.run_tool("local.run", LOCAL_STATE=str(tmp_path), LOCAL_PORT=str(system.port))
    assert done.returncode == 2
    assert "LOCAL_PORT" in done.stderr
    assert str(system.port) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_second_system_says_where_the_first_one_is_and_leaves_it_alone(system: System) -> None:
    done = system.run_tool("local.run", LOCAL_PORT=str(system.port))
    assert done.returncode == 2
    assert f"already running: console {system.endpoints.consoleUrl}" in done.stderr
    assert system.endpoints.restUrl in done.stderr
    assert "LOCAL_STATE" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (system.state / "endpoints.json").exists()


def test_a_second_system_is_told_that_the_first_one_is_not_ready(
    system: System, tmp_path: Path
) -> None:
    with (tmp_path / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = system.run_tool("local.run", LOCAL_STATE=str(tmp_path))
    assert done.returncode == 2
    assert "is starting or stopping" in done.stderr
    assert done.stderr.count("\n") == 1


def test_dynamodb_removes_expired_items(system: System) -> None:
    setting = system.client("dynamodb").describe_time_to_live(TableName=system.endpoints.tableName)
    assert setting["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "ttl",
    }
