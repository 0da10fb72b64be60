"""Every alarm and every line of the dashboard looks at a metric that somebody really publishes.

A wrong dimension is no error to CloudWatch: the alarm just never sees a data point.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from infra.configuration import Environment
from lambdas.handlers import cleanup, rest, websocket
from lambdas.metrics import DIMENSION, NAMESPACE, VERSION_DIMENSION, MetricName
from local import emf
from local.alarms import Metric
from local.metric_math import ids_in
from tests.infra.template import Template, flat
from tests.monitoring.catalogue import documented
from tests.monitoring.reading import alarms_in, expressions_in, lines_in
from tests.unit.handlers import test_rest, test_websocket
from tests.unit.handlers.conftest import Deployed

PLANNED_WORK: Final = "PlannedWork"
"""Published by operators, with the one command of the runbook, and by no code."""

UNWATCHED: Final[Mapping[MetricName, str]] = {
    MetricName.INTERNAL_ERRORS: "the alarm of a gradual deployment watches it, in the service stack"
}
"""Metrics of the code that are neither shown nor alarmed on, each with the reason."""


def schedules_in(service: Template) -> list[dict[str, Any]]:
    """Return what the schedules of a template send to the cleanup."""
    found = service.properties("AWS::Scheduler::Schedule").values()
    return [json.loads(flat(properties["Target"]["Input"])) for properties in found]


def emitted(output: str) -> dict[Metric, str]:
    """Return the metrics of what functions wrote, with their units, as CloudWatch reads it."""
    return {
        Metric.from_properties({"Namespace": namespace, **datum}): datum["Unit"]
        for line in output.splitlines()
        for namespace, datum in emf.metric_data(line)
    }


@pytest.fixture
def published(
    environment: Environment,
    service: Template,
    deployed: Deployed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> dict[Metric, str]:
    """The metrics of a test run of the handlers, the cleanup called as the schedules do."""
    capsys.readouterr()
    deployed.invoke(websocket.on_connect, test_websocket.event(event_type="CONNECT"))
    message = test_rest.event("POST", test_rest.MESSAGES, body='{"a":1}', roles=("backend",))
    assert deployed.invoke(rest.handler, message)["statusCode"] == 200
    with monkeypatch.context() as broken:
        broken.setattr(rest, "authorize", None)
        assert deployed.invoke(rest.handler, message)["statusCode"] == 500
    deployed.invoke(websocket.on_disconnect, test_websocket.event(event_type="DISCONNECT"))
    for event in schedules_in(service):
        assert deployed.invoke(cleanup.handler, event)["complete"]
    return {
        _of_environment(metric, environment.name): unit
        for metric, unit in emitted(capsys.readouterr().out).items()
    }


def _of_environment(metric: Metric, name: str) -> Metric:
    """Rename the environment of the test run: each function is told its own, see below."""
    dimensions = dict(metric.dimensions)
    assert dimensions[DIMENSION] == "test"
    return Metric.of(metric.namespace, metric.name, {**dimensions, DIMENSION: name})


def _watched(monitoring: Template) -> Iterator[tuple[str, Metric]]:
    for name, alarm in alarms_in(monitoring).items():
        for line in alarm.lines.values():
            yield f"alarm {name}", line.metric
    for title, line in lines_in(monitoring):
        yield f"graph {title!r}", line.metric


def test_every_metric_that_is_watched_is_published(
    monitoring: Template, environment: Environment, published: dict[Metric, str]
) -> None:
    by_hand = Metric.of(NAMESPACE, PLANNED_WORK, {DIMENSION: environment.name})
    unknown = [
        f"{where}: {metric}"
        for where, metric in _watched(monitoring)
        if metric not in published and metric != by_hand and not documented(metric)
    ]
    assert unknown == []


def test_every_metric_that_is_published_is_watched(
    monitoring: Template, published: dict[Metric, str]
) -> None:
    assert {metric.name for metric in published} == set(MetricName)
    watched = {metric for _, metric in _watched(monitoring)}
    unseen = {metric for metric in published if metric not in watched}
    assert {metric.name for metric in unseen} == set(UNWATCHED)


def test_the_alarms_of_a_gradual_deployment_watch_what_is_published(
    service: Template, environment: Environment, deployed: Deployed, published: dict[Metric, str]
) -> None:
    own = [
        line.metric
        for alarm in alarms_in(service).values()
        for line in alarm.lines.values()
        if line.metric.namespace == NAMESPACE
    ]
    assert len(own) == environment.gradual_deployments
    for metric in own:
        dimensions = {
            **dict(metric.dimensions),
            VERSION_DIMENSION: deployed.context.function_version,
        }
        assert Metric.of(NAMESPACE, metric.name, dimensions) in published


def test_functions_publish_under_the_name_of_their_environment(
    service: Template, environment: Environment
) -> None:
    """What `_of_environment` relies on."""
    named = [
        properties["Environment"]["Variables"]["ENVIRONMENT"]
        for properties in service.properties("AWS::Lambda::Function").values()
        if "ENVIRONMENT" in properties.get("Environment", {}).get("Variables", {})
    ]
    assert named
    assert set(named) == {environment.name}


def test_what_is_watched_of_a_function_an_api_a_queue_or_the_table_is_one_of_ours(
    monitoring: Template, service: Template
) -> None:
    """A dimension that is text, and no reference, is a name that somebody guessed."""
    guessed = [
        f"{where}: {metric}"
        for where, metric in _watched(monitoring)
        for name, value in metric.dimensions
        if name in ("FunctionName", "ApiId", "ApiName", "QueueName", "TableName")
        and not value.startswith("<")
        and f'"{value}"' not in service.text
    ]
    assert guessed == []


def test_math_of_the_dashboard_refers_to_lines_of_the_same_graph(monitoring: Template) -> None:
    for title, expression, ids in expressions_in(monitoring):
        assert ids_in(expression) <= ids, title


def test_a_worker_more_is_a_metric_more(
    environment: Environment, service: Template, published: dict[Metric, str]
) -> None:
    workers = len(schedules_in(service))
    assert workers == environment.cleanup.workers
    censuses = [metric for metric in published if metric.name == MetricName.REAL_CONNECTIONS]
    assert len(censuses) == workers
