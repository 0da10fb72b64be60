"""Tables that say which states an alarm goes through, given the values of its metrics.

    trouble that lasts and ends
    VirtualOnlyBusinesses  0 1 1 0 -
    state                  . . ! ! !

The first line is a title. Each column is a period of time. A cell holds the sample of that period:

- `-`: no sample
- `99x20+1x9000`: many samples, here 99 times 20 and once 9000
- `T`, `T-1`, `T+1`: the alarm's threshold, and the values next to it

A metric without a row has no data. A state is `.` for OK, `!` for ALARM and `?` for
INSUFFICIENT_DATA, as it is at the end of its column.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from local.cloudwatch.alarm_rules import Metric, State
from tests.monitoring.cloudwatch.history import History, Samples
from tests.monitoring.cloudwatch.metric_alarms import Alarm

SIGNS = {State.OK: ".", State.ALARM: "!", State.INSUFFICIENT_DATA: "?"}


@dataclass(frozen=True)
class Table:
    """The values of metrics over time, and the states that an alarm should go through."""

    title: str
    rows: Mapping[str, Sequence[str]]
    """The cells of each row, by the name of the row."""
    step: int | None
    """Seconds of one column; `None` for the alarm's period."""


def tables(text: str, *, step: int | None = None) -> list[Table]:
    """Read tables that are separated by empty lines."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        title, *lines = paragraph.splitlines()
        rows = {name: cells for name, *cells in map(str.split, lines)}
        assert len(rows) == len(lines), f"{title}: a row is there twice"
        assert len(set(map(len, rows.values()))) == 1, f"{title}: rows differ in length"
        found.append(Table(title.strip(), rows, step))
    return found


def play(alarm: Alarm, table: Table) -> tuple[str, str]:
    """The states that the table expects, and those that the alarm goes through."""
    return " ".join(table.rows["state"]), _states(alarm, table, {"state"}, _metrics([alarm]))


def play_all(alarms: Mapping[str, Alarm], table: Table) -> tuple[dict[str, str], dict[str, str]]:
    """The states that the table expects of several alarms, and those they go through.

    The row of an alarm is named after whom it tells: `page:`, `ticket:` or `nobody:` and the
    alarm's name. Alarms that never go off have no row.
    """
    names = {f"{_told(alarm)}:{name}": alarm for name, alarm in alarms.items()}
    metrics = _metrics(alarms.values())
    states = {name: _states(alarm, table, names, metrics) for name, alarm in names.items()}
    expected = {name: " ".join(cells) for name, cells in table.rows.items() if name in names}
    return expected, {name: row for name, row in states.items() if "!" in row}


def _told(alarm: Alarm) -> str:
    topics = " ".join(alarm.actions.get(State.ALARM, ()))
    return "page" if "OnCall" in topics else "ticket" if "Tickets" in topics else "nobody"


def _metrics(alarms: Collection[Alarm]) -> dict[str, Metric]:
    """The metrics that alarms look at, by the name of their row."""
    return row_names({stat.metric for alarm in alarms for stat in alarm.stats.values()})


def _states(
    alarm: Alarm, table: Table, rows_of_alarms: Collection[str], metrics: Mapping[str, Metric]
) -> str:
    """The states that an alarm goes through."""
    assert table.rows.keys() <= {*rows_of_alarms, *metrics}, (
        f"{table.title}: rows must be some of {sorted({*rows_of_alarms, *metrics})}"
    )
    columns = len(next(iter(table.rows.values())))
    history = History(
        {
            metric: [
                samples_in(cell, alarm.rule.threshold)
                for cell in table.rows.get(name, ["-"] * columns)
            ]
            for name, metric in metrics.items()
        },
        table.step or alarm.period,
    )
    state = State.INSUFFICIENT_DATA
    states = []
    for column in range(columns):
        state = history.judge(alarm, column=column, current=state)
        states.append(SIGNS[state])
    return " ".join(states)


def row_names(metrics: Collection[Metric]) -> dict[str, Metric]:
    """Name the row of each metric, adding the dimensions in which namesakes differ."""
    named = {}
    for metric in metrics:
        namesakes = [each for each in metrics if each.name == metric.name]
        common = set.intersection(*(set(each.dimensions) for each in namesakes))
        own = [value for name, value in metric.dimensions if (name, value) not in common]
        named[f"{metric.name}[{','.join(own)}]" if own else metric.name] = metric
    assert len(named) == len(metrics)
    return named


def samples_in(cell: str, threshold: float) -> Samples:
    """Read the samples of one cell."""
    if cell == "-":
        return ()
    if cell.startswith("T"):
        return (threshold + float(cell[1:] or 0),)
    samples: list[float] = []
    for part in cell.split("+"):
        times, _, value = part.rpartition("x")
        samples += [float(value)] * int(times or 1)
    return tuple(samples)
