"""Metric alarms as templates define them: on one metric or on metric math, with their actions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from local.cloudwatch.alarm_rules import Metric, MetricStat, Rule, State, evaluate
from tests.monitoring.cloudwatch.metric_math import Series, UnsupportedExpression, calculate

Actions = Mapping[State, tuple[str, ...]]
"""The topics that are told when an alarm goes into a state."""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A metric alarm: what decides its state, and whom it tells."""

    name: str
    rule: Rule
    period: int
    """Seconds of one data point."""
    stats: Mapping[str, MetricStat]
    """The metrics that it looks at, by id."""
    expressions: Mapping[str, str]
    """Metric math on these metrics, by id."""
    watched: str
    """The id of the metric or expression that is compared with the threshold."""
    actions: Actions

    @classmethod
    def from_properties(cls, name: str, properties: Mapping[str, Any]) -> Self:
        """Read an `AWS::CloudWatch::Alarm` whose references are resolved."""
        queries = properties.get("Metrics", ())
        stats = {
            query["Id"]: MetricStat(
                Metric.from_properties(query["MetricStat"]["Metric"]),
                query["MetricStat"]["Stat"],
                query["MetricStat"]["Period"],
            )
            for query in queries
            if "MetricStat" in query
        } or {"metric": MetricStat.from_properties(properties)}
        watched = [query["Id"] for query in queries if query.get("ReturnData", True)]
        if queries and len(watched) != 1:
            raise UnsupportedExpression(f"{name} must watch one time series, not {watched}")
        (period,) = {stat.period for stat in stats.values()}
        return cls(
            name=name,
            rule=Rule.from_properties(properties, stats.values()),
            period=period,
            stats=stats,
            expressions={
                query["Id"]: query["Expression"] for query in queries if "Expression" in query
            },
            watched=watched[0] if queries else "metric",
            actions=actions_in(properties),
        )

    def series(self, metrics: Mapping[str, Series]) -> Series:
        """What is compared with the threshold, from a series for each of `stats`.

        Raises `UnsupportedExpression`.
        """

        def series_of(each: str) -> Series:
            if each in metrics:
                return metrics[each]
            if each in self.expressions:
                return calculate(self.expressions[each], series_of)
            raise UnsupportedExpression(f"{self.name} has no metric or expression {each!r}")

        return series_of(self.watched)

    def judge(self, metrics: Mapping[str, Series], current: State) -> State:
        """The state that it should have, from a series for each of `stats`."""
        return evaluate(self.rule, self.series(metrics), current).state


def actions_in(properties: Mapping[str, Any]) -> Actions:
    """Read the actions of an alarm, which may be a composite one."""
    if not properties.get("ActionsEnabled", True):
        return {}
    return {
        State.ALARM: tuple(properties.get("AlarmActions", ())),
        State.OK: tuple(properties.get("OKActions", ())),
        State.INSUFFICIENT_DATA: tuple(properties.get("InsufficientDataActions", ())),
    }
