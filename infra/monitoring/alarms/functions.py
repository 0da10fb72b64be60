"""Alarms on the Lambda functions."""

from collections.abc import Sequence

import aws_cdk as cdk

from infra.configuration import Thresholds
from infra.metric_math import percent_failed
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.metrics import HEALTH_PERIOD, ServiceMetrics
from infra.service.function import ServiceFunction


def function_alarms(
    thresholds: Thresholds, metrics: ServiceMetrics, answering: Sequence[ServiceFunction]
) -> list[AlarmDefinition]:
    """The alarms on the functions that answer a caller."""
    return [
        definition
        for function in answering
        for definition in (
            errors(thresholds, metrics, function),
            throttles(thresholds, metrics, function, threshold=thresholds.throttles),
            duration(thresholds, metrics, function),
        )
    ]


def errors(
    thresholds: Thresholds, metrics: ServiceMetrics, function: ServiceFunction
) -> AlarmDefinition:
    """Fires when a share of the calls of a function fails."""
    name = function.node.id
    return AlarmDefinition(
        f"{name}Errors",
        "Function errors",
        Severity.IMPAIRED,
        f"Callers of the function {name} get errors: {thresholds.errors_percent} % or more of"
        " its calls fail. The runbook says whom that affects.",
        metric=percent_failed(
            {"errors": metrics.function(function, "Errors")},
            {"calls": metrics.function(function, "Invocations")},
            minimum=thresholds.errors_minimum,
            label=f"Percent of the calls of {name} that failed",
            period=HEALTH_PERIOD,
        ),
        threshold=thresholds.errors_percent,
        sustained=thresholds.service,
    )


def throttles(
    thresholds: Thresholds, metrics: ServiceMetrics, function: ServiceFunction, *, threshold: int
) -> AlarmDefinition:
    """Fires when Lambda rejects calls of a function."""
    name = function.node.id
    return AlarmDefinition(
        f"{name}Throttles",
        "Function throttles",
        Severity.IMPAIRED,
        f"Calls of the function {name} are rejected and fail: Lambda has no concurrency left"
        " for it.",
        metric=metrics.function(function, "Throttles"),
        threshold=threshold,
        sustained=thresholds.service,
    )


def duration(
    thresholds: Thresholds,
    metrics: ServiceMetrics,
    function: ServiceFunction,
    *,
    period: cdk.Duration = HEALTH_PERIOD,
) -> AlarmDefinition:
    """Fires when calls of a function come close to its timeout."""
    name, timeout = function.node.id, function.function.timeout
    assert timeout is not None  # noqa: S101 - ServiceFunction always sets one
    milliseconds = timeout.to_milliseconds()
    return AlarmDefinition(
        f"{name}Duration",
        "Function duration",
        Severity.TICKET,
        f"Calls of the function {name} are close to failing: they take"
        f" {thresholds.duration_percent} % or more of its timeout of {milliseconds / 1000:g} s.",
        metric=metrics.function(function, "Duration").with_(statistic="Maximum", period=period),
        threshold=milliseconds * thresholds.duration_percent / 100,
        sustained=thresholds.service,
    )
