"""Statistics of the samples of a period, and which periods an alarm looks at."""

import pytest

from local.cloudwatch.alarm_rules import State
from tests.monitoring.cloudwatch.history import History, statistic_of
from tests.monitoring.cloudwatch.metric_alarms import Alarm


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Sum", 5050), ("Maximum", 100), ("p99", 99), ("p50", 50), ("p99.9", 100), ("p0", 1)],
)
def test_statistics_of_the_samples_1_to_100(name: str, expected: float) -> None:
    assert statistic_of(name, [float(n) for n in range(100, 0, -1)]) == expected
    assert statistic_of(name, []) is None


def test_an_unknown_statistic_is_refused() -> None:
    with pytest.raises(ValueError, match="'TM99' is not supported"):
        statistic_of("TM99", [1.0])


def test_an_alarm_looks_at_whole_periods_that_end_with_the_column() -> None:
    alarm = Alarm.from_properties(
        "name",
        {
            "Namespace": "Shop",
            "MetricName": "Orders",
            "Statistic": "Sum",
            "Period": 120,
            "EvaluationPeriods": 1,
            "Threshold": 5,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        },
    )
    (stat,) = alarm.stats.values()
    history = History({stat.metric: [(2.0,), (2.0,), (3.0,), ()]}, step=60)
    states = [history.judge(alarm, column=column, current=State.OK) for column in range(4)]
    assert states == [State.OK, State.OK, State.ALARM, State.OK]
    with pytest.raises(AssertionError, match="columns that divide 120 s, not 50 s"):
        History({}, step=50).judge(alarm, column=0, current=State.OK)
