"""CloudWatch's rules for the state of an alarm on a metric, or on metric math, as pure functions.

The rules are those of "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data"
in the CloudWatch user guide; the tables of the latter are the tests of this module.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import ge, gt, le, lt
from typing import Any, Self

from local import metric_math
from local.metric_math import Series, UnsupportedExpression


class State(StrEnum):
    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class MissingData(StrEnum):
    """What a period without data counts as."""

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

# CloudWatch looks further back than the evaluation periods and does not document how far; in the
# user guide's tables it is two periods more.
EXTRA_PERIODS = 2


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When an alarm goes off: `datapoints_to_alarm` breaching ones of `evaluation_periods`."""

    comparison: str
    threshold: float
    evaluation_periods: int
    datapoints_to_alarm: int
    missing_data: MissingData

    @property
    def evaluation_range(self) -> int:
        """How many periods are looked at."""
        return self.evaluation_periods + EXTRA_PERIODS

    def breached_by(self, value: float) -> bool:
        return COMPARISONS[self.comparison][0](value, self.threshold)


@dataclass(frozen=True, order=True)
class Metric:
    """What identifies a metric: each combination of dimensions is a metric of its own."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()
    """Sorted by name."""

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Mapping[str, str]) -> Self:
        return cls(namespace, name, tuple(sorted(dimensions.items())))

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> Self:
        """Read what the API and a template call `Namespace`, `MetricName` and `Dimensions`."""
        pairs = {each["Name"]: str(each["Value"]) for each in properties.get("Dimensions", ())}
        return cls.of(properties["Namespace"], properties["MetricName"], pairs)


@dataclass(frozen=True)
class Line:
    """One statistic of one metric, as an alarm or a graph looks at it. `period` is seconds."""

    metric: Metric
    statistic: str
    period: int


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A metric alarm, with all that decides its state and whom it tells."""

    name: str
    description: str = ""
    rule: Rule
    period: int
    """Seconds of one data point."""
    lines: Mapping[str, Line]
    """The metrics that it looks at, by id."""
    expressions: Mapping[str, str] = field(default_factory=dict)
    """Metric math on them, by id."""
    watched: str
    """The id of the metric or expression that is compared with the threshold."""
    actions: Mapping[State, tuple[str, ...]] = field(default_factory=dict)
    """Whom it tells when it goes into a state."""

    @classmethod
    def from_properties(cls, name: str, properties: Mapping[str, Any]) -> Self:
        """Read an `AWS::CloudWatch::Alarm`, its references resolved, or a `MetricAlarm` of
        DescribeAlarms: their properties have the same names.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html
        """
        lines, expressions, watched = _queries(properties)
        (period,) = {line.period for line in lines.values()}
        periods = properties["EvaluationPeriods"]
        missing_data = MissingData(properties.get("TreatMissingData", "missing"))
        if any(line.metric.namespace == "AWS/DynamoDB" for line in lines.values()):
            # "Alarms that evaluate metrics in the AWS/DynamoDB namespace always ignore missing data
            # even if you choose a different option", says the API reference of PutMetricAlarm.
            missing_data = MissingData.IGNORE
        return cls(
            name=name,
            description=properties.get("AlarmDescription", ""),
            rule=Rule(
                comparison=properties["ComparisonOperator"],
                threshold=properties["Threshold"],
                evaluation_periods=periods,
                datapoints_to_alarm=properties.get("DatapointsToAlarm", periods),
                missing_data=missing_data,
            ),
            period=period,
            lines=lines,
            expressions=expressions,
            watched=watched,
            actions=actions_in(properties),
        )

    def series(self, metrics: Mapping[str, Series]) -> Series:
        """Calculate what is compared with the threshold from a series for each of `lines`."""
        results: dict[str, Series] = dict(metrics)
        pending = dict(self.expressions)
        while pending:
            ready = [i for i, text in pending.items() if metric_math.ids_in(text) <= results.keys()]
            if not ready:
                raise UnsupportedExpression(f"unknown ids in {pending}")
            for each in ready:
                results[each] = metric_math.calculate(
                    pending.pop(each), metric_math.Metrics(metrics, self.period, results)
                )
        return results[self.watched]

    def judge(self, metrics: Mapping[str, Series], current: State) -> "Verdict":
        """Say which state it should have, by a series for each of `lines`."""
        return evaluate(self.rule, self.series(metrics), current)


def actions_in(properties: Mapping[str, Any]) -> Mapping[State, tuple[str, ...]]:
    """Read whom an alarm, composite ones included, tells of each state."""
    if not properties.get("ActionsEnabled", True):
        return {}
    return {
        State.ALARM: tuple(properties.get("AlarmActions", ())),
        State.OK: tuple(properties.get("OKActions", ())),
        State.INSUFFICIENT_DATA: tuple(properties.get("InsufficientDataActions", ())),
    }


def _queries(properties: Mapping[str, Any]) -> tuple[dict[str, Line], dict[str, str], str]:
    if not properties.get("Metrics"):
        statistic = properties.get("Statistic") or properties["ExtendedStatistic"]
        line = Line(Metric.from_properties(properties), statistic, properties["Period"])
        return {"m": line}, {}, "m"
    lines: dict[str, Line] = {}
    expressions: dict[str, str] = {}
    watched = []
    for query in properties["Metrics"]:
        if query.get("ReturnData", True):
            watched.append(query["Id"])
        if stat := query.get("MetricStat"):
            metric = Metric.from_properties(stat["Metric"])
            lines[query["Id"]] = Line(metric, stat["Stat"], stat["Period"])
        else:
            expressions[query["Id"]] = query["Expression"]
    if len(watched) != 1:
        raise UnsupportedExpression(f"an alarm watches one time series, not {watched}")
    return lines, expressions, watched[0]


def statistic_of(name: str, samples: Sequence[float]) -> float | None:
    """Calculate a statistic of the samples of one period; `None` if there are none.

    A percentile is the smallest sample that so many percent of all samples do not exceed.
    CloudWatch estimates between samples, so let no test depend on less than one of them.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
    """
    if not samples:
        return None
    if name in _STATISTICS:
        return float(_STATISTICS[name](samples))
    if name.startswith("p"):
        rank = math.ceil(float(name[1:]) / 100 * len(samples))
        return sorted(samples)[max(rank, 1) - 1]
    raise UnsupportedExpression(f"statistic {name}")


_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Minimum": min,
    "Maximum": max,
    "Average": lambda samples: sum(samples) / len(samples),
    "SampleCount": len,
}


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
    # The newest real data points, also from before the evaluation periods: only where these are too
    # few does it matter what a missing one counts as.
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
    # "Avoiding premature transitions to alarm state": breaching data points alone, too few
    # of them, raise the alarm only when the oldest is as many periods old as ones are needed.
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
