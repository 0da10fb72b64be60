"""One page that answers what somebody on call asks, in the order in which it is asked."""

from collections.abc import Mapping, Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.configuration import Environment
from infra.data.table import ATTENTION_INDEX, CONNECTION_INDEX
from infra.monitoring.alarms import TABLE_OPERATIONS, Alarms, anchor
from infra.monitoring.metrics import ServiceMetrics, aws_metric
from infra.service.rest_api import STAGE as REST_STAGE
from infra.service.rest_api import RestApi
from infra.service.websocket_api import STAGE as WEBSOCKET_STAGE
from infra.service.websocket_api import WebSocketApi
from lambdas.metrics import MetricName

NEEDS_ATTENTION: Final = "needs attention"
"""The message that the cleanup logs for each business in trouble, with these fields."""
ATTENTION_FIELDS: Final = ("businessId", "attention", "seconds")

_WIDTH: Final = 24
_HALF: Final = 12
_THIRD: Final = 8


class Dashboard(Construct):
    """What is wrong, which businesses it hurts, and what in the service may be the cause."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        deployed: str,
        metrics: ServiceMetrics,
        alarms: Alarms,
        websocket: WebSocketApi,
        rest: RestApi,
        functions: Mapping[str, lambda_.IFunction],
        cleanup_logs: logs.ILogGroup,
        dead_letters: sqs.IQueue,
        table: dynamodb.ITable,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dashboard = cloudwatch.Dashboard(
            self, "Dashboard", default_interval=cdk.Duration.hours(3)
        )
        for row in (
            [_alarms("Alarms that page", alarms.paging)],
            [_alarms("What is wrong, and what can wait", alarms.behind)],
            [_runbook(environment, deployed, alarms.sections)],
            [_businesses(metrics), _connections(metrics)],
            [_who_needs_attention(environment, cleanup_logs)],
            [_cleanup(metrics), _cleanup_runs(metrics, dead_letters), _sockets(metrics)],
            [_websocket_api(websocket), _rest_api(rest)],
            _functions(functions),
            [_table_capacity(table), _table_throttles(table), _table_errors(table)],
        ):
            self.dashboard.add_widgets(*row)


def _alarms(title: str, alarms: Sequence[cloudwatch.AlarmBase]) -> cloudwatch.IWidget:
    # Four alarms are beside each other in a line.
    return cloudwatch.AlarmStatusWidget(
        title=title, alarms=list(alarms), width=_WIDTH, height=1 + -(-len(alarms) // 4)
    )


def _runbook(
    environment: Environment, deployed: str, sections: Sequence[str]
) -> cloudwatch.IWidget:
    url = environment.on_call.runbook_url
    links = (f"[{each}]({url}#{anchor(each)})" if url else each for each in sections)
    return cloudwatch.TextWidget(
        markdown=(
            f"**{environment.name}**, deployed: {deployed} · What an alarm means and what to do is"
            " in the section of docs/runbook.md that its description names:"
            f" {' · '.join(links)}"
        ),
        width=_WIDTH,
        height=3,
    )


def _who_needs_attention(
    environment: Environment, cleanup_logs: logs.ILogGroup
) -> cloudwatch.IWidget:
    # Of the last two runs, whatever the dashboard's own time range: who was in trouble three
    # hours ago is another question.
    milliseconds = 2 * environment.cleanup.interval * 1_000
    business_id, attention, seconds = ATTENTION_FIELDS
    return cloudwatch.LogQueryWidget(
        title="Who needs attention now, and for how many seconds",
        log_group_names=[cleanup_logs.log_group_name],
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


def _connections(metrics: ServiceMetrics) -> cloudwatch.IWidget:
    real = metrics.gauge(MetricName.REAL_CONNECTIONS, label="Real connections")
    virtual = metrics.gauge(MetricName.VIRTUAL_CONNECTIONS, label="Virtual connections")
    ratio = cloudwatch.MathExpression(
        expression="real / virtual",
        using_metrics={"real": real, "virtual": virtual},
        label="Real per virtual",
        period=metrics.census_period,
    )
    return cloudwatch.GraphWidget(
        title="Connections",
        width=_HALF,
        left=[real, virtual],
        right=[ratio],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _businesses(metrics: ServiceMetrics) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="Businesses",
        width=_HALF,
        left=[metrics.gauge(MetricName.ONLINE_BUSINESSES, label="Online")],
        right=[
            metrics.gauge(MetricName.VIRTUAL_ONLY_BUSINESSES, label="Virtual without real"),
            metrics.gauge(MetricName.UNREACHABLE_BUSINESSES, label="Unreachable"),
            metrics.count(MetricName.ATTENTION_ENTERED, label="Attention entered"),
        ],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _cleanup(metrics: ServiceMetrics) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="What the cleanup did",
        width=_THIRD,
        left=[
            metrics.count(MetricName.STALE_REAL_REMOVED, label="Stale real removed"),
            metrics.count(MetricName.EXPIRED_VIRTUAL_REMOVED, label="Expired virtual removed"),
            metrics.count(MetricName.PROBES_UNKNOWN, label="Probes without an answer"),
            metrics.count(MetricName.CLEANUP_REFUSED, label="Removals refused"),
        ],
        left_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _cleanup_runs(metrics: ServiceMetrics, dead_letters: sqs.IQueue) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="Cleanup runs",
        width=_THIRD,
        left=[
            metrics.completed_runs(label="Completed"),
            aws_metric(
                "AWS/SQS",
                "ApproximateNumberOfMessagesVisible",
                {"QueueName": dead_letters.queue_name},
                statistic="Maximum",
                label="Could not be started",
            ),
        ],
        right=[metrics.longest_run(label="Longest run, ms")],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _sockets(metrics: ServiceMetrics) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="Sockets and messages",
        width=_THIRD,
        left=[
            metrics.count(MetricName.CONNECTED, label="Connected"),
            metrics.count(MetricName.DISCONNECTED, label="Disconnected"),
        ],
        right=[
            metrics.count(MetricName.MESSAGES_SENT, label="Messages sent"),
            metrics.count(MetricName.MESSAGES_GONE, label="Messages to sockets that were gone"),
        ],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _websocket_api(websocket: WebSocketApi) -> cloudwatch.IWidget:
    dimensions = {"ApiId": websocket.api.api_id, "Stage": WEBSOCKET_STAGE}
    counts = ("ConnectCount", "MessageCount", "ClientError", "ExecutionError", "IntegrationError")
    return cloudwatch.GraphWidget(
        title="WebSocket API",
        width=_HALF,
        left=[aws_metric("AWS/ApiGateway", name, dimensions) for name in counts],
        right=[aws_metric("AWS/ApiGateway", "IntegrationLatency", dimensions, statistic="p99")],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _rest_api(rest: RestApi) -> cloudwatch.IWidget:
    dimensions = {"ApiName": rest.api.rest_api_name, "Stage": REST_STAGE}
    counts = ("Count", "4XXError", "5XXError")
    return cloudwatch.GraphWidget(
        title="REST API",
        width=_HALF,
        left=[aws_metric("AWS/ApiGateway", name, dimensions) for name in counts],
        right=[aws_metric("AWS/ApiGateway", "Latency", dimensions, statistic="p99")],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _functions(functions: Mapping[str, lambda_.IFunction]) -> list[cloudwatch.IWidget]:
    def graph(title: str, metric: str, statistic: str) -> cloudwatch.IWidget:
        return cloudwatch.GraphWidget(
            title=title,
            width=_THIRD,
            left=[
                aws_metric(
                    "AWS/Lambda",
                    metric,
                    {"FunctionName": function.function_name},
                    statistic=statistic,
                    label=name,
                )
                for name, function in functions.items()
            ],
            left_y_axis=cloudwatch.YAxisProps(min=0),
        )

    return [
        graph("Function errors", "Errors", "Sum"),
        graph("Function throttles", "Throttles", "Sum"),
        graph("Function duration, p99", "Duration", "p99"),
    ]


def _table_capacity(table: dynamodb.ITable) -> cloudwatch.IWidget:
    name = {"TableName": table.table_name}
    return cloudwatch.GraphWidget(
        title="Table: capacity",
        width=_THIRD,
        left=[aws_metric("AWS/DynamoDB", "ConsumedReadCapacityUnits", name)],
        right=[aws_metric("AWS/DynamoDB", "ConsumedWriteCapacityUnits", name)],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _table_throttles(table: dynamodb.ITable) -> cloudwatch.IWidget:
    name = {"TableName": table.table_name}
    return cloudwatch.GraphWidget(
        title="Table: throttled",
        width=_THIRD,
        left=[
            aws_metric(
                "AWS/DynamoDB",
                f"{kind}ThrottleEvents",
                {**name, "GlobalSecondaryIndexName": index} if index else name,
                label=f"{kind}s of {index or 'the table'}",
            )
            for kind in ("Read", "Write")
            for index in ("", CONNECTION_INDEX, ATTENTION_INDEX)
        ],
        left_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _table_errors(table: dynamodb.ITable) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="Table: system errors",
        width=_THIRD,
        left=[
            aws_metric(
                "AWS/DynamoDB",
                "SystemErrors",
                {"TableName": table.table_name, "Operation": operation},
                label=operation,
            )
            for operation in TABLE_OPERATIONS
        ],
        left_y_axis=cloudwatch.YAxisProps(min=0),
    )
