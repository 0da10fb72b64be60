"""The rules of metric alarms, as the tables of the CloudWatch user guide show them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from typing import Any

import pytest

from local.alarms import (
    Alarm,
    Line,
    Metric,
    MissingData,
    Rule,
    State,
    evaluate,
    statistic_of,
)
from local.metric_math import UnsupportedExpression

OK, ALARM, NO_DATA = State.OK, State.ALARM, State.INSUFFICIENT_DATA
KEPT = "kept"


def rule(
    *,
    missing_data: MissingData,
    periods: int = 3,
    datapoints: int = 3,
    comparison: str = "GreaterThanThreshold",
) -> Rule:
    return Rule(
        comparison=comparison,
        threshold=5.0,
        evaluation_periods=periods,
        datapoints_to_alarm=datapoints,
        missing_data=missing_data,
    )


def series(picture: str) -> list[float | None]:
    """`X` breaches, `0` does not, `-` is missing; the newest is the last."""
    return [{"X": 6.0, "0": 1.0, "-": None}[sign] for sign in picture.split()]


def assert_verdicts(picture: str, datapoints: int, *expected: State | str) -> None:
    treatments = (
        MissingData.MISSING,
        MissingData.IGNORE,
        MissingData.BREACHING,
        MissingData.NOT_BREACHING,
    )
    for treatment, state in zip(treatments, expected, strict=True):
        judged = rule(missing_data=treatment, datapoints=datapoints)
        for current in State:
            wanted = current if state == KEPT else state
            verdict = evaluate(judged, series(picture), current)
            assert verdict.state == wanted, f"{picture!r}, {treatment}, now {current}: {verdict}"


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ("0 - X - X", (OK, OK, OK, OK)),
        ("- - - - 0", (OK, OK, OK, OK)),
        ("- - - - -", (NO_DATA, KEPT, ALARM, OK)),
        ("0 X X - X", (ALARM, ALARM, ALARM, ALARM)),
        ("- - X - -", (ALARM, KEPT, ALARM, OK)),
    ],
)
def test_three_of_three_datapoints(picture: str, expected: tuple[State | str, ...]) -> None:
    assert_verdicts(picture, 3, *expected)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ("0 - X - X", (ALARM, ALARM, ALARM, ALARM)),
        ("0 0 X 0 X", (ALARM, ALARM, ALARM, ALARM)),
        ("0 - X - -", (OK, OK, ALARM, OK)),
        ("- - - - 0", (OK, OK, ALARM, OK)),
        ("- - - X -", (ALARM, KEPT, ALARM, OK)),
    ],
)
def test_two_of_three_datapoints(picture: str, expected: tuple[State | str, ...]) -> None:
    assert_verdicts(picture, 2, *expected)


@pytest.mark.parametrize("picture", ["- - - - X", "- - - X -"])
def test_a_fresh_breaching_datapoint_alone_does_not_raise_the_alarm_yet(picture: str) -> None:
    judged = rule(missing_data=MissingData.MISSING)
    assert evaluate(judged, series(picture), OK).state is OK


def test_data_older_than_the_evaluation_range_does_not_count() -> None:
    judged = rule(missing_data=MissingData.BREACHING, periods=1, datapoints=1)
    assert evaluate(judged, series("0 - - -"), OK).state is ALARM
    assert evaluate(judged, series("0 - -"), OK).state is OK


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        ("GreaterThanThreshold", {6.0}),
        ("GreaterThanOrEqualToThreshold", {5.0, 6.0}),
        ("LessThanThreshold", {4.0}),
        ("LessThanOrEqualToThreshold", {4.0, 5.0}),
    ],
)
def test_comparisons_at_the_threshold_of_five(comparison: str, breaching: set[float]) -> None:
    judged = rule(missing_data=MissingData.MISSING, periods=1, datapoints=1, comparison=comparison)
    raised = {v for v in (4.0, 5.0, 6.0) if evaluate(judged, [v], OK).state is ALARM}
    assert raised == breaching


def test_the_reason_tells_the_datapoints_and_the_threshold() -> None:
    judged = rule(missing_data=MissingData.NOT_BREACHING, datapoints=2)
    reason = evaluate(judged, series("- - X - X"), OK).reason
    assert "2 of 3 datapoints [6.0, 6.0]" in reason
    assert "1 missing treated as notBreaching" in reason
    assert "greater than the threshold (5.0)" in reason


ON_ONE_METRIC: dict[str, Any] = {
    "AlarmDescription": "[test] Somebody should look.",
    "Namespace": "Shop",
    "MetricName": "Orders",
    "Dimensions": [{"Name": "worker", "Value": "1"}, {"Name": "environment", "Value": "test"}],
    "Statistic": "Sum",
    "Period": 300,
    "EvaluationPeriods": 3,
    "Threshold": 5,
    "ComparisonOperator": "GreaterThanThreshold",
    "AlarmActions": ["page"],
}


def on_math(*expressions: dict[str, Any], **changes: Any) -> Alarm:
    """An alarm on `a` and `b` of five minutes, and on expressions of them."""
    metrics = [
        {
            "Id": name,
            "ReturnData": False,
            "MetricStat": {
                "Metric": {"Namespace": "Shop", "MetricName": name.upper()},
                "Period": 300,
                "Stat": "Maximum",
            },
        }
        for name in ("a", "b")
    ]
    kept = {k: v for k, v in ON_ONE_METRIC.items() if k in ("Threshold", "ComparisonOperator")}
    properties = {**kept, "EvaluationPeriods": 1, "Metrics": [*metrics, *expressions], **changes}
    return Alarm.from_properties("name", properties)


def test_an_alarm_on_one_metric_is_read_as_the_api_and_a_template_write_it() -> None:
    alarm = Alarm.from_properties("name", ON_ONE_METRIC)
    metric = Metric("Shop", "Orders", (("environment", "test"), ("worker", "1")))
    (line,) = alarm.lines.values()
    assert line == Line(metric, "Sum", 300)
    assert alarm.rule == Rule(
        comparison="GreaterThanThreshold",
        threshold=5,
        evaluation_periods=3,
        datapoints_to_alarm=3,
        missing_data=MissingData.MISSING,
    )
    assert alarm.actions == {ALARM: ("page",), OK: (), NO_DATA: ()}
    assert alarm.judge({alarm.watched: tuple(series("X X X"))}, OK).state is ALARM


def test_an_alarm_whose_actions_are_off_tells_nobody() -> None:
    assert Alarm.from_properties("name", {**ON_ONE_METRIC, "ActionsEnabled": False}).actions == {}


def test_an_alarm_on_math_watches_the_one_result_that_is_returned() -> None:
    alarm = on_math(
        {"Id": "share", "Expression": "100 * part", "ReturnData": True},
        {"Id": "part", "Expression": "a / (a + b)", "ReturnData": False},
    )
    assert alarm.series({"a": (1.0, 1.0, None), "b": (3.0, None, None)}) == (25.0, 100.0, None)
    assert alarm.judge({"a": (1.0,), "b": (3.0,)}, OK).state is ALARM


@pytest.mark.parametrize(
    "expressions",
    [
        (),
        ({"Id": "e", "Expression": "a + c"},),
        ({"Id": "e", "Expression": "f + a"}, {"Id": "f", "Expression": "e", "ReturnData": False}),
        ({"Id": "e", "Expression": "a"}, {"Id": "f", "Expression": "b"}),
    ],
)
def test_math_that_cannot_be_calculated_is_refused(expressions: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(UnsupportedExpression):
        on_math(*expressions).series({"a": (1.0,), "b": (1.0,)})


def test_alarms_on_the_table_ignore_missing_data_whatever_they_say() -> None:
    table = {**ON_ONE_METRIC, "Namespace": "AWS/DynamoDB", "TreatMissingData": "notBreaching"}
    assert Alarm.from_properties("name", table).rule.missing_data is MissingData.IGNORE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sum", 5050),
        ("Minimum", 1),
        ("Maximum", 100),
        ("Average", 50.5),
        ("SampleCount", 100),
        ("p99", 99),
        ("p50", 50),
        ("p99.9", 100),
        ("p0", 1),
    ],
)
def test_statistics_of_the_samples_1_to_100(name: str, expected: float) -> None:
    assert statistic_of(name, [float(n) for n in range(100, 0, -1)]) == expected
    assert statistic_of(name, []) is None


def test_an_unknown_statistic_is_refused() -> None:
    with pytest.raises(UnsupportedExpression):
        statistic_of("TM99", [1.0])
