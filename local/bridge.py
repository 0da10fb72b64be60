"""What CloudWatch does by itself and MiniStack does not: metrics from logs, states from metrics.

Both bridges use the public API of the running system, and look again every few seconds.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local import alarms, emf

logger = logging.getLogger(__name__)

# PutMetricData takes a thousand metrics in one call.
BATCH = 1000

# Log lines may be written later than they are stamped: look so many seconds behind the newest one.
OVERLAP = 10.0


class MetricsFromLogs:
    """Publishes the metrics that functions write into their logs in the embedded metric format."""

    def __init__(self, logs: Any, cloudwatch: Any) -> None:
        self._logs = logs
        self._cloudwatch = cloudwatch
        # Of each log group: the streams that were read, and when their lines were stamped (epoch
        # seconds). MiniStack writes each invocation's lines at once, into a stream of their own.
        self._read: dict[str, dict[str, float]] = defaultdict(dict)

    def step(self) -> None:
        """Publish what was logged since the last step."""
        for page in self._logs.get_paginator("describe_log_groups").paginate():
            for group in page["logGroups"]:
                self._follow(group["logGroupName"])

    def _follow(self, group: str) -> None:
        read = self._read[group]
        since = max(read.values(), default=0.0) - OVERLAP
        found = self._logs.filter_log_events(
            logGroupName=group, startTime=max(0, int(since * 1000)), filterPattern=emf.MARKER
        )
        fresh = [event for event in found["events"] if event["logStreamName"] not in read]
        self._publish(event["message"] for event in fresh)
        # Only what was published is not looked at again.
        for stream in [stream for stream, stamped in read.items() if stamped < since]:
            del read[stream]
        read.update({event["logStreamName"]: event["timestamp"] / 1000 for event in fresh})

    def _publish(self, lines: Any) -> None:
        by_namespace: dict[str, list[emf.Datum]] = defaultdict(list)
        for line in lines:
            try:
                for namespace, datum in emf.metric_data(line):
                    by_namespace[namespace].append(datum)
            except (KeyError, TypeError, AttributeError):
                logger.exception("a log line in a broken embedded metric format: %s", line)
        for namespace, data in by_namespace.items():
            for start in range(0, len(data), BATCH):
                self._cloudwatch.put_metric_data(
                    Namespace=namespace, MetricData=data[start : start + BATCH]
                )


class AlarmStates:
    """Gives each alarm the state that CloudWatch's rules say; a change sends its actions."""

    def __init__(self, cloudwatch: Any, clock: Callable[[], float] = time.time) -> None:
        self._cloudwatch = cloudwatch
        self._clock = clock

    def step(self) -> None:
        """Judge all metric alarms once, and set the states that changed."""
        for page in self._cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmTypes=["MetricAlarm"]
        ):
            for described in page["MetricAlarms"]:
                alarm = alarms.Alarm.from_properties(described["AlarmName"], described)
                self._judge(alarm, alarms.State(described["StateValue"]))

    def _judge(self, alarm: alarms.Alarm, current: alarms.State) -> None:
        running = int(self._clock() // alarm.period) * alarm.period
        length = alarm.rule.evaluation_range
        points = {i: self._points(line, running, length) for i, line in alarm.lines.items()}
        # The running period counts as soon as it has data.
        newest = 0 if any(running in values for values in points.values()) else 1
        starts = [running - age * alarm.period for age in range(length, newest - 1, -1)]
        verdict = alarm.judge(
            {i: tuple(values.get(start) for start in starts) for i, values in points.items()},
            current,
        )
        if verdict.state is not current:
            self._cloudwatch.set_alarm_state(
                AlarmName=alarm.name,
                StateValue=verdict.state.value,
                StateReason=verdict.reason,
            )
            logger.info("alarm %s: %s -> %s", alarm.name, current, verdict.state)

    def _points(self, line: alarms.Line, running: int, length: int) -> dict[int, float]:
        """The newest data points, by the start of their period."""
        extended = line.statistic.startswith("p")
        answer = self._cloudwatch.get_metric_statistics(
            Namespace=line.metric.namespace,
            MetricName=line.metric.name,
            Dimensions=[{"Name": name, "Value": value} for name, value in line.metric.dimensions],
            StartTime=datetime.fromtimestamp(running - length * line.period, tz=UTC),
            EndTime=datetime.fromtimestamp(running + line.period, tz=UTC),
            Period=line.period,
            **{"ExtendedStatistics" if extended else "Statistics": [line.statistic]},
        )
        return {
            int(point["Timestamp"].timestamp()): (
                point["ExtendedStatistics"] if extended else point
            )[line.statistic]
            for point in answer["Datapoints"]
        }


def keep_running(step: Callable[[], None], *, every: float, stop: threading.Event) -> None:
    """Call `step` every so many seconds until `stop` is set. An error is logged, no more."""
    while not stop.wait(every):
        try:
            step()
        except Exception:
            # Whatever it was, a bridge that ended silently would make alarms lie from then on.
            if not stop.is_set():
                logger.exception("%s failed, and goes on", getattr(step, "__qualname__", step))
