"""The dashboard answers what somebody on call asks, in that order.

That its lines show metrics that exist is proved in `tests/monitoring`.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.environments import Environment
from infra.monitoring.alarms import anchor
from lambdas.metrics import NAMESPACE
from tests.infra.crowd import CROWD, crowd_templates
from tests.infra.template import Template, flat

Widget = dict[str, Any]


@pytest.fixture
def crowd(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Template:
    """The monitoring of an environment with three workers, and a runbook on the web."""
    return crowd_templates(tmp_path_factory, source)["Monitoring"]


def test_questions_are_answered_from_top_to_bottom(monitoring: Template) -> None:
    top = {
        widget["properties"].get("title", "runbook"): widget["y"] for widget in _widgets(monitoring)
    }
    questions = (
        ("Alarms that page",),
        ("What is wrong, and what can wait",),
        ("runbook",),
        ("Businesses", "Connections"),
        ("Who needs attention now, and for how many seconds",),
        ("What the cleanup did", "Cleanup runs", "Sockets and messages"),
        ("WebSocket API", "REST API"),
        ("Function errors", "Function throttles", "Function duration, p99"),
        ("Table: capacity", "Table: throttled", "Table: system errors"),
    )
    rows = [{top.pop(title) for title in row} for row in questions]
    assert all(len(row) == 1 for row in rows)
    assert rows == sorted(rows, key=min)
    assert not top


def test_every_alarm_is_shown_and_those_that_page_come_first(monitoring: Template) -> None:
    paging = _widget(monitoring, "Alarms that page")["alarms"]
    others = _widget(monitoring, "What is wrong, and what can wait")["alarms"]
    resources = {
        f"<{logical_id}.Arn>": properties
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for logical_id, properties in monitoring.properties(kind).items()
    }
    assert sorted([*paging, *others]) == sorted(resources)
    pages = {
        arn
        for arn, properties in resources.items()
        if any("OnCall" in flat(action) for action in properties.get("AlarmActions", []))
    }
    assert set(paging) == pages


def test_every_section_of_the_runbook_that_an_alarm_names_is_there(monitoring: Template) -> None:
    text = _text(monitoring)
    assert all(section in text for section in _sections(monitoring))
    assert "](" not in text  # nothing to link to


def test_sections_are_links_where_the_runbook_has_an_address(crowd: Template) -> None:
    text = _text(crowd)
    for section in _sections(crowd):
        assert f"[{section}]({CROWD.runbook_url}#{anchor(section)})" in text


def test_an_anchor_is_what_a_heading_becomes() -> None:
    assert anchor("Virtual without real, share") == "virtual-without-real-share"


def test_both_connection_types_are_shown_apart_and_their_ratio(monitoring: Template) -> None:
    lines = _widget(monitoring, "Connections")["metrics"]
    assert _own_metrics([lines[0]]) == ["RealConnections"]
    assert _own_metrics([lines[1]]) == ["VirtualConnections"]
    ids = {line[1]: line[-1].get("id") for line in lines[:2]}
    assert lines[2][0]["expression"] == f"{ids['RealConnections']} / {ids['VirtualConnections']}"


@pytest.mark.parametrize(
    ("title", "label"),
    [
        ("Connections", "Real connections"),
        ("Connections", "Virtual connections"),
        ("Businesses", "Online"),
        ("Businesses", "Virtual without real"),
        ("Businesses", "Unreachable"),
        ("Cleanup runs", "Completed"),
    ],
)
def test_lines_of_several_workers_add_up(crowd: Template, title: str, label: str) -> None:
    lines = _widget(crowd, title)["metrics"]
    (total,) = (
        line[0] for line in lines if isinstance(line[0], dict) and line[0].get("label") == label
    )
    hidden = {line[-1]["id"]: line for line in lines if line[-1].get("visible") is False}
    workers = [each for each in hidden if each in total["expression"]]
    assert [hidden[each][4:6] for each in workers] == [["worker", str(n)] for n in range(3)]
    added = " + ".join(workers)
    if label == "Completed":
        assert total["expression"] == added
        statistic = "Sum"
    else:
        there = " AND ".join(f"FILL({each}, -1) >= 0" for each in workers)
        assert total["expression"] == f"IF({there}, {added})"
        statistic = "Maximum"
    assert {hidden[each][-1]["stat"] for each in workers} == {statistic}


def test_who_is_in_trouble_is_shown_beside_who_is_online(monitoring: Template) -> None:
    labels = _labels(_widget(monitoring, "Businesses"))
    assert {"Online", "Virtual without real", "Unreachable", "Attention entered"} <= labels


def test_who_needs_attention_is_asked_of_the_cleanups_own_log(
    monitoring: Template, service: Template, environment: Environment
) -> None:
    (widget,) = (each for each in _widgets(monitoring) if each["type"] == "log")
    query = widget["properties"]["query"]
    (source,) = re.findall(r"^SOURCE '(.+?)'", query)
    # What the other stack exports under this name is the cleanup's log group.
    output = service.outputs[re.sub(r"^<output .+:(\w+)>$", r"\1", source)]
    assert output["Value"] == service.function("Cleanup")["LoggingConfig"]["LogGroup"]
    # Whatever time the dashboard shows, this is about the last two runs.
    assert f"now() * 1000 - {2 * environment.cleanup_interval * 60_000}" in query
    assert widget["properties"]["view"] == "table"


def test_the_query_asks_for_what_the_cleanup_logs(monitoring: Template) -> None:
    """The names as the handler writes them: a query for others would be empty, and look fine."""
    handler = (Path(__file__).resolve().parents[2] / "lambdas/handlers/cleanup.py").read_text()
    query = _widget_of_type(monitoring, "log")["query"]
    (message,) = re.findall(r'filter message = "(.+?)"', query)
    fields = re.findall(r"(?:latest|max)\((\w+)\)|by (\w+)", query)
    assert f'"{message}"' in handler
    assert {one or other for one, other in fields} == {"attention", "seconds", "businessId"}
    assert all(f'"{one or other}":' in handler for one, other in fields)


def _widgets(monitoring: Template) -> list[Widget]:
    _, dashboard = monitoring.only("AWS::CloudWatch::Dashboard")
    widgets: list[Widget] = json.loads(flat(dashboard["Properties"]["DashboardBody"]))["widgets"]
    return widgets


def _widget(monitoring: Template, title: str) -> dict[str, Any]:
    (found,) = (
        widget["properties"]
        for widget in _widgets(monitoring)
        if widget["properties"].get("title") == title
    )
    return dict(found)


def _widget_of_type(monitoring: Template, kind: str) -> dict[str, Any]:
    (found,) = (each["properties"] for each in _widgets(monitoring) if each["type"] == kind)
    return dict(found)


def _text(monitoring: Template) -> str:
    return str(_widget_of_type(monitoring, "text")["markdown"])


def _sections(monitoring: Template) -> set[str]:
    return {
        re.findall(r'See docs/runbook\.md, "(.+)"\.$', properties["AlarmDescription"])[0]
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for properties in monitoring.properties(kind).values()
    }


def _labels(widget: dict[str, Any]) -> set[str]:
    options = [line[-1] for line in widget["metrics"] if isinstance(line[-1], dict)]
    return {each["label"] for each in options if "label" in each}


def _own_metrics(lines: list[Any]) -> list[str]:
    return [line[1] for line in lines if line[0] == NAMESPACE]
