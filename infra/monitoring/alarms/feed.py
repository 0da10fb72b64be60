"""Alarms on the change feed: do consumers learn in time how a business changed?

The functions' errors and throttles have no alarms of their own. A batch that fails or is rejected
is retried, so it makes the feed late, and one that is given up is a dead letter.
"""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.configuration import Sustained, Thresholds
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.metrics import ServiceMetrics
from infra.service.change_feed import ChangeFeed
from infra.service.function import ServiceFunction
from lambdas.observability import MetricName

STUCK_PERIOD: Final = cdk.Duration.minutes(15)

STUCK: Final = Sustained(2, 2)
"""Two periods in a row: what happened at the very end of one is handled in the next."""


def feed_alarms(
    thresholds: Thresholds, metrics: ServiceMetrics, feed: ChangeFeed
) -> list[AlarmDefinition]:
    """The alarms on the functions of the change feed, and on what they gave up."""
    return [
        _late(
            thresholds,
            metrics,
            feed.recorder,
            "Consumers of the change feed learn late that a business went on or off, and short"
            " changes are never recorded",
        ),
        _late(
            thresholds,
            metrics,
            feed.publisher,
            "Consumers of the change feed learn late that a business went on or off, though the"
            " history is right",
        ),
        _stuck(
            metrics,
            feed.recorder,
            "The change feed is silent, and the history has only what the cleanup finds: devices"
            " connect",
            caused_by=metrics.count(MetricName.CONNECTED),
        ),
        _stuck(
            metrics,
            feed.publisher,
            "The change feed is silent, though the history is right: transitions are recorded",
            caused_by=metrics.count(MetricName.TRANSITIONS),
        ),
        AlarmDefinition(
            "FeedDeadLetters",
            "Feed dead letters",
            Severity.TICKET,
            "Consumers of the change feed may have missed something: some changes could not be"
            " recorded or published and were given up. The dead-letter queue names them.",
            metric=metrics.waiting_messages(feed.dead_letters),
            threshold=1,
        ),
    ]


def _late(
    thresholds: Thresholds, metrics: ServiceMetrics, function: ServiceFunction, effect: str
) -> AlarmDefinition:
    """Fires when a function handles records that have waited for long in its stream."""
    return AlarmDefinition(
        f"{function.node.id}Late",
        "Feed late",
        Severity.IMPAIRED,
        f"{effect}: {function.node.id} is {thresholds.feed_age} s or more behind its stream.",
        metric=metrics.iterator_age(function),
        threshold=thresholds.feed_age * 1_000,
        sustained=thresholds.service,
    )


def _stuck(
    metrics: ServiceMetrics,
    function: ServiceFunction,
    effect: str,
    *,
    caused_by: cloudwatch.IMetric,
) -> AlarmDefinition:
    """Fires when a function is never called, although something happened. Its age has no data then.

    With FILL, there is a value in every period, so two periods that are apart do not add up.
    """
    name = function.node.id
    return AlarmDefinition(
        f"{name}Stuck",
        "Feed stuck",
        Severity.IMPAIRED,
        f"{effect}, and {name} is not called. Lambda may not be reading its stream.",
        metric=cloudwatch.MathExpression(
            expression="IF(FILL(happened, 0) >= 1, FILL(calls, 0), 1)",
            using_metrics={
                "happened": caused_by,
                "calls": metrics.function(function, "Invocations"),
            },
            label=f"Calls of {name}; 1 if there is nothing to do",
            period=STUCK_PERIOD,
        ),
        threshold=1,
        comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
        sustained=STUCK,
    )
