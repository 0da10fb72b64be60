"""The metrics that alarms and the dashboard show: the service's own, and those of AWS services.

An expression of metric math sets the period of all metrics in it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sqs as sqs

from infra.configuration import Cleanup
from infra.service.function import ServiceFunction
from infra.service.functions import TABLE_OPERATIONS
from infra.service.rest_api import STAGE as REST_STAGE
from infra.service.rest_api import RestApi
from infra.service.websocket_api import STAGE as WEBSOCKET_STAGE
from infra.service.websocket_api import WebSocketApi
from lambdas.observability import (
    DIMENSION,
    NAMESPACE,
    PLANNED_WORK,
    STEP_DIMENSION,
    WORKER_DIMENSION,
    CanaryStep,
    MetricName,
)
from lambdas.table_schema import ATTENTION_INDEX, CONNECTION_INDEX

HEALTH_PERIOD: Final = cdk.Duration.minutes(5)
"""The period of the metrics of AWS services."""

HISTORY_OPERATIONS: Final = ("Query", "TransactWriteItems")
"""The operations that the code calls on the history."""


class ServiceMetrics:
    """The metrics of the service in one environment: its own, and those with a generated name.

    `read_name` turns the name of a resource of the service stack into one that this stack may use.
    """

    def __init__(
        self, environment_name: str, cleanup: Cleanup, *, read_name: Callable[[str], str]
    ) -> None:
        self._environment_name = environment_name
        self._read_name = read_name
        self._workers = cleanup.workers
        self.census_period = cdk.Duration.seconds(cleanup.interval)
        """The time between two censuses. In a shorter period, most data would be missing."""
        self.period_with_a_run = cdk.Duration.seconds(
            max(cleanup.interval, HEALTH_PERIOD.to_seconds())
        )
        """The health period, or a longer one if necessary for a cleanup run in each."""

    def gauge(self, name: MetricName, *, label: str | None = None) -> cloudwatch.IMetric:
        """What a census counted, summed over all workers.

        There is no data while a worker's count is missing: part of a census must not end an alarm.
        """
        return self._of_all_workers(name, "Maximum", label, if_all_are_there=True)

    def completed_runs(self) -> cloudwatch.IMetric:
        """How many cleanup runs were completed in a census period, of all workers."""
        name = MetricName.CLEANUP_COMPLETED
        return self._of_all_workers(name, "Sum", name.label, if_all_are_there=False)

    def count(self, name: MetricName, *, label: str | None = None) -> cloudwatch.Metric:
        """How often something happened in a census period."""
        return self._metric(name, "Sum", label)

    def canary_step(self, step: CanaryStep) -> cloudwatch.Metric:
        """How long a step of the canary took, in milliseconds."""
        return self._metric(
            MetricName.CANARY_STEP_DURATION, "Maximum", step, {STEP_DIMENSION: step}
        )

    def longest_run(self) -> cloudwatch.Metric:
        """How long the longest cleanup run of a period took, in milliseconds."""
        name = MetricName.CLEANUP_DURATION
        return self._metric(name, "Maximum", name.label)

    def planned_work(self) -> cloudwatch.Metric:
        """The metric that announces planned work."""
        return self._metric(PLANNED_WORK, "Maximum").with_(period=HEALTH_PERIOD)

    def of_each_worker(self, name: MetricName, statistic: str) -> Mapping[str, cloudwatch.Metric]:
        """A metric of the cleanup as each worker publishes it, by its id in metric math."""
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        if self._workers == 1:
            return {snake: self._metric(name, statistic)}
        return {
            f"{snake}_{worker}": self._metric(
                name, statistic, f"{name} of worker {worker}", {WORKER_DIMENSION: str(worker)}
            )
            for worker in range(self._workers)
        }

    def function(self, function: ServiceFunction, name: str) -> cloudwatch.Metric:
        """The sum of a metric that Lambda publishes of a function."""
        function_name = self._read_name(function.function.function_name)
        return _aws_metric("AWS/Lambda", name, FunctionName=function_name)

    def iterator_age(self, function: ServiceFunction) -> cloudwatch.Metric:
        """How long the oldest record that a function got had waited in its stream (ms).

        It is the age for all versions and aliases, of which only `live` reads a stream.
        """
        return self.function(function, "IteratorAge").with_(statistic="Maximum")

    def websocket(self, websocket: WebSocketApi, name: str) -> cloudwatch.Metric:
        """The sum of a metric that API Gateway publishes of the WebSocket API."""
        api_id = self._read_name(websocket.api.api_id)
        return _aws_metric("AWS/ApiGateway", name, ApiId=api_id, Stage=WEBSOCKET_STAGE)

    def waiting_messages(self, queue: sqs.IQueue) -> cloudwatch.Metric:
        """How many messages wait in a queue."""
        name = "ApproximateNumberOfMessagesVisible"
        queue_name = self._read_name(queue.queue_name)
        return _aws_metric("AWS/SQS", name, QueueName=queue_name).with_(statistic="Maximum")

    def _of_all_workers(
        self, name: MetricName, statistic: str, label: str | None, *, if_all_are_there: bool
    ) -> cloudwatch.IMetric:
        if self._workers == 1:
            return self._metric(name, statistic, label)
        workers = self.of_each_worker(name, statistic)
        total = " + ".join(workers)
        if if_all_are_there:
            condition = " AND ".join(f"FILL({each}, -1) >= 0" for each in workers)
            total = f"IF({condition}, {total})"
        return cloudwatch.MathExpression(
            expression=total,
            using_metrics=workers,
            label=label or name,
            period=self.census_period,
        )

    def _metric(
        self,
        name: str,
        statistic: str,
        label: str | None = None,
        dimensions: Mapping[str, str] | None = None,
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=str(name),
            dimensions_map={DIMENSION: self._environment_name, **(dimensions or {})},
            statistic=statistic,
            period=self.census_period,
            label=label,
        )


def rest_metric(rest: RestApi, name: str) -> cloudwatch.Metric:
    """The sum of a metric that API Gateway publishes of the REST API."""
    return _aws_metric("AWS/ApiGateway", name, ApiName=rest.api.rest_api_name, Stage=REST_STAGE)


def table_metric(table: dynamodb.ITable, name: str, **dimensions: str) -> cloudwatch.Metric:
    """The sum of a metric that DynamoDB publishes of the table, or of a part of it."""
    return _aws_metric("AWS/DynamoDB", name, TableName=table.table_name, **dimensions)


def table_throttles(table: dynamodb.ITable) -> Mapping[str, cloudwatch.Metric]:
    """The throttled reads and writes of the table and each index, by their ids in math."""
    return {
        f"{kind.lower()}s_{index.lower() or 'table'}": table_metric(
            table,
            f"{kind}ThrottleEvents",
            **({"GlobalSecondaryIndexName": index} if index else {}),
        ).with_(label=f"{kind}s of {index or 'the table'}")
        for kind in ("Read", "Write")
        for index in ("", CONNECTION_INDEX, ATTENTION_INDEX)
    }


def history_problems(history: dynamodb.ITable) -> list[cloudwatch.IMetric]:
    """The throttled calls and the internal errors of the history table."""
    return [
        *(
            table_metric(history, f"{kind}ThrottleEvents").with_(label=f"Throttled {kind.lower()}s")
            for kind in ("Read", "Write")
        ),
        *(
            table_metric(history, "SystemErrors", Operation=operation).with_(
                label=f"System errors of {operation}"
            )
            for operation in HISTORY_OPERATIONS
        ),
    ]


def table_system_errors(table: dynamodb.ITable) -> Mapping[str, cloudwatch.Metric]:
    """DynamoDB's internal errors of each operation, by their ids in math."""
    return {
        operation[0].lower() + operation[1:]: table_metric(
            table, "SystemErrors", Operation=operation
        ).with_(label=operation)
        for operation in TABLE_OPERATIONS
    }


def _aws_metric(namespace: str, name: str, **dimensions: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        statistic="Sum",
        period=HEALTH_PERIOD,
    )
