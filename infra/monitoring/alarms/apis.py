"""Alarms on the REST API and the WebSocket API."""

import aws_cdk as cdk

from infra.configuration import Thresholds
from infra.metric_math import percent_failed
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.metrics import HEALTH_PERIOD, ServiceMetrics, rest_metric
from infra.service.rest_api import RestApi
from infra.service.websocket_api import WebSocketApi


def api_alarms(
    thresholds: Thresholds, metrics: ServiceMetrics, *, rest: RestApi, websocket: WebSocketApi
) -> list[AlarmDefinition]:
    """The alarms on both APIs."""
    return [
        AlarmDefinition(
            "RestServerErrors",
            "REST server errors",
            Severity.IMPAIRED,
            "Businesses may be unable to open or close, and customer apps to ask who is online: the"
            f" REST API answers {thresholds.errors_percent} % or more of its requests with 5xx.",
            metric=percent_failed(
                {"errors": rest_metric(rest, "5XXError")},
                {"requests": rest_metric(rest, "Count")},
                minimum=thresholds.errors_minimum,
                label="Percent of the requests that failed",
                period=HEALTH_PERIOD,
            ),
            threshold=thresholds.errors_percent,
            sustained=thresholds.service,
        ),
        AlarmDefinition(
            "RestLatency",
            "REST latency",
            Severity.TICKET,
            "Customer apps wait: one in a hundred REST requests takes"
            f" {thresholds.rest_latency_ms} ms or longer.",
            metric=rest_metric(rest, "Latency").with_(statistic="p99"),
            threshold=thresholds.rest_latency_ms,
            sustained=thresholds.service,
        ),
        AlarmDefinition(
            "WebSocketErrors",
            "WebSocket errors",
            Severity.IMPAIRED,
            "Devices may be unable to connect or ping, so their businesses may miss orders: API"
            f" Gateway cannot pass on {thresholds.errors_percent} % or more of their connects and"
            " messages.",
            # Not IntegrationError: it also counts answers with 4xx, such as refused handshakes. A
            # function that fails has an alarm of its own.
            metric=percent_failed(
                {"errors": metrics.websocket(websocket, "ExecutionError")},
                {
                    "connects": metrics.websocket(websocket, "ConnectCount"),
                    "messages": metrics.websocket(websocket, "MessageCount"),
                },
                minimum=thresholds.errors_minimum,
                label="Percent of the connects and messages that failed",
                period=HEALTH_PERIOD,
            ),
            threshold=thresholds.errors_percent,
            sustained=thresholds.service,
        ),
        AlarmDefinition(
            "NewConnections",
            "New connections near the quota",
            Severity.TICKET,
            "Devices may soon be unable to connect:"
            f" {thresholds.new_connections_per_second} or more connect per second, and API"
            " Gateway refuses what exceeds the account's quota.",
            metric=metrics.websocket(websocket, "ConnectCount").with_(
                period=cdk.Duration.minutes(1)
            ),
            threshold=thresholds.new_connections_per_second * 60,
            sustained=thresholds.service,
        ),
    ]
