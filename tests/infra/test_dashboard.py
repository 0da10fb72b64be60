"""The dashboard shows every alarm, links to the runbook, and lists who needs attention.

`tests/monitoring` proves that its lines show metrics that exist.
"""

import json
import re
from typing import Any

from infra.configuration import Environment
from infra.names import anchor
from tests.infra.template import Template, flat

Properties = dict[str, Any]


def test_every_alarm_is_shown_and_those_that_page_come_first(monitoring: Template) -> None:
    first, second = _widgets(monitoring, "alarm")
    alarms = {f"<{logical_id}.Arn>": alarm for logical_id, alarm in _alarms(monitoring).items()}
    assert sorted([*first["alarms"], *second["alarms"]]) == sorted(alarms)
    assert set(first["alarms"]) == {
        arn
        for arn, alarm in alarms.items()
        if any("OnCall" in flat(action) for action in alarm.get("AlarmActions", []))
    }


def test_every_section_of_the_runbook_that_an_alarm_names_is_listed_and_linked_if_published(
    monitoring: Template, environment: Environment
) -> None:
    (widget,) = _widgets(monitoring, "text")
    url = environment.on_call.runbook_url
    for section in _sections(monitoring):
        assert (f"[{section}]({url}#{anchor(section)})" if url else section) in widget["markdown"]
    assert ("](" in widget["markdown"]) is bool(url)


def test_an_anchor_is_what_a_heading_becomes() -> None:
    assert anchor("Attention, as a share") == "attention-as-a-share"


def test_who_needs_attention_is_read_from_the_log_of_the_last_two_cleanup_runs(
    monitoring: Template, service: Template, environment: Environment
) -> None:
    query = _log_query(monitoring)
    (source,) = re.findall(r"^SOURCE '(.+?)'", query)
    assert source == flat(service.function("Cleanup")["LoggingConfig"]["LogGroup"])
    assert f"now() * 1000 - {2 * environment.cleanup.interval * 1_000}" in query


def _widgets(monitoring: Template, kind: str) -> list[Properties]:
    """The properties of the widgets of a type, from top to bottom."""
    _, dashboard = monitoring.only("AWS::CloudWatch::Dashboard")
    body = json.loads(flat(dashboard["Properties"]["DashboardBody"]))
    found = sorted(
        (each for each in body["widgets"] if each["type"] == kind), key=lambda each: each["y"]
    )
    return [each["properties"] for each in found]


def _log_query(monitoring: Template) -> str:
    (widget,) = _widgets(monitoring, "log")
    return str(widget["query"])


def _alarms(monitoring: Template) -> dict[str, Properties]:
    return {
        **monitoring.properties("AWS::CloudWatch::Alarm"),
        **monitoring.properties("AWS::CloudWatch::CompositeAlarm"),
    }


def _sections(monitoring: Template) -> set[str]:
    return {
        re.findall(r'See docs/runbook\.md, "(.+)"\.$', alarm["AlarmDescription"])[0]
        for alarm in _alarms(monitoring).values()
    }
