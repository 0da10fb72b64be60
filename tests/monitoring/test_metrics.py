"""Every alarm and every graph of the dashboard looks at metrics that are really published.

CloudWatch does not report a wrong dimension: the alarm just never gets a data point.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from infra.configuration import Environment
from lambdas.handlers import canary, cleanup, publisher, recorder, rest, rest_app, websocket
from lambdas.observability import DIMENSION, NAMESPACE, PLANNED_WORK, VERSION_DIMENSION, MetricName
from lambdas.table_schema import PARTITION_KEY, SORT_KEY
from local.cloudwatch.alarm_rules import Metric
from local.cloudwatch.embedded_metrics import metric_data
from tests.builders import NOW, business, settings
from tests.events import DEVICE, rest_event, socket_event
from tests.infra.template import Template, flat
from tests.monitoring.aws_metrics import documented
from tests.monitoring.cloudwatch.metric_math import IDENTIFIER
from tests.monitoring.template_reader import alarms_in, graphs_in, metrics_in, options_in
from tests.unit.handlers.conftest import Deployed

UNWATCHED: Final[Mapping[MetricName, str]] = {
    MetricName.INTERNAL_ERRORS: "watched by the alarm of a gradual deployment, in the service stack"
}
"""Metrics of the code that the monitoring stack does not use, with the reason."""


def schedules_in(service: Template) -> list[dict[str, Any]]:
    """The events that the schedules send to the cleanup."""
    return [
        json.loads(flat(properties["Target"]["Input"]))
        for properties in service.properties("AWS::Scheduler::Schedule").values()
        if flat(properties["Target"]["Arn"]).startswith("<FunctionsCleanupLive")
    ]


@pytest.fixture(scope="module")
def known() -> dict[str, set[Metric]]:
    """What `published` found for each environment: calling all handlers takes a second."""
    return {}


@pytest.fixture
def published(
    environment: Environment,
    service: Template,
    known: dict[str, set[Metric]],
    request: pytest.FixtureRequest,
) -> set[Metric]:
    """The metrics that the handlers publish; the cleanup is called as the schedules call it."""
    if environment.name not in known:
        known[environment.name] = _published(
            environment,
            service,
            *(request.getfixturevalue(name) for name in ("feed", "playing")),
            *(request.getfixturevalue(name) for name in ("monkeypatch", "capsys")),
        )
    return known[environment.name]


def _published(
    environment: Environment,
    service: Template,
    feed: Deployed,
    playing: Deployed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> set[Metric]:
    capsys.readouterr()
    feed.seed(business(declared=settings()))
    feed.invoke(websocket.on_connect, socket_event(event_type="CONNECT"))
    (device,) = (item for item in feed.items() if item["sk"]["S"].endswith(DEVICE))
    keys = {name: device[name] for name in (PARTITION_KEY, SORT_KEY)}
    feed.invoke(recorder.handler, _inserted(Keys=keys))
    (transition,) = feed.client.scan(TableName=feed.environ["HISTORY_TABLE_NAME"])["Items"]
    feed.invoke(publisher.handler, _inserted(NewImage=transition))
    message = rest_event(
        "POST", "/businesses/{businessId}/messages", body='{"a":1}', roles=("backend",)
    )
    assert feed.invoke(rest.handler, message)["statusCode"] == 200
    with monkeypatch.context() as broken:
        broken.setattr(rest_app, "authorize", None)
        assert feed.invoke(rest.handler, message)["statusCode"] == 500
    feed.invoke(websocket.on_disconnect, socket_event(event_type="DISCONNECT"))
    for event in schedules_in(service):
        assert feed.invoke(cleanup.handler, event)["complete"]
    if environment.canary:
        assert playing.invoke(canary.handler, {})["succeeded"]
    return {
        _with_environment(
            environment.name, Metric.from_properties({"Namespace": namespace} | datum)
        )
        for line in capsys.readouterr().out.splitlines()
        for namespace, datum in metric_data(line)
    }


def _inserted(**item: Any) -> dict[str, Any]:
    """An event of a DynamoDB stream."""
    changed = {"ApproximateCreationDateTime": NOW, **item}
    return {"Records": [{"eventName": "INSERT", "dynamodb": changed}]}


def _with_environment(name: str, metric: Metric) -> Metric:
    """Replace the name of the environment, which is `test` for handlers under test."""
    dimensions = dict(metric.dimensions)
    assert dimensions[DIMENSION] == "test"
    return Metric.of(metric.namespace, metric.name, {**dimensions, DIMENSION: name})


def _watched(monitoring: Template) -> Iterator[tuple[str, Metric]]:
    """Yield the place where a metric is watched, and the metric."""
    for name, alarm in alarms_in(monitoring).items():
        for stat in alarm.stats.values():
            yield f"alarm {name}", stat.metric
    for title, lines in graphs_in(monitoring):
        for metric in metrics_in(lines):
            yield f"graph {title!r}", metric


def test_every_metric_that_is_watched_is_published(
    monitoring: Template, environment: Environment, published: set[Metric]
) -> None:
    by_hand = Metric.of(NAMESPACE, PLANNED_WORK, {DIMENSION: environment.name})
    unknown = [
        f"{where}: {metric}"
        for where, metric in _watched(monitoring)
        if metric not in published and metric != by_hand and not documented(metric)
    ]
    assert unknown == []


def test_every_metric_that_is_published_is_watched(
    monitoring: Template, environment: Environment, published: set[Metric]
) -> None:
    of_canary = {MetricName.CANARY_SUCCEEDED, MetricName.CANARY_STEP_DURATION}
    expected = set(MetricName) if environment.canary else set(MetricName) - of_canary
    assert {metric.name for metric in published} == expected
    unseen = published - {metric for _, metric in _watched(monitoring)}
    assert {metric.name for metric in unseen} == set(UNWATCHED)


def test_the_alarms_of_a_gradual_deployment_watch_what_is_published(
    service: Template, deployed: Deployed, published: set[Metric]
) -> None:
    own = [
        stat.metric
        for alarm in alarms_in(service).values()
        for stat in alarm.stats.values()
        if stat.metric.namespace == NAMESPACE
    ]
    gradual = bool(service.resources("AWS::CodeDeploy::DeploymentGroup"))
    assert len(own) == gradual
    for metric in own:
        version = {VERSION_DIMENSION: deployed.context.function_version}
        dimensions = {**dict(metric.dimensions), **version}
        assert Metric.of(NAMESPACE, metric.name, dimensions) in published


def test_every_function_api_queue_or_table_that_is_watched_is_one_of_ours(
    monitoring: Template, service: Template
) -> None:
    """A dimension must be a reference, or a name that the service stack gives."""
    guessed = [
        f"{where}: {metric}"
        for where, metric in _watched(monitoring)
        for name, value in metric.dimensions
        if name in ("FunctionName", "ApiId", "ApiName", "QueueName", "TableName")
        and not value.startswith("<")
        and f'"{value}"' not in service.text
    ]
    assert guessed == []


def test_metric_math_of_the_dashboard_refers_to_lines_of_the_same_graph(
    monitoring: Template,
) -> None:
    expressions = 0
    for title, lines in graphs_in(monitoring):
        ids = {options.get("id") for options in options_in(lines)}
        for options in options_in(lines):
            if "expression" in options:
                expressions += 1
                assert set(IDENTIFIER.findall(options["expression"])) <= ids, title
    assert expressions


def test_each_worker_publishes_its_own_census(service: Template, published: set[Metric]) -> None:
    censuses = [metric for metric in published if metric.name == MetricName.REAL_CONNECTIONS]
    assert len(censuses) == len(schedules_in(service))
