"""Alarms on the canary, which sees what devices and businesses see, whatever the cause is."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.configuration import Canary, Thresholds
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.metrics import ServiceMetrics
from lambdas.observability import MetricName

MISSED_RUNS: Final = 3
"""How many intervals must pass without a run before an alarm fires."""


def canary_alarms(
    thresholds: Thresholds, metrics: ServiceMetrics, canary: Canary
) -> list[AlarmDefinition]:
    """Return the alarms on what the canary's runs found, and on runs that are missing.

    It begins to run once it has a credential. Until its first run, `CanaryFailed` has
    INSUFFICIENT_DATA, and ServiceImpaired ignores `CanarySilent`.
    """
    interval = cdk.Duration.seconds(canary.interval)
    window = cdk.Duration.seconds(canary.interval * MISSED_RUNS)
    # If two runs overlap, each ends the other's socket. One that succeeds is enough.
    succeeded = metrics.count(MetricName.CANARY_SUCCEEDED).with_(
        statistic="Maximum", period=interval
    )
    return [
        AlarmDefinition(
            "CanaryFailed",
            "Canary failed",
            Severity.IMPAIRED,
            "Devices may be unable to connect or to hear orders, or businesses to open and close:"
            " a device that we play from outside the APIs fails in run after run. Its log says at"
            " which step.",
            metric=succeeded,
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            sustained=thresholds.service,
            missing_data=cloudwatch.TreatMissingData.IGNORE,
        ),
        AlarmDefinition(
            "CanarySilent",
            "Canary silent",
            Severity.IMPAIRED,
            "Nobody would notice if devices and businesses could not reach the APIs: the canary,"
            f" which plays one of them, has not run in {MISSED_RUNS} intervals.",
            metric=cloudwatch.MathExpression(
                # Without FILL, CloudWatch would go on with the last period that had data, and the
                # alarm would fire some periods late.
                expression="FILL(succeeded, -1)",
                using_metrics={"succeeded": succeeded},
                label="1 if a run succeeded, 0 if all failed, -1 if there was none",
                period=window,
            ),
            threshold=0,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            missing_data=cloudwatch.TreatMissingData.BREACHING,
            simple_metric=succeeded.with_(period=window),
            only_after="CanaryFailed",
        ),
    ]
