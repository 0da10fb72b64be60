"""Reads alarms and dashboard lines from a synthesized template, references as symbols."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from local.alarms import Alarm, Line, Metric
from local.composite_alarms import CompositeAlarm
from tests.infra.template import Template, flat

_INTRINSICS = ("Ref", "Fn::")


def symbolic(value: Any) -> Any:
    """Return a template's value with `<Table>` and `<Table.Arn>` for its references."""
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)).startswith(_INTRINSICS):
            return flat(value)
        return {key: symbolic(each) for key, each in value.items()}
    if isinstance(value, list):
        return [symbolic(each) for each in value]
    return value


def short_name(logical_id: str) -> str:
    """Return the construct id of an alarm: `AlarmsCleanupFailed1234ABCD` is `CleanupFailed`."""
    return re.sub(r"^Alarms(.+)[0-9A-F]{8}$", r"\1", logical_id)


def alarms_in(monitoring: Template) -> dict[str, Alarm]:
    """Return the metric alarms of a template, by construct id; their names are symbols."""
    found = monitoring.properties("AWS::CloudWatch::Alarm")
    return {
        short_name(logical_id): Alarm.from_properties(f"<{logical_id}>", symbolic(properties))
        for logical_id, properties in found.items()
    }


def composites_in(monitoring: Template) -> dict[str, CompositeAlarm]:
    """Return the composite alarms of a template, by construct id; their names are symbols."""
    found = monitoring.properties("AWS::CloudWatch::CompositeAlarm")
    return {
        short_name(logical_id): CompositeAlarm.from_properties(
            f"<{logical_id}>", symbolic(properties)
        )
        for logical_id, properties in found.items()
    }


def widgets_in(monitoring: Template) -> list[dict[str, Any]]:
    """Return the widgets of the dashboard."""
    _, dashboard = monitoring.only("AWS::CloudWatch::Dashboard")
    widgets: list[dict[str, Any]] = json.loads(flat(dashboard["Properties"]["DashboardBody"]))[
        "widgets"
    ]
    return widgets


def lines_in(monitoring: Template) -> Iterator[tuple[str, Line]]:
    """Yield each line of the dashboard's graphs, with the title of its graph.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    for widget in widgets_in(monitoring):
        properties = widget["properties"]
        for line in properties.get("metrics", ()):
            if isinstance(line[0], dict):
                continue  # metric math on lines that are here as well
            options = line[-1] if isinstance(line[-1], dict) else {}
            namespace, name, *pairs = [part for part in line if not isinstance(part, dict)]
            dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
            yield (
                properties.get("title", ""),
                Line(
                    Metric.of(namespace, name, dimensions),
                    options.get("stat", properties.get("stat", "Average")),
                    options.get("period", properties.get("period", 300)),
                ),
            )


def expressions_in(monitoring: Template) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield each expression of the dashboard's graphs: its graph, its text, and the ids there."""
    for widget in widgets_in(monitoring):
        lines = widget["properties"].get("metrics", ())
        options = [line[-1] for line in lines if isinstance(line[-1], dict)]
        ids = frozenset(each["id"] for each in options if "id" in each)
        for each in options:
            if "expression" in each:
                yield widget["properties"].get("title", ""), each["expression"], ids
