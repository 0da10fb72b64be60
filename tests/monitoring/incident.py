"""Plays an incident, minute by minute, against all alarms, and records who is told of what."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from lambdas.observability import MetricGroup, MetricName, metrics_of
from local.cloudwatch.alarm_rules import Metric, State
from tests.infra.template import Template
from tests.monitoring.cloudwatch.composite_alarms import Suppression
from tests.monitoring.cloudwatch.history import History, Samples
from tests.monitoring.template_reader import alarms_in, composites_in

MINUTE = 60

# The values of a good day. The cleanup publishes the first ones once per run, the second ones are
# published each minute. Metrics of AWS that are published only when something happens are not
# published at all.
GOOD_CENSUS: Final[Mapping[str, float]] = {
    **dict.fromkeys(metrics_of(MetricGroup.CENSUS, MetricGroup.CLEANUP, MetricGroup.RUN), 0),
    MetricName.REAL_CONNECTIONS: 1000,
    MetricName.ONLINE_BUSINESSES: 800,
    MetricName.CLEANUP_COMPLETED: 1,
}
GOOD_MINUTE: Final[Mapping[str, float]] = {
    **dict.fromkeys(metrics_of(MetricGroup.SOCKETS, MetricGroup.MESSAGES, MetricGroup.FEED), 0),
    "Invocations": 200,
    "Errors": 0,
    "Throttles": 0,
    "Duration": 30,
    "Count": 300,
    "5XXError": 0,
    "Latency": 40,
    "ConnectCount": 10,
    "MessageCount": 200,
    "ExecutionError": 0,
    "ConsumedReadCapacityUnits": 500,
    "ApproximateNumberOfMessagesVisible": 0,
    "IteratorAge": 6_000,
    MetricName.CONNECTED: 10,
    MetricName.TRANSITIONS: 5,
}
GOOD_RUN: Final[Mapping[str, float]] = {MetricName.CANARY_SUCCEEDED: 1}
"""What the canary publishes once per run, which has the interval of the cleanup."""

RARE: Final = {"ReadThrottleEvents", "WriteThrottleEvents", "SystemErrors", "PlannedWork"}


Action = tuple[int, str, State, tuple[str, ...]]
"""The minute of an action, the alarm, its state, and the topics that are told."""


class Incident:
    """The metrics of an environment, which begin as a good day, and its alarms.

    Nothing is published before the minute in which the environment is `deployed`.
    """

    def __init__(self, monitoring: Template, *, minutes: int, deployed: int = 0) -> None:
        self._alarms = alarms_in(monitoring)
        self._composites = composites_in(monitoring)
        self._minutes = minutes
        self._actions_of: dict[frozenset[str], list[Action]] = {}
        """What was found before, by the alarms that are late."""
        self._census_minutes = self._alarms["VirtualWithoutReal"].period // MINUTE
        self._samples: dict[Metric, list[Samples]] = {
            stat.metric: [()] * minutes
            for alarm in self._alarms.values()
            for stat in alarm.stats.values()
        }
        good_day = {**GOOD_CENSUS, **GOOD_RUN, **GOOD_MINUTE, **dict.fromkeys(RARE)}
        for metric in self._samples:
            self._publish(metric, good_day[metric.name], deployed, minutes)

    def _metrics(self, of: str) -> list[Metric]:
        return [metric for metric in self._samples if of in str(metric.dimensions)]

    def _publish(self, metric: Metric, value: float | None, start: int, end: int) -> None:
        self._actions_of.clear()
        is_of_run = metric.name in GOOD_CENSUS or metric.name in GOOD_RUN
        every = self._census_minutes if is_of_run else 1
        for minute in range(start, end):
            due = (minute + 1) % every == 0
            self._samples[metric][minute] = (value,) if due and value is not None else ()

    def during(
        self, start: int, end: int, values: Mapping[str, float | None], *, of: str = ""
    ) -> None:
        """Publish values from minute `start` to before minute `end`; `None` is no data.

        `of` is part of a dimension and selects among metrics of the same name.
        """
        for name, value in values.items():
            found = [metric for metric in self._metrics(of) if metric.name == name]
            assert found, f"no alarm looks at {name} of {of!r}"
            for metric in found:
                self._publish(metric, value, start, end)

    def at(self, minute: int, name: str, value: float) -> None:
        """Publish one more value in one minute."""
        for metric in self._metrics(""):
            if metric.name == name:
                self._samples[metric][minute] = (*self._samples[metric][minute], value)

    def no_census(self, start: int, end: int, *, of: str = "") -> None:
        """Publish nothing of what cleanup runs publish."""
        for metric in self._metrics(of):
            if metric.name in GOOD_CENSUS:
                self._publish(metric, None, start, end)

    def announce_planned_work(self, minute: int) -> None:
        """Do what the runbook's command does."""
        self.during(minute, minute + 1, {"PlannedWork": 1})

    def told(
        self, topic: str, state: State = State.ALARM, *, late: Collection[str] = ()
    ) -> list[tuple[str, int]]:
        """Which alarms tell a topic that they are in a state, and in which minute.

        All alarms are judged at the end of each minute. Those that are `late` see what the others
        saw a minute before.
        """
        known = frozenset(late)
        if known not in self._actions_of:
            self._actions_of[known] = list(self._actions(known))
        return [
            (alarm, minute)
            for minute, alarm, told, topics in self._actions_of[known]
            if told is state and any(each.startswith(f"<{topic}") for each in topics)
        ]

    def _actions(self, late: Collection[str]) -> Iterator[Action]:
        history = History(self._samples, MINUTE)
        names = [each.name for each in self._alarms.values()]
        names += [each.name for each in self._composites.values()]
        states = dict.fromkeys(names, State.INSUFFICIENT_DATA)
        suppressions = {name: Suppression(each) for name, each in self._composites.items()}

        def state_of(reference: str) -> State:
            return states[reference.replace(".Arn>", ">")]

        for minute in range(self._minutes):
            for name, alarm in self._alarms.items():
                before = states[alarm.name]
                column = minute - 1 if name in late else minute
                after = states[alarm.name] = history.judge(alarm, column=column, current=before)
                if after is not before:
                    yield minute, name, after, alarm.actions.get(after, ())
            for name, composite in self._composites.items():
                states[composite.name] = composite.judge(state_of)
                acts = suppressions[name].step(
                    minute * MINUTE,
                    states[composite.name],
                    state_of(composite.suppressor) if composite.suppressor else None,
                )
                if acts:
                    yield minute, name, acts, composite.actions.get(acts, ())
