"""CloudWatch's rules for the state of an alarm on one metric, as a pure function.

The rules are those of "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data"
in the CloudWatch user guide; the tables of the latter are the tests of this module.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import ge, gt, le, lt


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
