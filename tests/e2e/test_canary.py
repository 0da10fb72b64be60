"""The deployed canary plays its story against the running APIs, and is counted nowhere."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.sync.client import ClientConnection, connect

from lambdas.domain.identifiers import CANARY
from lambdas.observability import CanaryStep
from lambdas.table_schema import BUSINESS_PREFIX, SETTINGS_KEY
from local.token import access_token
from operations.shared.environment import LOCAL, DeployedEnvironment
from tests.e2e.harness import System, eventually
from tests.e2e.test_telemetry import logged


@pytest.fixture(scope="module")
def token(system: System) -> str:
    """The token of another member of the canary's business."""
    return access_token(system.endpoints, user="e2e-canary", businesses=[CANARY])


def run(system: System) -> dict[str, Any]:
    """Invoke the canary until a run succeeds, and return its report.

    Its schedule may start a run at the same moment, and each ends the other's socket.
    """
    environment = DeployedEnvironment(LOCAL, system=system.endpoints)
    name = environment.output("Service", "CanaryFunctionName")

    def succeeded() -> dict[str, Any] | None:
        answer = system.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        report: dict[str, Any] = json.loads(answer["Payload"].read())
        return report if report.get("succeeded") else None

    return eventually("the canary succeeds", succeeded, seconds=60)


def declare(system: System, token: str, available: bool) -> None:
    path = f"/businesses/{CANARY}/availability"
    answer = system.call("PUT", path, token=token, body={"available": available})
    assert answer.status == 200, answer


@contextmanager
def device(system: System, token: str) -> Iterator[ClientConnection]:
    url = f"{system.endpoints.websocketUrl}?{urlencode({'businessId': CANARY})}"
    with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as opened:
        yield opened


def stored(system: System) -> list[tuple[str, str]]:
    """Return the keys of all items of businesses."""
    pages = system.client("dynamodb").get_paginator("scan")
    return [
        (item["pk"]["S"], item["sk"]["S"])
        for page in pages.paginate(TableName=system.endpoints.tableName)
        for item in page["Items"]
        if item["pk"]["S"].startswith(BUSINESS_PREFIX)
    ]


def test_a_run_plays_every_step_and_leaves_only_settings(system: System) -> None:
    report = run(system)
    assert set(report["milliseconds"]) == set(CanaryStep)
    left = [sort_key for key, sort_key in stored(system) if key == f"{BUSINESS_PREFIX}{CANARY}"]
    assert left == [SETTINGS_KEY]


def test_a_run_begins_by_ending_what_one_that_was_killed_left(system: System, token: str) -> None:
    with device(system, token) as left:
        declare(system, token, True)
        run(system)
        assert "availability.changed" in next(iter(left))
        assert list(left) == [], "it is closed"


def test_it_is_in_no_census_and_no_history(system: System, token: str) -> None:
    """As a killed run leaves it: available, without a device."""
    declare(system, token, True)

    def counted_while_nothing_changed() -> bool:
        before = {key for key, _ in stored(system)}
        report = system.clean_up()
        after = {key for key, _ in stored(system)}
        others = before - {f"{BUSINESS_PREFIX}{CANARY}"}
        return before == after and report["businesses"] == len(others) == len(before) - 1

    eventually("a census counts all others", counted_while_nothing_changed)
    operator = system.token("operator")
    for attention in ("virtual-only", "unreachable"):
        listed = system.call("GET", f"/businesses?attention={attention}", token=operator)
        assert CANARY not in str(listed.body)
    history = system.call("GET", f"/businesses/{CANARY}/history", token=token)
    assert (history.status, history.body["transitions"]) == (200, [])
    needing = [event["message"] for event in logged(system, "needs attention")]
    assert [line for line in needing if CANARY in line] == []
    declare(system, token, False)
