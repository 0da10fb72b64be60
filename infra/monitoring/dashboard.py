"""One page that shows how businesses are connected, and whether this service is well."""

from collections.abc import Mapping, Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.monitoring.metrics import ServiceMetrics
from infra.service.rest_api import RestApi
from infra.service.websocket_api import STAGE, WebSocketApi
from lambdas.metrics import MetricName

_HALF: Final = 12
_THIRD: Final = 8
_PERIOD: Final = 5  # minutes


class Dashboard(Construct):
    """The business first, the machinery below it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        metrics: ServiceMetrics,
        alarms: Sequence[cloudwatch.Alarm],
        websocket: WebSocketApi,
        rest: RestApi,
        functions: Mapping[str, lambda_.IFunction],
        dead_letters: sqs.IQueue,
        table: dynamodb.ITable,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dashboard = cloudwatch.Dashboard(
            self, "Dashboard", default_interval=cdk.Duration.hours(3)
        )
        self.dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=24, height=3)
        )
        self.dashboard.add_widgets(_connections(metrics), _businesses(metrics))
        self.dashboard.add_widgets(
            _cleanup(metrics), _cleanup_runs(metrics, dead_letters), _sockets(metrics)
        )
        self.dashboard.add_widgets(_websocket_api(websocket), _rest_api(rest), _table(table))
        self.dashboard.add_widgets(*_functions(functions))


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
            metrics.count(MetricName.CLEANUP_COMPLETED, label="Completed"),
            dead_letters.metric_approximate_number_of_messages_visible(
                label="Could not be started"
            ),
        ],
        right=[metrics.gauge(MetricName.CLEANUP_DURATION, label="Longest run")],
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
    def metric(name: str, statistic: str = "Sum") -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/ApiGateway",
            metric_name=name,
            dimensions_map={"ApiId": websocket.api.api_id, "Stage": STAGE},
            statistic=statistic,
            period=cdk.Duration.minutes(_PERIOD),
        )

    return cloudwatch.GraphWidget(
        title="WebSocket API",
        width=_THIRD,
        left=[
            metric("ConnectCount"),
            metric("MessageCount"),
            metric("ClientError"),
            metric("ExecutionError"),
            metric("IntegrationError"),
        ],
        right=[metric("IntegrationLatency", "p99")],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _rest_api(rest: RestApi) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="REST API",
        width=_THIRD,
        left=[
            rest.api.metric_count(),
            rest.api.metric_client_error(),
            rest.api.metric_server_error(),
        ],
        right=[rest.api.metric_latency(statistic="p99")],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
    )


def _functions(functions: Mapping[str, lambda_.IFunction]) -> list[cloudwatch.IWidget]:
    def graph(title: str, lines: Sequence[cloudwatch.IMetric]) -> cloudwatch.IWidget:
        return cloudwatch.GraphWidget(
            title=title,
            width=_THIRD,
            left=list(lines),
            left_y_axis=cloudwatch.YAxisProps(min=0),
        )

    return [
        graph(
            "Function errors",
            [function.metric_errors(label=name) for name, function in functions.items()],
        ),
        graph(
            "Function throttles",
            [function.metric_throttles(label=name) for name, function in functions.items()],
        ),
        graph(
            "Function duration, p99",
            [
                function.metric_duration(label=name, statistic="p99")
                for name, function in functions.items()
            ],
        ),
    ]


def _table(table: dynamodb.ITable) -> cloudwatch.IWidget:
    def metric(name: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/DynamoDB",
            metric_name=name,
            dimensions_map={"TableName": table.table_name},
            statistic="Sum",
            period=cdk.Duration.minutes(_PERIOD),
        )

    return cloudwatch.GraphWidget(
        title="Table",
        width=_THIRD,
        left=[metric("ReadThrottleEvents"), metric("WriteThrottleEvents")],
        right=[metric("ConsumedReadCapacityUnits"), metric("ConsumedWriteCapacityUnits")],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
    )
