"""The metrics that the page draws, read from CloudWatch."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from console.alarms import Alarms
from console.cached import Cached
from lambdas.domain.instants import timestamp
from lambdas.observability import (
    DIMENSION,
    NAMESPACE,
    WORKER_DIMENSION,
    MetricGroup,
    MetricName,
    metrics_of,
)

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient

Points = Mapping[int, float]
"""Values by the start of their period (epoch seconds)."""

GAUGES: Final = metrics_of(MetricGroup.CENSUS)
"""What a census counted. Each worker counts a share."""

COUNTS: Final = (
    MetricName.STALE_REAL_REMOVED,
    MetricName.EXPIRED_VIRTUAL_REMOVED,
    MetricName.ATTENTION_ENTERED,
    MetricName.TRANSITIONS,
    MetricName.CONNECTED,
    MetricName.DISCONNECTED,
)
"""How often something happened."""

MAX_HOURS: Final = 168
_MAX_POINTS: Final = 720
"""Per series: as many as a chart has pixels to show."""

_FRESH: Final = 8.0
"""Seconds for which an answer is used. CloudWatch charges for each metric that is asked for."""


class Metrics:
    """Reads the series of an environment from CloudWatch."""

    def __init__(
        self,
        cloudwatch: "CloudWatchClient",
        *,
        environment_name: str,
        alarms: Alarms,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cloudwatch = cloudwatch
        self._environment_name = environment_name
        self._alarms = alarms
        self._clock = clock
        self._cached: dict[int, Cached[Mapping[str, Any]]] = {}

    def document(self, hours: int) -> Mapping[str, Any]:
        """The series of the last hours. Raises `Unanswered`."""
        cached = self._cached.setdefault(
            hours, Cached(lambda: self._load(hours), seconds=_FRESH, clock=self._clock)
        )
        return cached.get()

    def _load(self, hours: int) -> Mapping[str, Any]:
        census = self._alarms.census()
        now = int(self._clock())
        # Longer periods for a longer time, so that the answer stays small.
        period = census.period * -(-hours * 3600 // (census.period * _MAX_POINTS))
        running = now // period * period
        moments = range(running - hours * 3600 // period * period, running + 1, period)
        queries = {
            f"{name}_{worker}": (name, worker)
            for name in (*GAUGES, *COUNTS)
            for worker in (census.workers if name in GAUGES and census.workers else ("",))
        }
        found = self._ask(queries, period, moments)
        series = {}
        for name in (*GAUGES, *COUNTS):
            parts = [found[query] for query, (of, _) in queries.items() if of == name]
            series[str(name)] = _sum(parts, moments, running)
        return {"asOf": timestamp(now), "period": period, "series": series}

    def _ask(
        self, queries: Mapping[str, tuple[MetricName, str]], period: int, moments: range
    ) -> Mapping[str, Points]:
        ids = {f"m{number}": query for number, query in enumerate(queries)}
        found: dict[str, dict[int, float]] = {query: {} for query in queries}
        pages = self._cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[
                {"Id": number, "MetricStat": self._stat(*queries[query], period)}
                for number, query in ids.items()
            ],
            StartTime=datetime.fromtimestamp(moments[0], UTC),
            EndTime=datetime.fromtimestamp(moments[-1] + period, UTC),
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
                    found[ids[result["Id"]]][int(moment.timestamp())] = value
        return found

    def _stat(self, name: MetricName, worker: str, period: int) -> Any:
        dimensions = {DIMENSION: self._environment_name}
        if worker:
            dimensions[WORKER_DIMENSION] = worker
        return {
            "Metric": {
                "Namespace": NAMESPACE,
                "MetricName": str(name),
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            },
            "Period": period,
            "Stat": "Maximum" if name in GAUGES else "Sum",
        }


def _sum(parts: Sequence[Points], moments: range, running: int) -> list[tuple[int, float | None]]:
    """Add up what the workers published. A period in which one of them is missing has no value.

    The period that is still running is included as soon as it has a value.
    """
    summed = [
        (moment, sum(part[moment] for part in parts) if all(moment in p for p in parts) else None)
        for moment in moments
    ]
    return summed if summed[-1] != (running, None) else summed[:-1]
