"""Alarms on businesses: can they hear their orders?"""

from aws_cdk import aws_cloudwatch as cloudwatch

from infra.configuration import Sustained, Thresholds
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.metrics import ServiceMetrics
from lambdas.observability import MetricName


def business_alarms(thresholds: Thresholds, metrics: ServiceMetrics) -> list[AlarmDefinition]:
    """Return the alarms on what the census counts.

    Without a census nothing is known, so alarms on its gauges keep their state then.
    CleanupDidNotComplete reports that it is missing.
    """
    virtual_only = metrics.gauge(MetricName.VIRTUAL_ONLY_BUSINESSES)
    real = metrics.gauge(MetricName.REAL_CONNECTIONS)
    lost = cloudwatch.MathExpression(
        expression="-DIFF(real)",
        using_metrics={"real": real},
        label="Lost since the last census",
        period=metrics.census_period,
    )
    return [
        AlarmDefinition(
            "VirtualWithoutReal",
            "Virtual without real",
            Severity.PAGE,
            "Customers see businesses open that have no device connected: nobody there hears"
            " the orders.",
            metric=virtual_only,
            threshold=thresholds.virtual_only,
            sustained=thresholds.businesses,
            missing_data=cloudwatch.TreatMissingData.IGNORE,
        ),
        AlarmDefinition(
            "VirtualWithoutRealShare",
            "Virtual without real, share",
            Severity.PAGE,
            "Customers order from businesses that cannot hear them:"
            f" {thresholds.virtual_only_percent} % or more of the online ones have no device"
            " connected. So many at once probably have one common cause.",
            metric=cloudwatch.MathExpression(
                expression="IF(online > 0, 100 * virtual_only / online, 0)",
                using_metrics={
                    "virtual_only": virtual_only,
                    "online": metrics.gauge(MetricName.ONLINE_BUSINESSES),
                },
                label="Percent of the online businesses",
                period=metrics.census_period,
            ),
            threshold=thresholds.virtual_only_percent,
            sustained=thresholds.businesses,
            missing_data=cloudwatch.TreatMissingData.IGNORE,
        ),
        AlarmDefinition(
            "AttentionEntered",
            "Attention entered",
            Severity.PAGE,
            "One more business cannot hear its orders: it has had no device connected for longer"
            " than the grace period. This fires even while others are already in trouble.",
            metric=metrics.count(MetricName.ATTENTION_ENTERED),
            threshold=1,
        ),
        AlarmDefinition(
            "UnreachableBusinesses",
            "Unreachable businesses",
            Severity.PAGE,
            "Businesses lose orders without knowing it: they accept orders, but have no"
            " connection at all, so customers see them closed.",
            metric=metrics.gauge(MetricName.UNREACHABLE_BUSINESSES),
            threshold=thresholds.unreachable,
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
