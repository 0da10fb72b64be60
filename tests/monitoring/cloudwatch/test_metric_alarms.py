"""Metric alarms are read from templates and judged."""

from typing import Any

import pytest

from local.cloudwatch.alarm_rules import State
from tests.monitoring.cloudwatch.metric_alarms import Alarm
from tests.monitoring.cloudwatch.metric_math import UnsupportedExpression

OK, ALARM, NO_DATA = State.OK, State.ALARM, State.INSUFFICIENT_DATA

RULE: dict[str, Any] = {
    "EvaluationPeriods": 1,
    "Threshold": 5,
    "ComparisonOperator": "GreaterThanThreshold",
}
ON_ONE_METRIC: dict[str, Any] = {
    **RULE,
    "Namespace": "Shop",
    "MetricName": "Orders",
    "Statistic": "Sum",
    "Period": 300,
    "AlarmActions": ["page"],
}


def on_math(*expressions: dict[str, Any], namespace: str = "Shop", **changes: Any) -> Alarm:
    """Build an alarm on expressions of the metrics `a` and `b`."""
    metrics = [
        {
            "Id": name,
            "ReturnData": False,
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": name.upper()},
                "Period": 300,
                "Stat": "Maximum",
            },
        }
        for name in ("a", "b")
    ]
    return Alarm.from_properties("name", {**RULE, "Metrics": [*metrics, *expressions], **changes})


def test_an_alarm_on_one_metric() -> None:
    alarm = Alarm.from_properties("name", ON_ONE_METRIC)
    (watched,) = alarm.stats
    assert alarm.judge({watched: (6.0,)}, OK) is ALARM
    assert alarm.judge({watched: (5.0,)}, OK) is OK
    assert alarm.actions == {ALARM: ("page",), OK: (), NO_DATA: ()}


def test_an_alarm_whose_actions_are_off_tells_nobody() -> None:
    assert Alarm.from_properties("name", {**ON_ONE_METRIC, "ActionsEnabled": False}).actions == {}


def test_an_alarm_on_math_watches_the_one_result_that_is_returned() -> None:
    alarm = on_math(
        {"Id": "share", "Expression": "100 * part", "ReturnData": True},
        {"Id": "part", "Expression": "a / (a + b)", "ReturnData": False},
    )
    assert alarm.series({"a": (1.0, 1.0, None), "b": (3.0, None, None)}) == (25.0, 100.0, None)
    assert alarm.judge({"a": (1.0,), "b": (3.0,)}, OK) is ALARM


def test_an_alarm_on_math_of_dynamodb_metrics_ignores_missing_data() -> None:
    alarm = on_math(
        {"Id": "sum", "Expression": "a + b"},
        namespace="AWS/DynamoDB",
        TreatMissingData="notBreaching",
    )
    assert alarm.judge({"a": (None,), "b": (None,)}, ALARM) is ALARM


@pytest.mark.parametrize(
    "expressions",
    [
        (),
        ({"Id": "e", "Expression": "a + c"},),
        ({"Id": "e", "Expression": "a"}, {"Id": "f", "Expression": "b"}),
    ],
)
def test_math_that_cannot_be_calculated_is_refused(expressions: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(UnsupportedExpression):
        on_math(*expressions).series({"a": (1.0,), "b": (1.0,)})
