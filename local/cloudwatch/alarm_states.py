"""Sets the state of each alarm in MiniStack by CloudWatch's rules."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from local.cloudwatch.alarm_rules import MetricStat, Rule, State, evaluate

logger = logging.getLogger(__name__)


class AlarmStates:
    """Sets the states of metric alarms. MiniStack sends an alarm's actions when its state changes.

    Every alarm must watch a single metric: MiniStack does not support metric math in alarms.
    """

    def __init__(self, cloudwatch: Any, clock: Callable[[], float] = time.time) -> None:
        self._cloudwatch = cloudwatch
        self._clock = clock

    def step(self) -> None:
        """Judge each alarm once, and set the states that changed."""
        pages = self._cloudwatch.get_paginator("describe_alarms")
        for page in pages.paginate(AlarmTypes=["MetricAlarm"]):
            for alarm in page["MetricAlarms"]:
                self._judge(alarm)

    def _judge(self, alarm: Mapping[str, Any]) -> None:
        watched = MetricStat.from_properties(alarm)
        rule = Rule.from_properties(alarm, [watched])
        running = int(self._clock() // watched.period) * watched.period
        points = self._points(watched, running, rule.evaluation_range)
        # The period that is still running counts as soon as it has data.
        newest = running if running in points else running - watched.period
        series = [
            points.get(newest - age * watched.period)
            for age in reversed(range(rule.evaluation_range))
        ]
        current = State(alarm["StateValue"])
        verdict = evaluate(rule, series, current)
        if verdict.state is not current:
            self._cloudwatch.set_alarm_state(
                AlarmName=alarm["AlarmName"],
                StateValue=verdict.state.value,
                StateReason=verdict.reason,
            )
            logger.info("alarm %s: %s -> %s", alarm["AlarmName"], current, verdict.state)

    def _points(self, stat: MetricStat, running: int, length: int) -> dict[int, float]:
        """The newest data points, by the start of their period (epoch seconds)."""
        extended = stat.statistic.startswith("p")
        answer = self._cloudwatch.get_metric_statistics(
            Namespace=stat.metric.namespace,
            MetricName=stat.metric.name,
            Dimensions=[{"Name": name, "Value": value} for name, value in stat.metric.dimensions],
            StartTime=datetime.fromtimestamp(running - length * stat.period, tz=UTC),
            EndTime=datetime.fromtimestamp(running + stat.period, tz=UTC),
            Period=stat.period,
            **{"ExtendedStatistics" if extended else "Statistics": [stat.statistic]},
        )
        return {
            int(point["Timestamp"].timestamp()): (
                point["ExtendedStatistics"] if extended else point
            )[stat.statistic]
            for point in answer["Datapoints"]
        }
