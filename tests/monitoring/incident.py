"""Plays an incident, minute by minute, against all alarms, and says who is told of what."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from local.alarms import Alarm, Metric, State
from local.composite_alarms import CompositeAlarm, Suppression
from tests.monitoring.tables import History, Samples

MINUTE = 60


@dataclass(frozen=True, order=True)
class Told:
    """Somebody was told of an alarm."""

    minute: int
    topic: str
    """The construct id of the topic."""
    alarm: str
    state: State


@dataclass
class Incident:
    """What the metrics are, from minute 0 on. Nothing is published of what is not said here."""

    minutes: int
    samples: dict[Metric, list[Samples]] = field(default_factory=dict)

    def set(
        self,
        metric: Metric,
        value: float | None,
        *,
        start: int = 0,
        end: int | None = None,
        every: int = 1,
    ) -> None:
        """Publish a value from one minute until before another; `None` is no data.

        What is published `every` so many minutes comes in the last one of them.
        """
        row = self.samples.setdefault(metric, [() for _ in range(self.minutes)])
        for minute in range(start, self.minutes if end is None else end):
            row[minute] = () if value is None or (minute + 1) % every else (value,)

    def told(
        self,
        alarms: Mapping[str, Alarm],
        composites: Mapping[str, CompositeAlarm],
        *,
        late: Collection[str] = (),
    ) -> list[Told]:
        """Judge all alarms at the end of each minute, and return who was told of what.

        Those that are `late` see what the others saw a minute before.
        """
        for alarm in alarms.values():
            for line in alarm.lines.values():
                self.samples.setdefault(line.metric, [() for _ in range(self.minutes)])
        history = History(self.samples, MINUTE)
        states = {alarm.name: State.INSUFFICIENT_DATA for alarm in alarms.values()}
        states |= {composite.name: State.INSUFFICIENT_DATA for composite in composites.values()}
        suppressions = {name: Suppression(each) for name, each in composites.items()}
        told = []
        for minute in range(self.minutes):
            for name, alarm in alarms.items():
                before = states[alarm.name]
                column = minute - 1 if name in late else minute
                states[alarm.name] = history.judge(alarm, column=column, current=before)
                if states[alarm.name] is not before:
                    told += _tell(minute, name, alarm.actions, states[alarm.name])
            for name, composite in composites.items():
                states[composite.name] = composite.judge(lambda ref: states[_name(ref)])
                suppressor = composite.suppressor and states[_name(composite.suppressor)]
                acts = suppressions[name].step(
                    minute * MINUTE,
                    states[composite.name],
                    State(suppressor) if suppressor else None,
                )
                if acts:
                    told += _tell(minute, name, composite.actions, acts)
        return told


def _tell(
    minute: int, name: str, actions: Mapping[State, Sequence[str]], state: State
) -> list[Told]:
    return [Told(minute, topic, name, state) for topic in actions.get(state, ())]


def _name(reference: str) -> str:
    """Return the name of an alarm that a template refers to by name or ARN."""
    return reference.replace(".Arn>", ">")
