"""Reads CloudWatch's embedded metric format (EMF).

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

MARKER = "CloudWatchMetrics"
"""A log line without this word contains no metrics."""

Datum = dict[str, Any]
"""One entry of `MetricData` in a `PutMetricData` call."""


def metric_data(line: str) -> Iterator[tuple[str, Datum]]:
    """Yield each metric of one log line as (namespace, datum), once for each set of dimensions.

    Skips lines in other formats and metrics without a numeric value, as CloudWatch does. Raises
    `KeyError`, `TypeError` or `AttributeError` if the line breaks the format.
    """
    try:
        fields = json.loads(line)
    except ValueError:
        return
    metadata = fields.get("_aws") if isinstance(fields, dict) else None
    if not isinstance(metadata, dict):
        return
    timestamp = datetime.fromtimestamp(metadata["Timestamp"] / 1000, tz=UTC)
    for directive in metadata.get(MARKER, []):
        for metric in directive["Metrics"]:
            values = _numbers(fields.get(metric["Name"]))
            if not values:
                continue
            for dimensions in directive.get("Dimensions") or [[]]:
                yield (
                    directive["Namespace"],
                    {
                        "MetricName": metric["Name"],
                        "Dimensions": _dimensions(fields, dimensions),
                        "Timestamp": timestamp,
                        "Unit": metric.get("Unit", "None"),
                        "Values": values,
                    },
                )


def _numbers(value: object) -> list[float]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]


def _dimensions(fields: Mapping[str, object], names: list[str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": str(fields[name])} for name in names]
