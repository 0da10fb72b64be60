"""Metrics and logs of real invocations, as on-call sees them."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.harness import Business, System, eventually

HOUR = 3600


def metric(system: System, name: str, statistic: str) -> float | None:
    now = time.time()
    answer = system.client("cloudwatch").get_metric_statistics(
        Namespace="BusinessConnections",
        MetricName=name,
        Dimensions=[{"Name": "environment", "Value": "local"}],
        StartTime=datetime.fromtimestamp(now - HOUR, tz=UTC),
        EndTime=datetime.fromtimestamp(now + HOUR, tz=UTC),
        Period=2 * HOUR,
        Statistics=[statistic],
    )
    values = [point[statistic] for point in answer["Datapoints"]]
    return sum(values) if values else None


def logged(system: System, containing: str = "") -> list[dict[str, Any]]:
    pattern = {"filterPattern": f'"{containing}"'} if containing else {}
    logs = system.client("logs")
    pages = logs.get_paginator("describe_log_groups").paginate()
    return [
        {"group": group["logGroupName"], **event}
        for page in pages
        for group in page["logGroups"]
        for event in logs.filter_log_events(logGroupName=group["logGroupName"], **pattern)["events"]
    ]


@pytest.mark.parametrize("name", ["Connected", "Disconnected"])
def test_connecting_and_disconnecting_is_counted(
    system: System, business: Business, name: str
) -> None:
    before = metric(system, name, "Sum") or 0
    with business.socket():
        pass
    eventually("the metric grows", lambda: (metric(system, name, "Sum") or 0) > before)


def test_a_cleanup_publishes_its_census(system: System, business: Business) -> None:
    before = metric(system, "CleanupCompleted", "Sum") or 0
    business.set_available(True)
    with business.socket():
        system.clean_up()
        eventually(
            "the run is counted",
            lambda: (metric(system, "CleanupCompleted", "Sum") or 0) > before,
        )
        assert (metric(system, "RealConnections", "Maximum") or 0) >= 1
        assert (metric(system, "VirtualConnections", "Maximum") or 0) >= 1
        assert (metric(system, "OnlineBusinesses", "Maximum") or 0) >= 1
        assert metric(system, "StaleRealRemoved", "Sum") is not None


def test_no_token_is_logged(system: System, business: Business) -> None:
    with business.socket():
        business.status()
    eventually(
        "the authorizer has logged something",
        lambda: any("Authorizer" in event["group"] for event in logged(system)),
    )
    assert [event for event in logged(system) if "eyJ" in event["message"]] == []


def test_logs_name_the_business_and_the_connection(system: System, business: Business) -> None:
    with business.socket() as device:

        def line_of_the_connection() -> bool:
            return any(
                business.id in event["message"] and device.connection_id in event["message"]
                for event in logged(system)
            )

        eventually("the connection is logged", line_of_the_connection)
