"""CloudWatch's rules for the state of a metric alarm, as pure functions.

The rules are those of two pages of the CloudWatch user guide; the tests of this module are the
tables of the second one.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import ge, gt, le, lt
from typing import Any, Self


class State(StrEnum):
    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class MissingData(StrEnum):
    """How a period without data is treated."""

    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


COMPARISONS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (ge, "greater than or equal to"),
    "GreaterThanThreshold": (gt, "greater than"),
    "LessThanThreshold": (lt, "less than"),
    "LessThanOrEqualToThreshold": (le, "less than or equal to"),
}

# CloudWatch also looks at periods before the evaluation periods, and does not document how many.
# In the tables of the user guide there are two.
EXTRA_PERIODS = 2


@dataclass(frozen=True, order=True)
class Metric:
    """What identifies a metric: each combination of dimension values is a separate metric."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()
    """Sorted by name."""

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Mapping[str, str]) -> Self:
        return cls(namespace, name, tuple(sorted(dimensions.items())))

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> Self:
        """Read `Namespace`, `MetricName` and `Dimensions`, as the API and templates name them."""
        pairs = {each["Name"]: str(each["Value"]) for each in properties.get("Dimensions", ())}
        return cls.of(properties["Namespace"], properties["MetricName"], pairs)


@dataclass(frozen=True)
class MetricStat:
    """One statistic of one metric. `period` is in seconds."""

    metric: Metric
    statistic: str
    period: int

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> Self:
        """Read what an alarm on a single metric watches."""
        statistic = properties.get("Statistic") or properties["ExtendedStatistic"]
        return cls(Metric.from_properties(properties), statistic, properties["Period"])


@dataclass(frozen=True, kw_only=True)
class Rule:
    """ALARM when `datapoints_to_alarm` of the last `evaluation_periods` breach the threshold."""

    comparison: str
    threshold: float
    evaluation_periods: int
    datapoints_to_alarm: int
    missing_data: MissingData

    @classmethod
    def from_properties(
        cls, properties: Mapping[str, Any], watched: Collection[MetricStat]
    ) -> Self:
        """Read the rule of an `AWS::CloudWatch::Alarm` or of a `MetricAlarm` of DescribeAlarms.

        Their properties have the same names:
        https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html
        `watched` is every metric that the alarm looks at.
        """
        missing_data = MissingData(properties.get("TreatMissingData", "missing"))
        if any(stat.metric.namespace == "AWS/DynamoDB" for stat in watched):
            # "Alarms that evaluate metrics in the AWS/DynamoDB namespace always ignore missing data
            # even if you choose a different option", says the API reference of PutMetricAlarm:
            # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
            missing_data = MissingData.IGNORE
        return cls(
            comparison=properties["ComparisonOperator"],
            threshold=properties["Threshold"],
            evaluation_periods=properties["EvaluationPeriods"],
            datapoints_to_alarm=properties.get(
                "DatapointsToAlarm", properties["EvaluationPeriods"]
            ),
            missing_data=missing_data,
        )

    @property
    def evaluation_range(self) -> int:
        """The number of periods that CloudWatch looks at."""
        return self.evaluation_periods + EXTRA_PERIODS

    def breached_by(self, value: float) -> bool:
        return COMPARISONS[self.comparison][0](value, self.threshold)


@dataclass(frozen=True)
class Verdict:
    """The state that an alarm should have, and why."""

    state: State
    reason: str


def evaluate(rule: Rule, series: Sequence[float | None], current: State) -> Verdict:
    """Judge the newest `rule.evaluation_range` periods of a series, oldest first.

    `None` is a period without data. Where CloudWatch keeps an alarm's state, the verdict is the
    `current` one.
    """
    periods = list(series)[-rule.evaluation_range :]
    # Data points from before the evaluation periods replace missing ones. How missing data is
    # treated matters only if there are still too few.
    real = [value for value in periods if value is not None][-rule.evaluation_periods :]
    breaching = sum(rule.breached_by(value) for value in real)
    missing = rule.evaluation_periods - len(real)

    if missing and rule.missing_data is MissingData.BREACHING:
        breaching += missing
    elif missing and rule.missing_data is not MissingData.NOT_BREACHING:
        if not real:
            return _without_data(rule, current)
        if breaching == len(real) and breaching < rule.datapoints_to_alarm:
            return _too_few_breaching(rule, periods, real, current)
    alarm = breaching >= rule.datapoints_to_alarm
    return Verdict(State.ALARM if alarm else State.OK, _crossed(rule, real, breaching, missing))


def _without_data(rule: Rule, current: State) -> Verdict:
    state = current if rule.missing_data is MissingData.IGNORE else State.INSUFFICIENT_DATA
    return Verdict(state, f"Insufficient Data: no datapoints in {rule.evaluation_range} periods")


def _too_few_breaching(
    rule: Rule, periods: Sequence[float | None], real: Sequence[float], current: State
) -> Verdict:
    # "Avoiding premature transitions to alarm state" in the user guide: if all data points breach
    # but are too few, the alarm goes off only when the oldest of them is at least
    # `datapoints_to_alarm` periods old.
    oldest = next(age for age in range(len(periods), 0, -1) if periods[-age] is not None)
    old_enough = oldest >= rule.datapoints_to_alarm
    if old_enough and rule.missing_data is MissingData.MISSING:
        return Verdict(State.ALARM, _crossed(rule, real, len(real), 0))
    return Verdict(current, "Unchanged: too few datapoints to judge")


def _crossed(rule: Rule, real: Sequence[float], breaching: int, missing: int) -> str:
    values = ", ".join(str(value) for value in real)
    filled = f", {missing} missing treated as {rule.missing_data}" if missing else ""
    return (
        f"Threshold Crossed: {breaching} of {rule.evaluation_periods} datapoints [{values}]{filled}"
        f" {'was' if breaching == 1 else 'were'} {COMPARISONS[rule.comparison][1]} the threshold"
        f" ({rule.threshold}); {rule.datapoints_to_alarm} needed for ALARM."
    )
