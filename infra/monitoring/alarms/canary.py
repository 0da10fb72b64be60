"""Alarms on the canary, which sees what devices and businesses see, whatever the cause is."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.configuration import Canary
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.metrics import ServiceMetrics
from lambdas.observability import MetricName

UNPUNCTUAL: Final = 120
"""By how many seconds more than usual two results can be apart: the schedule is exact to a minute,
and a run that fails takes longer than one that succeeds.
"""


def canary_alarms(metrics: ServiceMetrics, canary: Canary) -> list[AlarmDefinition]:
    """The alarms on what the canary's runs found, and on runs that are missing.

    It begins to run once it has a credential. Until its first run, `CanaryFailed` has
    INSUFFICIENT_DATA, and ServiceImpaired ignores `CanarySilent`.
    """
    # One run that fails or is missing leaves two intervals without success, at most. Shorter
    # periods, of which some must fail, would be empty or hold two runs now and then, and the alarm
    # would come and go during one incident.
    window = cdk.Duration.seconds(2 * canary.interval + UNPUNCTUAL)
    # If two runs overlap, each ends the other's socket. One that succeeds is enough.
    succeeded = metrics.count(MetricName.CANARY_SUCCEEDED).with_(statistic="Maximum", period=window)
    return [
        AlarmDefinition(
            "CanaryFailed",
            "Canary failed",
            Severity.IMPAIRED,
            "Devices may be unable to connect or to hear orders, or businesses to open and close:"
            " a device that we play from outside the APIs failed in two runs, one after the other."
            " Its log says at which step.",
            metric=succeeded,
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            missing_data=cloudwatch.TreatMissingData.IGNORE,
        ),
        AlarmDefinition(
            "CanarySilent",
            "Canary silent",
            Severity.IMPAIRED,
            "Nobody would notice if devices and businesses could not reach the APIs: the canary,"
            " which plays one of them, missed two runs in a row.",
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
            only_after="CanaryFailed",
        ),
    ]
