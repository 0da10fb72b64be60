"""The deployed canary plays its story against the running APIs, and is counted nowhere."""

import json
from typing import Any

import pytest

from lambdas.domain.identifiers import CANARY
from lambdas.observability import CanaryStep
from lambdas.table_schema import BUSINESS_PREFIX, SETTINGS_KEY
from local.token import access_token
from operations.shared.environment import LOCAL, DeployedEnvironment
from tests.e2e.harness import Business, System, eventually
from tests.e2e.test_telemetry import logged


@pytest.fixture(scope="module")
def shop(system: System) -> Business:
    """The canary's business, with the token of another member of it."""
    token = access_token(system.endpoints, user="e2e-canary", businesses=[CANARY])
    return Business(system, (CANARY, token))


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


def stored(system: System) -> list[tuple[str, str]]:
    """The keys of all items of businesses."""
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


def test_a_run_begins_by_ending_what_one_that_was_killed_left(
    system: System, shop: Business
) -> None:
    with shop.handshake() as left:
        shop.set_available(True)
        run(system)
        assert "availability.changed" in next(iter(left))
        assert list(left) == [], "it is closed"


def test_it_is_in_no_census_and_no_history(system: System, shop: Business) -> None:
    """As a killed run leaves it: available, without a device."""
    shop.set_available(True)

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
    history = shop.call("GET", "history")
    assert (history.status, history.body["transitions"]) == (200, [])
    needing = [event["message"] for event in logged(system, "needs attention")]
    assert [line for line in needing if CANARY in line] == []
    shop.set_available(False)
