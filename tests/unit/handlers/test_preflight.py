"""The check before a deployment takes traffic."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas import bootstrap
from lambdas.bootstrap import store
from lambdas.domain.errors import Unavailable
from lambdas.handlers import preflight
from tests.unit.handlers.conftest import Context, Deployed

EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "hook-1"}


@pytest.fixture
def told(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What CodeDeploy was told. `moto` does not know the operation."""
    calls: list[dict[str, Any]] = []

    class CodeDeploy:
        def put_lifecycle_event_hook_execution_status(self, **request: Any) -> None:
            calls.append(request)

    monkeypatch.setattr("boto3.client", lambda _: CodeDeploy())
    return calls


@pytest.fixture(autouse=True)
def _a_store_that_is_there(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambdas.bootstrap.store", lambda: deployed.store)


def test_a_version_that_is_fit_may_take_over(told: list[dict[str, Any]], context: Context) -> None:
    assert preflight.handler(dict(EVENT), context) == {"status": "Succeeded"}
    assert told == [
        {
            "deploymentId": "d-1",
            "lifecycleEventHookExecutionId": "hook-1",
            "status": "Succeeded",
        }
    ]


def test_a_table_that_does_not_answer_now_is_no_fault_of_the_version(
    told: list[dict[str, Any]],
    deployed: Deployed,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In an incident of the table, the version that is refused might be the one that mends it."""

    def fail(*_: object, **__: object) -> None:
        raise Unavailable("the table did not answer")

    monkeypatch.setattr("lambdas.adapters.table.Table.load", fail)
    assert preflight.handler(dict(EVENT), context) == {"status": "Succeeded"}
    assert [request["status"] for request in told] == ["Succeeded"]
    assert "did not answer" in deployed.log_lines[-1]["exception"]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_table_that_says_no_is_a_no(
    told: list[dict[str, Any]],
    deployed: Deployed,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    def query(**_: object) -> None:
        error = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        raise ClientError(error, "Query")  # type: ignore[arg-type] # as much as is looked at

    monkeypatch.setattr(deployed.client, "query", query)
    assert preflight.handler(dict(EVENT), context) == {"status": "Failed"}
    assert [request["status"] for request in told] == ["Failed"]


def test_a_variable_that_is_missing_is_a_no(
    told: list[dict[str, Any]],
    deployed: Deployed,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "store", store)
    monkeypatch.setattr(bootstrap, "_dynamodb", lambda: deployed.client)
    monkeypatch.delenv("TABLE_NAME")
    assert preflight.handler(dict(EVENT), context) == {"status": "Failed"}
    assert [request["status"] for request in told] == ["Failed"]
    assert deployed.log_lines[-1]["exception_name"] == "MissingConfiguration"


def test_a_handler_that_cannot_be_imported_is_a_no(
    told: list[dict[str, Any]], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "HANDLERS", ("nowhere",))
    assert preflight.handler(dict(EVENT), context) == {"status": "Failed"}
    assert [request["status"] for request in told] == ["Failed"]


def test_every_module_with_a_handler_is_looked_at() -> None:
    folder = Path(preflight.__file__).parent
    holding = {
        path.stem
        for path in folder.glob("*.py")
        if "context: LambdaContext" in path.read_text() and path.stem != "telemetry"
    }
    assert holding == {*preflight.HANDLERS, "preflight"}
