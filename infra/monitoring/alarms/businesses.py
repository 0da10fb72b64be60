"""Alarms on businesses: can they hear their orders?"""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.configuration import Sustained, Thresholds
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.metrics import ServiceMetrics
from lambdas.observability import MetricName

BURST_RUNS: Final = 3
"""How many cleanup runs report the businesses that lost their devices at the same moment.

Their devices last pinged at different times, so two runs find them silent. Each of these is
reported one or two runs later, when the grace period is over.
"""

_TOLD: Final = {"page": Severity.PAGE, "ticket": Severity.TICKET, "nobody": Severity.NO_ACTION}


def business_alarms(thresholds: Thresholds, metrics: ServiceMetrics) -> list[AlarmDefinition]:
    """The alarms on what the census counts.

    Two see only businesses that newly need attention, so trouble that lasts cannot hide new trouble
    from them. The others say how many there are.

    Without a census nothing is known, so alarms on its gauges keep their state then.
    CleanupDidNotComplete reports that it is missing.
    """
    entered = metrics.count(MetricName.ATTENTION_ENTERED)
    virtual_only = metrics.gauge(MetricName.VIRTUAL_ONLY_BUSINESSES)
    unreachable = metrics.gauge(MetricName.UNREACHABLE_BUSINESSES)
    real = metrics.gauge(MetricName.REAL_CONNECTIONS)
    lost = cloudwatch.MathExpression(
        expression="-DIFF(real)",
        using_metrics={"real": real},
        label="Lost since the last census",
        period=metrics.census_period,
    )
    return [
        AlarmDefinition(
            "AttentionEntered",
            "Attention entered",
            _TOLD[thresholds.single_business],
            "One more business cannot hear its orders: it has had no device connected for longer"
            " than the grace period. This fires even while others are already in trouble.",
            metric=entered,
            threshold=1,
        ),
        AlarmDefinition(
            "AttentionBurst",
            "Attention burst",
            Severity.PAGE,
            f"{thresholds.attention_burst} or more businesses stopped hearing their orders at about"
            " the same time. So many at once probably have one common cause. This fires even while"
            " others are already in trouble.",
            metric=entered.with_(
                period=cdk.Duration.seconds(metrics.census_period.to_seconds() * BURST_RUNS)
            ),
            threshold=thresholds.attention_burst,
        ),
        AlarmDefinition(
            "VirtualWithoutReal",
            "Virtual without real",
            Severity.PAGE,
            f"Customers see {thresholds.virtual_only} or more businesses open that have no device"
            " connected: nobody there hears the orders.",
            metric=virtual_only,
            threshold=thresholds.virtual_only,
            sustained=thresholds.businesses,
            missing_data=cloudwatch.TreatMissingData.IGNORE,
        ),
        AlarmDefinition(
            "UnreachableBusinesses",
            "Unreachable businesses",
            Severity.PAGE,
            f"{thresholds.unreachable} or more businesses lose orders without knowing it: they"
            " accept orders, but have no connection at all, so customers see them closed.",
            metric=unreachable,
            threshold=thresholds.unreachable,
            sustained=thresholds.businesses,
            missing_data=cloudwatch.TreatMissingData.IGNORE,
        ),
        AlarmDefinition(
            "AttentionShare",
            "Attention share",
            Severity.PAGE,
            f"Many orders are lost: {thresholds.attention_percent} % or more of the businesses that"
            " accept orders have no device connected, and they are"
            f" {thresholds.attention_minimum} or more. So many probably have one common cause.",
            metric=cloudwatch.MathExpression(
                # Businesses that are virtual-only are online, those that are unreachable are not.
                expression=(
                    f"IF(virtual_only + unreachable >= {thresholds.attention_minimum},"
                    " 100 * (virtual_only + unreachable) / (online + unreachable), 0)"
                ),
                using_metrics={
                    "virtual_only": virtual_only,
                    "unreachable": unreachable,
                    "online": metrics.gauge(MetricName.ONLINE_BUSINESSES),
                },
                label="Percent of the businesses that accept orders",
                period=metrics.census_period,
            ),
            threshold=thresholds.attention_percent,
            sustained=thresholds.businesses,
            missing_data=cloudwatch.TreatMissingData.IGNORE,
        ),
        AlarmDefinition(
            "MassDisconnect",
            "Mass disconnect",
            Severity.PAGE,
            "Many businesses cannot hear their orders, or soon will not:"
            f" {thresholds.mass_disconnect_percent} % or more of all connections were lost"
            " between two censuses. The cause may be the WebSocket API, a network, or a bad"
            " release of the devices' app.",
            metric=cloudwatch.MathExpression(
                expression=(
                    f"IF(drop >= {thresholds.mass_disconnect_minimum},"
                    " 100 * drop / (real + drop), 0)"
                ),
                using_metrics={"real": real, "drop": lost},
                label="Percent of the real connections that were lost",
                period=metrics.census_period,
            ),
            threshold=thresholds.mass_disconnect_percent,
            # DIFF compares two periods: with one alone it would have nothing to compare.
            sustained=Sustained(1, 2),
        ),
    ]
