"""One page that answers the questions of on-call, in the order in which they are asked."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.configuration import Canary
from infra.monitoring.metrics import (
    ServiceMetrics,
    history_problems,
    rest_metric,
    table_metric,
    table_system_errors,
    table_throttles,
)
from infra.names import anchor
from infra.service.change_feed import ChangeFeed
from infra.service.function import ServiceFunction
from infra.service.rest_api import RestApi
from infra.service.websocket_api import WebSocketApi
from lambdas.observability import (
    ATTENTION_FIELDS,
    NEEDS_ATTENTION,
    CanaryStep,
    MetricGroup,
    MetricName,
    metrics_of,
)

_WIDTH: Final = 24


class Dashboard(Construct):
    """Shows what is wrong, which businesses are affected, and what may have caused it.

    `deployed` says which build runs. `runbook_sections` become links if `runbook_url` says where
    the runbook is published. `functions` are those whose calls are shown. `feed` is `None` if the
    change feed is off, and `canary` if there is none.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment_name: str,
        deployed: str,
        paging_alarms: Sequence[cloudwatch.IAlarm],
        other_alarms: Sequence[cloudwatch.IAlarm],
        runbook_sections: Sequence[str],
        runbook_url: str | None,
        metrics: ServiceMetrics,
        rest: RestApi,
        websocket: WebSocketApi,
        functions: Sequence[ServiceFunction],
        cleanup_log_group: str,
        dead_letters: sqs.IQueue,
        table: dynamodb.ITable,
        feed: ChangeFeed | None,
        history: dynamodb.ITable,
        canary: Canary | None,
    ) -> None:
        super().__init__(scope, construct_id)

        def gauge(name: MetricName) -> cloudwatch.IMetric:
            return metrics.gauge(name, label=name.label)

        def counts(*groups: MetricGroup) -> list[cloudwatch.IMetric]:
            return [metrics.count(each, label=each.label) for each in metrics_of(*groups)]

        real, virtual = gauge(MetricName.REAL_CONNECTIONS), gauge(MetricName.VIRTUAL_CONNECTIONS)
        entered = MetricName.ATTENTION_ENTERED
        real_per_virtual = cloudwatch.MathExpression(
            expression="real / virtual",
            using_metrics={"real": real, "virtual": virtual},
            label="Real per virtual",
            period=metrics.census_period,
        )
        self.dashboard = cloudwatch.Dashboard(
            self, "Dashboard", default_interval=cdk.Duration.hours(3)
        )
        for row in (
            [_alarms("Alarms that page", paging_alarms)],
            [_alarms("What is wrong, and what can wait", other_alarms)],
            [_runbook(environment_name, deployed, runbook_sections, runbook_url)],
            _side_by_side(
                Graph(
                    "Businesses",
                    [
                        gauge(MetricName.ONLINE_BUSINESSES),
                        gauge(MetricName.CLOSED_BUSINESSES),
                    ],
                    [
                        gauge(MetricName.VIRTUAL_ONLY_BUSINESSES),
                        gauge(MetricName.UNREACHABLE_BUSINESSES),
                        metrics.count(entered, label=entered.label),
                    ],
                ),
                Graph("Connections", [real, virtual], [real_per_virtual]),
            ),
            [_who_needs_attention(cleanup_log_group, metrics.census_period)],
            _side_by_side(
                Graph("What the cleanup did", counts(MetricGroup.CLEANUP)),
                Graph(
                    "Cleanup runs",
                    [
                        metrics.completed_runs(),
                        metrics.waiting_messages(dead_letters).with_(label="Could not be started"),
                    ],
                    [metrics.longest_run()],
                ),
                Graph(
                    "Sockets and messages",
                    counts(MetricGroup.SOCKETS),
                    counts(MetricGroup.MESSAGES),
                ),
            ),
            *([_canary(canary, metrics)] if canary else ()),
            _side_by_side(
                Graph(
                    "WebSocket API",
                    [
                        metrics.websocket(websocket, name)
                        for name in (
                            "ConnectCount",
                            "MessageCount",
                            "ClientError",
                            "ExecutionError",
                        )
                    ],
                    [metrics.websocket(websocket, "IntegrationLatency").with_(statistic="p99")],
                ),
                Graph(
                    "REST API",
                    [rest_metric(rest, name) for name in ("Count", "4XXError", "5XXError")],
                    [rest_metric(rest, "Latency").with_(statistic="p99")],
                ),
            ),
            _side_by_side(
                *(
                    Graph(
                        title,
                        [
                            metrics.function(each, name).with_(
                                statistic=statistic, label=each.node.id
                            )
                            for each in functions
                        ],
                    )
                    for title, name, statistic in (
                        ("Function errors", "Errors", "Sum"),
                        ("Function throttles", "Throttles", "Sum"),
                        ("Function duration, p99", "Duration", "p99"),
                    )
                )
            ),
            _side_by_side(
                Graph(
                    "Table: capacity",
                    [table_metric(table, "ConsumedReadCapacityUnits")],
                    [table_metric(table, "ConsumedWriteCapacityUnits")],
                ),
                Graph("Table: throttled", [*table_throttles(table).values()]),
                Graph("Table: system errors", [*table_system_errors(table).values()]),
            ),
            *([_change_feed(feed, metrics, history)] if feed else ()),
        ):
            self.dashboard.add_widgets(*row)


