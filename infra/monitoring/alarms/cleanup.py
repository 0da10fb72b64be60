"""Alarms on the cleanup. Without it, the alarms on businesses are blind."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from infra.configuration import Thresholds
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.alarms.functions import duration, throttles
from infra.monitoring.metrics import ServiceMetrics, function_metric, waiting_messages
from infra.service.function import ServiceFunction
from lambdas.metrics import MetricName

MISSED_RUNS: Final = 3
"""How many runs in a row may fail before an alarm fires. A single one is a hiccup."""


def cleanup_alarms(
    thresholds: Thresholds,
    metrics: ServiceMetrics,
    *,
    cleanup: ServiceFunction,
    dead_letters: sqs.IQueue,
) -> list[AlarmDefinition]:
    """Return the alarms on the cleanup's function, its schedule and its work."""
    window = cdk.Duration.seconds(metrics.census_period.to_seconds() * MISSED_RUNS)
    completed = metrics.of_each_worker(MetricName.CLEANUP_COMPLETED, "Sum", window)
    return [
        AlarmDefinition(
            name="CleanupDidNotComplete",
            section="Cleanup did not complete",
            severity=Severity.IMPAIRED,
            meaning=(
                "The alarms about businesses are blind: customers may order from businesses that"
                " cannot hear them, and nobody is paged. The cleanup has completed no run in"
                f" {MISSED_RUNS} intervals, so connections are not counted and dead ones stay."
            ),
            metric=cloudwatch.MathExpression(
                # Without FILL, an alarm on one period would use the last data point that it finds,
                # and fire some periods late.
                expression=" + ".join(f"(FILL({each}, 0) > 0)" for each in completed),
                using_metrics=completed,
                label="Workers that completed a run",
                period=window,
            ),
            threshold=len(completed),
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            missing_data=cloudwatch.TreatMissingData.BREACHING,
            # The emulator takes one worker only.
            simple_metric=next(iter(completed.values())),
            # At the very first deployment there was no run yet that could have completed. An alarm
            # that ignores missing data has INSUFFICIENT_DATA until the first census, and never
            # again. If the cleanup fails from its first run on, CleanupFailed or CleanupThrottles
            # page.
            only_after="UnreachableBusinesses",
        ),
        AlarmDefinition(
            name="CleanupRefused",
            section="Cleanup refused",
            severity=Severity.IMPAIRED,
            meaning=(
                "Many devices may be gone, or the cleanup wrongly takes them for gone: it found"
                " more dead connections than one run may remove, and left the rest. The refusal"
                " itself harms no customer."
            ),
            metric=metrics.count(MetricName.CLEANUP_REFUSED),
            threshold=1,
        ),
        AlarmDefinition(
            name="CleanupFailed",
            section="Cleanup failed",
            severity=Severity.IMPAIRED,
            meaning=(
                "What customers see stays right, but the alarms about businesses may go blind and"
                " dead connections may stay: cleanup runs end with an error or time out."
            ),
            metric=function_metric(cleanup, "Errors", period=metrics.census_period),
            threshold=1,
            sustained=thresholds.service,
        ),
        AlarmDefinition(
            name="CleanupDeadLetters",
            section="Cleanup dead letters",
            severity=Severity.TICKET,
            meaning=(
                "Nothing is lost yet, because the next cleanup run does the work: some runs could"
                " not be started. The dead-letter queue says why."
            ),
            metric=waiting_messages(dead_letters),
            threshold=1,
        ),
        AlarmDefinition(
            name="ProbesUnknown",
            section="Probes unknown",
            severity=Severity.IMPAIRED,
            meaning=(
                "What customers see stays right, but dead connections stay: the cleanup cannot find"
                " out which sockets are open, because the management API fails, throttles or"
                " denies its requests."
            ),
            metric=metrics.count(MetricName.PROBES_UNKNOWN),
            threshold=thresholds.probes_unknown,
            sustained=thresholds.service,
        ),
        # It runs a few times an hour: one throttled call is a run that is missing.
        throttles(thresholds, cleanup, threshold=1),
        duration(thresholds, cleanup, period=metrics.period_with_a_run),
    ]
