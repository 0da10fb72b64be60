"""Publishes to MiniStack the metrics that functions write into their logs."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from local.cloudwatch.embedded_metrics import MARKER, Datum, metric_data

logger = logging.getLogger(__name__)

# PutMetricData takes at most a thousand metrics in one call.
BATCH = 1000

# MiniStack writes the lines of an invocation when it ends, stamped with earlier times: on a busy
# machine much earlier. Read again this many seconds before the newest line that was read.
OVERLAP = 120.0


class MetricsFromLogs:
    """Publishes the metrics of log lines in the embedded metric format, each line once."""

    def __init__(self, logs: Any, cloudwatch: Any) -> None:
        self._logs = logs
        self._cloudwatch = cloudwatch
        # By log group: the streams already read, and the time of their lines (epoch seconds).
        # MiniStack writes the lines of one invocation all at once, into a stream of their own.
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
            logGroupName=group, startTime=max(0, int(since * 1000)), filterPattern=MARKER
        )
        fresh = [event for event in found["events"] if event["logStreamName"] not in read]
        self._publish(event["message"] for event in fresh)
        # Only after publishing: what failed is tried again in the next step.
        for stream in [stream for stream, stamped in read.items() if stamped < since]:
            del read[stream]
        read.update({event["logStreamName"]: event["timestamp"] / 1000 for event in fresh})

    def _publish(self, lines: Iterable[str]) -> None:
        by_namespace: dict[str, list[Datum]] = defaultdict(list)
        for line in lines:
            try:
                for namespace, datum in metric_data(line):
                    by_namespace[namespace].append(datum)
            except (KeyError, TypeError, AttributeError):
                logger.exception("log line breaks the embedded metric format: %s", line)
        for namespace, data in by_namespace.items():
            for start in range(0, len(data), BATCH):
                self._cloudwatch.put_metric_data(
                    Namespace=namespace, MetricData=data[start : start + BATCH]
                )
