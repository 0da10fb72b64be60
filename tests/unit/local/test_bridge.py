"""The bridges: alarm states by CloudWatch's rules, and what happens when a bridge fails."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.bridge import AlarmStates, keep_running

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield boto3.client("cloudwatch", region_name="us-east-1")


def put(cloudwatch: Any, name: str, minute: int, value: float) -> None:
    """Publish a value of a minute relative to noon."""
    when = datetime.fromtimestamp(NOON + 60 * minute, tz=UTC)
    datum = {"MetricName": name, "Timestamp": when, "Value": value}
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
    put(cloudwatch, "Orders", -2, 9)
    assert state(cloudwatch) == "OK"
    put(cloudwatch, "Orders", -1, 9)
    assert state(cloudwatch) == "ALARM"
    put(cloudwatch, "Orders", 0, 1)  # the running minute counts as soon as it has data
    assert state(cloudwatch) == "OK"


def test_an_alarm_on_metric_math_is_judged_by_the_result(cloudwatch: Any) -> None:
    cloudwatch.put_metric_alarm(
        AlarmName="share",
        EvaluationPeriods=1,
        Threshold=50,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
        Metrics=[
            {"Id": "share", "Expression": "100 * lost / orders", "ReturnData": True},
            *(
                {
                    "Id": name.lower(),
                    "ReturnData": False,
                    "MetricStat": {
                        "Metric": {"Namespace": "Shop", "MetricName": name},
                        "Period": 60,
                        "Stat": "Sum",
                    },
                }
                for name in ("Lost", "Orders")
            ),
        ],
    )
    put(cloudwatch, "Lost", -1, 5)
    put(cloudwatch, "Orders", -1, 10)
    assert state(cloudwatch) == "OK"
    put(cloudwatch, "Lost", -1, 1)
    assert state(cloudwatch) == "ALARM"


def test_a_bridge_logs_an_error_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    calls = 0

    def step() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("the emulator did not answer")
        stop.set()

    with caplog.at_level(logging.ERROR):
        keep_running(step, every=0, stop=stop)
    assert calls == 2
    assert "the emulator did not answer" in caplog.text
