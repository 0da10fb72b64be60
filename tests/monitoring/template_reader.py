"""Reads alarms and the dashboard from a synthesized template.

References in the template become text: `<Table>` or `<Table.Arn>`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from local.cloudwatch.alarm_rules import Metric
from tests.infra.template import Template, flat
from tests.monitoring.cloudwatch.composite_alarms import CompositeAlarm
from tests.monitoring.cloudwatch.metric_alarms import Alarm

_INTRINSICS = ("Ref", "Fn::")


def alarms_in(template: Template) -> dict[str, Alarm]:
    """The metric alarms of a template, by construct id."""
    return {
        name: Alarm.from_properties(reference, properties)
        for name, reference, properties in _found("AWS::CloudWatch::Alarm", template)
    }


def composites_in(template: Template) -> dict[str, CompositeAlarm]:
    """The composite alarms of a template, by construct id."""
    return {
        name: CompositeAlarm.from_properties(reference, properties)
        for name, reference, properties in _found("AWS::CloudWatch::CompositeAlarm", template)
    }


def _found(kind: str, template: Template) -> Iterator[tuple[str, str, Any]]:
    """Yield the construct id, reference and properties of alarms.

    The construct id is the middle of the logical id: `CleanupFailed` of
    `AlarmsCleanupFailed1234ABCD`.
    """
    for logical_id, properties in template.properties(kind).items():
        name = re.sub(r"^Alarms(.+)[0-9A-F]{8}$", r"\1", logical_id)
        yield name, f"<{logical_id}>", _with_references_as_text(properties)


def _with_references_as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)).startswith(_INTRINSICS):
            return flat(value)
        return {key: _with_references_as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_references_as_text(each) for each in value]
    return value


def graphs_in(monitoring: Template) -> Iterator[tuple[str, list[Any]]]:
    """Yield the title and the lines of each graph of the dashboard.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    _, dashboard = monitoring.only("AWS::CloudWatch::Dashboard")
    for widget in json.loads(flat(dashboard["Properties"]["DashboardBody"]))["widgets"]:
        if "metrics" in widget["properties"]:
            yield widget["properties"].get("title", ""), widget["properties"]["metrics"]


def metrics_in(lines: list[Any]) -> Iterator[Metric]:
    """Yield the metrics of a graph's lines, also those that are only there for metric math."""
    for line in lines:
        namespace_name_pairs = [part for part in line if not isinstance(part, dict)]
        if namespace_name_pairs:
            namespace, name, *pairs = namespace_name_pairs
            yield Metric.of(namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True)))


def options_in(lines: list[Any]) -> list[dict[str, Any]]:
    """The options of a graph's lines, such as `id` and `expression`."""
    return [line[-1] for line in lines if isinstance(line[-1], dict)]
