"""What CloudWatch does by itself and MiniStack does not: metrics from logs, states from metrics.

Both bridges use the public API of the running system, and look again every few seconds.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
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
        """Judge all alarms on one metric once, and set the states that changed."""
        for page in self._cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmTypes=["MetricAlarm"]
        ):
            for alarm in page["MetricAlarms"]:
                if "MetricName" in alarm:
                    self._judge(alarm)

    def _judge(self, alarm: Mapping[str, Any]) -> None:
        periods = alarm["EvaluationPeriods"]
        rule = alarms.Rule(
            comparison=alarm["ComparisonOperator"],
            threshold=alarm["Threshold"],
            evaluation_periods=periods,
            datapoints_to_alarm=alarm.get("DatapointsToAlarm", periods),
            missing_data=alarms.MissingData(alarm.get("TreatMissingData", "missing")),
        )
        current = alarms.State(alarm["StateValue"])
        verdict = alarms.evaluate(rule, self._series(alarm, rule.evaluation_range), current)
        if verdict.state is not current:
            self._cloudwatch.set_alarm_state(
                AlarmName=alarm["AlarmName"],
                StateValue=verdict.state.value,
                StateReason=verdict.reason,
            )
            logger.info("alarm %s: %s -> %s", alarm["AlarmName"], current, verdict.state)

    def _series(self, alarm: Mapping[str, Any], length: int) -> list[float | None]:
        """The newest periods, oldest first. The running one counts as soon as it has data."""
        period = alarm["Period"]
        running = int(self._clock() // period) * period
        statistic = alarm.get("Statistic")
        extended = alarm.get("ExtendedStatistic")
        answer = self._cloudwatch.get_metric_statistics(
            Namespace=alarm["Namespace"],
            MetricName=alarm["MetricName"],
            Dimensions=alarm.get("Dimensions", []),
            StartTime=datetime.fromtimestamp(running - length * period, tz=UTC),
            EndTime=datetime.fromtimestamp(running + period, tz=UTC),
            Period=period,
            **({"Statistics": [statistic]} if statistic else {"ExtendedStatistics": [extended]}),
        )
        values: dict[int, float] = {
            int(point["Timestamp"].timestamp()): (
                point[statistic] if statistic else point["ExtendedStatistics"][extended]
            )
            for point in answer["Datapoints"]
        }
        series = [values.get(running - age * period) for age in range(length, -1, -1)]
        return series if series[-1] is not None else series[:-1]


def keep_running(step: Callable[[], None], *, every: float, stop: threading.Event) -> None:
    """Call `step` every so many seconds until `stop` is set. An error is logged, no more."""
    while not stop.wait(every):
        try:
            step()
        except Exception:
            # Whatever it was, a bridge that ended silently would make alarms lie from then on.
            if not stop.is_set():
                logger.exception("%s failed, and goes on", getattr(step, "__qualname__", step))
