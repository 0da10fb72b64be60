"""Plays a table of metric values against an alarm, as CloudWatch would judge it minute by minute.

    VirtualOnlyBusinesses  0 1 1 0 -
    state                  . . ! ! !

Each column is a period of time. A cell is the sample of that period, `-` where there is none,
`99x20+1x9000` where there are many, and `T`, `T-1` or `T+1` for the alarm's threshold and what is
next to it. A metric without a row has no data. A state is `.` for OK, `!` for ALARM, `?` for
INSUFFICIENT_DATA, as it is at the end of its column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.alarms import Alarm, Line, Metric, State, statistic_of
from local.metric_math import Series

SIGNS = {State.OK: ".", State.ALARM: "!", State.INSUFFICIENT_DATA: "?"}


@dataclass(frozen=True)
class Table:
    """What happens, and the states that an alarm should go through. `step` is seconds, and by
    default the alarm's own period.
    """

    title: str
    rows: str
    step: int | None = None


Samples = tuple[float, ...]


@dataclass(frozen=True)
class History:
    """Samples of metrics by column, the first column from time 0 on."""

    samples: Mapping[Metric, Sequence[Samples]]
    step: int
    """Seconds of one column."""

    def series(self, line: Line, *, column: int, length: int) -> Series:
        """Return the statistics of the `length` periods that end with a column, the oldest first.

        "At the end of minute 6, the alarm is evaluated based on the data from minutes 2 to 6":
        periods end now, they are not aligned to the clock.
        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
        """
        columns = line.period // self.step
        assert columns * self.step == line.period > 0, (
            f"{line} cannot be told in columns of {self.step} s"
        )
        cells = self.samples[line.metric]
        ends = [column + 1 - age * columns for age in range(length - 1, -1, -1)]
        return tuple(
            statistic_of(
                line.statistic,
                [sample for cell in cells[max(end - columns, 0) : max(end, 0)] for sample in cell],
            )
            for end in ends
        )

    def judge(self, alarm: Alarm, *, column: int, current: State) -> State:
        """Say which state an alarm has at the end of a column."""
        length = alarm.rule.evaluation_range
        series = {
            i: self.series(line, column=column, length=length) for i, line in alarm.lines.items()
        }
        return alarm.judge(series, current).state


def cell(text: str, threshold: float) -> Samples:
    """Read the samples of one cell."""
    if text == "-":
        return ()
    samples: list[float] = []
    for part in text.split("+") if "T" not in text else [text]:
        times, _, value = part.rpartition("x")
        relative = value.startswith("T")
        number = float(value[1:] or 0) + threshold if relative else float(value)
        samples += [number] * int(times or 1)
    return tuple(samples)


def labels(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """Name each metric's row: with the dimensions that tell it from others of the same name."""
    named = {}
    for metric in metrics:
        namesakes = [each for each in metrics if each.name == metric.name]
        common = set.intersection(*(set(each.dimensions) for each in namesakes))
        own = [value for name, value in metric.dimensions if (name, value) not in common]
        named[f"{metric.name}[{','.join(own)}]" if own else metric.name] = metric
    assert len(named) == len(metrics)
    return named


def play(alarm: Alarm, table: Table) -> tuple[str, str]:
    """Return the states that the table expects, and those that the alarm goes through."""
    rows = {name: cells for name, *cells in map(str.split, table.rows.strip().splitlines())}
    expected = rows.pop("state")
    named = labels(sorted({line.metric for line in alarm.lines.values()}))
    assert rows.keys() <= named.keys(), f"the alarm looks at {sorted(named)}"
    assert all(len(cells) == len(expected) for cells in rows.values()), "rows differ in length"
    nothing = ["-"] * len(expected)
    history = History(
        {
            metric: [cell(text, alarm.rule.threshold) for text in rows.get(name, nothing)]
            for name, metric in named.items()
        },
        table.step or alarm.period,
    )
    state = State.INSUFFICIENT_DATA
    states = []
    for column in range(len(expected)):
        state = history.judge(alarm, column=column, current=state)
        states.append(SIGNS[state])
    return " ".join(expected), " ".join(states)