class Graph(NamedTuple):
    """A graph, with the metrics of its left and its right axis."""

    title: str
    left: Sequence[cloudwatch.IMetric]
    right: Sequence[cloudwatch.IMetric] = ()


def _side_by_side(*graphs: Graph) -> list[cloudwatch.IWidget]:
    from_zero = cloudwatch.YAxisProps(min=0)
    return [
        cloudwatch.GraphWidget(
            title=graph.title,
            width=_WIDTH // len(graphs),
            left=list(graph.left),
            right=list(graph.right),
            left_y_axis=from_zero,
            right_y_axis=from_zero,
        )
        for graph in graphs
    ]


def _canary(canary: Canary, metrics: ServiceMetrics) -> list[cloudwatch.IWidget]:
    period = cdk.Duration.seconds(canary.interval)
    name = MetricName.CANARY_SUCCEEDED
    succeeded = metrics.count(name, label=name.label)
    return _side_by_side(
        Graph("Canary", [succeeded.with_(statistic="Maximum", period=period)]),
        Graph(
            "Canary: duration of each step, ms",
            [metrics.canary_step(step).with_(period=period) for step in CanaryStep],
        ),
    )


def _change_feed(
    feed: ChangeFeed, metrics: ServiceMetrics, history: dynamodb.ITable
) -> list[cloudwatch.IWidget]:
    return _side_by_side(
        Graph(
            "Change feed: age of what is handled, ms",
            [metrics.iterator_age(each).with_(label=each.node.id) for each in feed.functions],
        ),
        Graph(
            "Change feed: what failed",
            [
                metrics.function(each, name).with_(label=f"{name} of {each.node.id}")
                for each in feed.functions
                for name in ("Errors", "Throttles")
            ],
            [metrics.waiting_messages(feed.dead_letters).with_(label="Dead letters")],
        ),
        Graph(
            "Change feed: transitions a minute",
            [
                metrics.count(each, label=each.label).with_(period=cdk.Duration.minutes(1))
                for each in metrics_of(MetricGroup.FEED)
            ],
        ),
        Graph("History: throttles and system errors", history_problems(history)),
    )


def _alarms(title: str, alarms: Sequence[cloudwatch.IAlarm]) -> cloudwatch.IWidget:
    # Four alarms fit into a line.
    return cloudwatch.AlarmStatusWidget(
        title=title, alarms=list(alarms), width=_WIDTH, height=1 + -(-len(alarms) // 4)
    )


def _runbook(
    environment_name: str, deployed: str, sections: Sequence[str], url: str | None
) -> cloudwatch.IWidget:
    links = (f"[{each}]({url}#{anchor(each)})" if url else each for each in sections)
    return cloudwatch.TextWidget(
        markdown=(
            f"**{environment_name}**, deployed: {deployed} · The description of an alarm names the"
            " section of docs/runbook.md that says what it means and what to do:"
            f" {' · '.join(links)}"
        ),
        width=_WIDTH,
        height=3,
    )


def _who_needs_attention(cleanup_log_group: str, census_period: cdk.Duration) -> cloudwatch.IWidget:
    # "Now" is the last two runs, whatever time range the dashboard shows.
    milliseconds = 2 * int(census_period.to_milliseconds())
    business_id, attention, seconds = ATTENTION_FIELDS
    return cloudwatch.LogQueryWidget(
        title="Who needs attention now, and for how many seconds",
        log_group_names=[cleanup_log_group],
        query_lines=[
            f'filter message = "{NEEDS_ATTENTION}"',
            f"filter toMillis(@timestamp) >= now() * 1000 - {milliseconds}",
            f"stats latest({attention}) as needs, max({seconds}) as age by {business_id}",
            "sort age desc",
            "limit 500",
        ],
        view=cloudwatch.LogQueryVisualizationType.TABLE,
        width=_WIDTH,
        height=6,
    )
