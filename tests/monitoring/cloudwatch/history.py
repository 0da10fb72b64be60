"""The samples of metrics over time, and what an alarm makes of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from local.cloudwatch.alarm_rules import Metric, MetricStat, State
from tests.monitoring.cloudwatch.metric_alarms import Alarm
from tests.monitoring.cloudwatch.metric_math import Series

Samples = tuple[float, ...]


@dataclass(frozen=True)
class History:
    """The samples of each metric by column. The first column begins at time 0."""

    samples: Mapping[Metric, Sequence[Samples]]
    step: int
    """Seconds of one column."""
    _judged: dict[tuple[str, tuple[Series, ...], State], State] = field(default_factory=dict)
    """States that were found before: most minutes of a day are like others."""
    _values: dict[MetricStat, Series] = field(default_factory=dict)
    """By statistic: item n is the value of the period that ends before column n."""

    def judge(self, alarm: Alarm, *, column: int, current: State) -> State:
        """The state of an alarm at the end of a column."""
        length = alarm.rule.evaluation_range
        series = {
            each: self._series(stat, column=column, length=length)
            for each, stat in alarm.stats.items()
        }
        known = alarm.name, tuple(series.values()), current
        if known not in self._judged:
            self._judged[known] = alarm.judge(series, current)
        return self._judged[known]

    def _series(self, stat: MetricStat, *, column: int, length: int) -> Series:
        """The statistics of the last `length` periods at the end of a column.

        "At the end of minute 6, the alarm is evaluated based on the data from minutes 2 to 6":
        the newest period ends now. Periods are not aligned to the clock.
        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
        """
        columns, rest = divmod(stat.period, self.step)
        assert columns > 0, f"{stat} needs columns of at most {stat.period} s, not {self.step} s"
        assert rest == 0, f"{stat} needs columns that divide {stat.period} s, not {self.step} s"
        values = self._values.get(stat)
        if values is None:
            values = self._values[stat] = self._calculate(stat, columns)
        ends = range(column + 1 - (length - 1) * columns, column + 2, columns)
        return tuple([values[end] if end > 0 else None for end in ends])

    def _calculate(self, stat: MetricStat, columns: int) -> Series:
        """Calculate the values of all periods, each as long as so many columns."""
        cells = self.samples[stat.metric]
        periods = (cells[max(end - columns, 0) : end] for end in range(len(cells) + 1))
        return tuple(
            statistic_of(stat.statistic, [sample for cell in period for sample in cell])
            for period in periods
        )


def statistic_of(name: str, samples: Sequence[float]) -> float | None:
    """Calculate a statistic of the samples of one period; `None` if there are none.

    A percentile is the smallest sample that at least so many percent of all samples do not exceed.
    CloudWatch estimates between samples, so do not let a test depend on smaller differences.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
    """
    if not samples:
        return None
    if name == "Sum":
        return float(sum(samples))
    if name == "Maximum":
        return float(max(samples))
    if name.startswith("p"):
        rank = math.ceil(float(name[1:]) / 100 * len(samples))
        return sorted(samples)[max(rank, 1) - 1]
    raise ValueError(f"statistic {name!r} is not supported: use Sum, Maximum or a percentile")
