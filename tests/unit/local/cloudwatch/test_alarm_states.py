"""Alarm states are set from the newest data points."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.cloudwatch.alarm_states import AlarmStates

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield boto3.client("cloudwatch", region_name="us-east-1")


def put(cloudwatch: Any, minute: int, value: float) -> None:
    """Publish a value at a minute relative to noon."""
    when = datetime.fromtimestamp(NOON + 60 * minute, tz=UTC)
    datum = {"MetricName": "Orders", "Timestamp": when, "Value": value}
    cloudwatch.put_metric_data(Namespace="Shop", MetricData=[datum])


def state(cloudwatch: Any) -> str:
    AlarmStates(cloudwatch, clock=lambda: NOON + 30).step()
    (alarm,) = cloudwatch.describe_alarms()["MetricAlarms"]
    return str(alarm["StateValue"])


def test_an_alarm_is_judged_by_its_newest_periods(cloudwatch: Any) -> None:
    cloudwatch.put_metric_alarm(
        AlarmName="orders",
        Namespace="Shop",
        MetricName="Orders",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=2,
        Threshold=5,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    put(cloudwatch, -2, 9)
    assert state(cloudwatch) == "OK"
    put(cloudwatch, -1, 9)
    assert state(cloudwatch) == "ALARM"
    put(cloudwatch, 0, 1)  # the minute that is still running
    assert state(cloudwatch) == "OK"
