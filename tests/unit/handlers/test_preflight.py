"""The check before a deployment takes traffic."""

import sys
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.adapters.table import Table
from lambdas.domain.errors import Unavailable
from lambdas.handlers import preflight
from tests.fakes import raising
from tests.unit.handlers.conftest import HOOK_STATUS, Deployed

EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "hook-1"}


def _verdict(deployed: Deployed) -> str:
    """What the check said of the version, to its caller and to CodeDeploy alike."""
    status: str = deployed.invoke(preflight.handler, dict(EVENT))["status"]
    told = [parameters for operation, parameters in deployed.calls if operation == HOOK_STATUS]
    assert told == [
        {"deploymentId": "d-1", "lifecycleEventHookExecutionId": "hook-1", "status": status}
    ]
    return status


def test_a_working_version_may_take_over(deployed: Deployed) -> None:
    assert _verdict(deployed) == "Succeeded"


def test_a_table_that_does_not_answer_does_not_fail_the_version(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During an outage of the table, the new version may be the one that fixes it."""
    monkeypatch.setattr(Table, "load", raising(Unavailable("the table did not answer")))
    assert _verdict(deployed) == "Succeeded"
    assert "did not answer" in deployed.log_lines[-1]["exception"]


def test_a_table_that_may_not_be_read_fails_the_version(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    error: Any = {
        "Error": {"Code": "AccessDeniedException"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    monkeypatch.setattr(deployed.service.dynamodb, "query", raising(ClientError(error, "Query")))
    assert _verdict(deployed) == "Failed"


def test_a_missing_table_fails_the_version(deployed: Deployed) -> None:
    deployed.environ["TABLE_NAME"] = "another-table"
    assert _verdict(deployed) == "Failed"


def test_a_missing_variable_fails_the_version(deployed: Deployed) -> None:
    del deployed.environ["TABLE_NAME"]
    assert _verdict(deployed) == "Failed"
    assert deployed.log_lines[-1]["exception_name"] == "MissingConfiguration"


def test_a_handler_that_cannot_be_imported_fails_the_version(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lambdas.handlers.websocket", None)
    assert _verdict(deployed) == "Failed"
