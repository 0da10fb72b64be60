"""The rules for metric alarms: the tables of the CloudWatch user guide.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from typing import Any

import pytest

from local.cloudwatch.alarm_rules import Metric, MetricStat, MissingData, Rule, State, evaluate

OK, ALARM, NO_DATA = State.OK, State.ALARM, State.INSUFFICIENT_DATA
KEPT = "kept"
"""The alarm keeps the state that it has."""


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
    """Read a picture: `X` breaches, `0` does not, `-` is missing; the newest comes last."""
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


PROPERTIES: dict[str, Any] = {
    "Namespace": "Shop",
    "MetricName": "Orders",
    "Dimensions": [{"Name": "worker", "Value": "1"}, {"Name": "environment", "Value": "test"}],
    "Statistic": "Sum",
    "Period": 300,
    "EvaluationPeriods": 3,
    "Threshold": 5,
    "ComparisonOperator": "GreaterThanThreshold",
}


def test_an_alarm_is_read_from_what_the_api_and_templates_write() -> None:
    watched = MetricStat.from_properties(PROPERTIES)
    metric = Metric("Shop", "Orders", (("environment", "test"), ("worker", "1")))
    assert watched == MetricStat(metric, "Sum", 300)
    assert Rule.from_properties(PROPERTIES, [watched]) == Rule(
        comparison="GreaterThanThreshold",
        threshold=5,
        evaluation_periods=3,
        datapoints_to_alarm=3,
        missing_data=MissingData.MISSING,
    )


def test_alarms_on_dynamodb_metrics_ignore_missing_data_whatever_they_are_told() -> None:
    table = {**PROPERTIES, "Namespace": "AWS/DynamoDB", "TreatMissingData": "notBreaching"}
    watched = MetricStat.from_properties(table)
    assert Rule.from_properties(table, [watched]).missing_data is MissingData.IGNORE
