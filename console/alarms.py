"""The alarms of an environment, and what their definitions tell about its census."""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from console.cached import Cached
from console.errors import Unanswered
from infra.names import anchor
from lambdas.domain.instants import timestamp
from lambdas.observability import NAMESPACE, WORKER_DIMENSION, MetricName

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient

_FRESH: Final = 4.0
"""Seconds for which an answer of CloudWatch is used."""

_DESCRIPTION: Final = re.compile(
    r"\[[^]]*\] (?P<severity>[A-Z][A-Z ]*(?: \([^)]*\))?): (?P<meaning>.*)"
    r' See docs/runbook\.md, "(?P<section>[^"]*)"\.',
    re.DOTALL,
)
"""What infra/monitoring/alarms/construct.py makes of a definition."""

_STATES: Final = ("ALARM", "INSUFFICIENT_DATA", "OK")
"""In the order in which they are shown."""


@dataclass(frozen=True)
class Census:
    """How the cleanup publishes what it counts."""

    period: int
    """Seconds between two censuses."""
    workers: tuple[str, ...]
    """The workers that count a share each; empty if there is only one."""


class Alarms:
    """Reads the alarms of a stack from CloudWatch."""

    def __init__(self, cloudwatch: "CloudWatchClient", *, stack: str) -> None:
        self._cloudwatch = cloudwatch
        self._prefix = f"{stack}-"
        self._cached = Cached(self._load, seconds=_FRESH)

    def document(self) -> Mapping[str, Any]:
        """The alarms, those in ALARM first. Raises `Unanswered`."""
        as_of, alarms = self._cached.get()
        period = _census(alarms).period
        return {
            "asOf": timestamp(as_of),
            "alarms": sorted(
                (self._alarm(each, period) for each in alarms),
                key=lambda alarm: (_STATES.index(alarm["state"]), alarm["title"]),
            ),
        }

    def census(self) -> Census:
        """What the alarms on it tell about the census. Raises `Unanswered`."""
        return _census(self._cached.get()[1])

    def _load(self) -> tuple[int, list[Mapping[str, Any]]]:
        pages = self._cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmNamePrefix=self._prefix, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        alarms: list[Mapping[str, Any]] = []
        for page in pages:
            alarms.extend(page.get("MetricAlarms", ()))
            alarms.extend(page.get("CompositeAlarms", ()))
        return int(time.time()), alarms

    def _alarm(self, alarm: Mapping[str, Any], period: int) -> dict[str, Any]:
        name = alarm["AlarmName"]
        description = alarm.get("AlarmDescription", "")
        parts = _DESCRIPTION.fullmatch(description)
        metric = _census_metric(alarm, period)
        return {
            "name": name,
            "title": self._title(name),
            "state": alarm["StateValue"],
            "since": timestamp(int(alarm["StateUpdatedTimestamp"].timestamp())),
            "reason": alarm.get("StateReason", ""),
            "severity": parts["severity"] if parts else None,
            "meaning": parts["meaning"] if parts else description,
            "section": parts["section"] if parts else None,
            "runbook": f"/runbook#{anchor(parts['section'])}" if parts else "/runbook",
            "metric": metric,
            "threshold": alarm.get("Threshold") if metric else None,
        }

    def _title(self, name: str) -> str:
        """The name of the definition in words, without what CloudFormation added."""
        own = re.sub(r"[0-9A-F]{8}-\w+$", "", name.removeprefix(self._prefix))
        words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", own.removeprefix("Alarms"))
        first, *others = words or [name]
        return " ".join((first, *(w if w.isupper() else w.lower() for w in others)))


def _census(alarms: list[Mapping[str, Any]]) -> Census:
    """Read it from an alarm that every environment has on a gauge of the census."""
    for alarm in alarms:
        stats = list(_own_metrics(alarm))
        if any(stat["name"] == MetricName.VIRTUAL_ONLY_BUSINESSES for stat in stats):
            workers = {stat["worker"] for stat in stats} - {None}
            return Census(stats[0]["period"], tuple(sorted(workers)))
    raise Unanswered("there is no alarm on the census in this environment: deploy it again")


def _own_metrics(alarm: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the metrics of this service that an alarm watches."""
    watched = [(alarm, alarm.get("Period"))] if "MetricName" in alarm else []
    for query in alarm.get("Metrics", ()):
        if stat := query.get("MetricStat"):
            watched.append((stat["Metric"], stat["Period"]))
    for metric, period in watched:
        if metric.get("Namespace") == NAMESPACE:
            dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", ())}
            yield {
                "name": metric["MetricName"],
                "period": period,
                "worker": dimensions.get(WORKER_DIMENSION),
            }


def _census_metric(alarm: Mapping[str, Any], period: int) -> str | None:
    """The metric whose value in each census period the alarm's threshold is compared with.

    None if the alarm watches something else, for example a percentage.
    """
    expressions = [each for each in alarm.get("Metrics", ()) if "Expression" in each]
    stats = list(_own_metrics(alarm))
    names = {stat["name"] for stat in stats}
    if len(names) != 1 or any(stat["period"] != period for stat in stats):
        return None
    # One expression adds up the workers. More than one calculate something else.
    sums_workers = len(expressions) == 1 and all(stat["worker"] is not None for stat in stats)
    return names.pop() if not expressions or sums_workers else None
