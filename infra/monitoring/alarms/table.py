"""Alarms on the table."""

from collections.abc import Mapping

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb

from infra.configuration import Thresholds
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.metrics import (
    ServiceMetrics,
    table_metric,
    table_system_errors,
    table_throttles,
)


def table_alarms(
    thresholds: Thresholds, metrics: ServiceMetrics, table: dynamodb.ITable
) -> list[AlarmDefinition]:
    """The alarms on the table and its indexes.

    DynamoDB publishes a count only when something happens, and an alarm on its metrics keeps its
    state while data is missing, whatever it is told: after one throttled minute it would stay in
    ALARM. The cleanup reads the table in every period, and where one metric of a sum has data,
    metric math takes the others as 0. So each sum includes the read capacity, times 0.
    """

    def total(label: str, counts: Mapping[str, cloudwatch.IMetric]) -> cloudwatch.MathExpression:
        return cloudwatch.MathExpression(
            expression=" + ".join(("0 * consumed", *counts)),
            using_metrics={
                "consumed": table_metric(table, "ConsumedReadCapacityUnits"),
                **counts,
            },
            label=label,
            period=metrics.period_with_a_run,
        )

    return [
        AlarmDefinition(
            "TableThrottles",
            "Table throttles",
            Severity.IMPAIRED,
            "Requests of businesses, devices and customer apps fail or are slow: DynamoDB"
            " throttles the table or one of its indexes.",
            metric=total("Throttled calls", table_throttles(table)),
            threshold=thresholds.throttles,
            sustained=thresholds.service,
        ),
        AlarmDefinition(
            "TableSystemErrors",
            "Table system errors",
            Severity.IMPAIRED,
            "Requests of businesses, devices and customer apps fail: DynamoDB answers with"
            " internal errors.",
            metric=total("System errors", table_system_errors(table)),
            threshold=thresholds.errors_minimum,
            sustained=thresholds.service,
        ),
    ]
