"""Alarms on the cleanup. Without it, the alarms on businesses are blind."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from infra.configuration import Thresholds
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.alarms.functions import duration, throttles
from infra.monitoring.metrics import ServiceMetrics
from infra.service.function import ServiceFunction
from lambdas.observability import MetricName

MISSED_RUNS: Final = 3
"""How many intervals must pass without a completed run before an alarm fires."""


def cleanup_alarms(
    thresholds: Thresholds,
    metrics: ServiceMetrics,
    *,
    cleanup: ServiceFunction,
    dead_letters: sqs.IQueue,
) -> list[AlarmDefinition]:
    """The alarms on the cleanup's function, its schedule and its work."""
    window = cdk.Duration.seconds(metrics.census_period.to_seconds() * MISSED_RUNS)
    completed = metrics.of_each_worker(MetricName.CLEANUP_COMPLETED, "Sum")
    return [
        AlarmDefinition(
            "CleanupDidNotComplete",
            "Cleanup did not complete",
            Severity.IMPAIRED,
            "The alarms about businesses are blind: customers may order from businesses that"
            " cannot hear them, and nobody is paged. A cleanup worker has completed no run in"
            f" {MISSED_RUNS} intervals, so businesses are not counted and dead connections stay.",
            metric=cloudwatch.MathExpression(
                # Without FILL, CloudWatch would go on with the last period that had data, and the
                # alarm would fire some periods late.
                expression=" + ".join(f"(FILL({each}, 0) > 0)" for each in completed),
                using_metrics=completed,
                label="Workers that completed a run",
                period=window,
            ),
            threshold=len(completed),
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            missing_data=cloudwatch.TreatMissingData.BREACHING,
            # At the very first deployment there is no run yet that could have completed. The other
            # alarm ignores missing data, so it has INSUFFICIENT_DATA until the first census and
            # never again. A cleanup that fails from its first run on pages through CleanupFailed or
            # CleanupThrottles.
            only_after="UnreachableBusinesses",
        ),
        AlarmDefinition(
            "CleanupRefused",
            "Cleanup refused",
            Severity.IMPAIRED,
            "Many devices may be gone, or the cleanup may wrongly believe so: it found more dead"
            " connections than one run may remove, and left the rest. The refusal itself harms no"
            " customer.",
            metric=metrics.count(MetricName.CLEANUP_REFUSED),
            threshold=1,
        ),
        AlarmDefinition(
            "CleanupFailed",
            "Cleanup failed",
            Severity.IMPAIRED,
            "What customers see stays right, but the alarms about businesses may go blind and"
            " dead connections may stay: cleanup runs end with an error or time out.",
            metric=metrics.function(cleanup, "Errors").with_(period=metrics.census_period),
            threshold=1,
            sustained=thresholds.service,
        ),
        AlarmDefinition(
            "CleanupDeadLetters",
            "Cleanup dead letters",
            Severity.TICKET,
            "Nothing is lost yet, because the next cleanup run does the work: some runs could"
            " not be started. The dead-letter queue says why.",
            metric=metrics.waiting_messages(dead_letters),
            threshold=1,
        ),
        AlarmDefinition(
            "ProbesUnknown",
            "Probes unknown",
            Severity.IMPAIRED,
            "What customers see stays right, but dead connections stay: the cleanup cannot find"
            " out which sockets are open, because the management API fails, throttles or"
            " denies its requests.",
            metric=metrics.count(MetricName.PROBES_UNKNOWN),
            threshold=thresholds.probes_unknown,
            sustained=thresholds.service,
        ),
        # Each call is a run: a single rejected one matters.
        throttles(thresholds, metrics, cleanup, threshold=1),
        duration(thresholds, metrics, cleanup, period=metrics.period_with_a_run),
    ]
