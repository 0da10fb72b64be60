"""The metrics that the code emits, as alarms and dashboards refer to them."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.environments import Environment
from lambdas.metrics import DIMENSION, NAMESPACE, MetricName


class ServiceMetrics:
    """The service's own metrics in one environment.

    `census_period` is the time between two census counts: a shorter period would show gaps.
    """

    def __init__(self, environment: Environment) -> None:
        self._dimensions = {DIMENSION: environment.name}
        self.census_period = cdk.Duration.minutes(environment.cleanup_interval)

    def gauge(self, name: MetricName, *, label: str | None = None) -> cloudwatch.Metric:
        """Return what one census counted: the largest count of the period."""
        return self._metric(name, "Maximum", self.census_period, label)

    def count(
        self, name: MetricName, *, period: cdk.Duration | None = None, label: str | None = None
    ) -> cloudwatch.Metric:
        """Return how often something happened in the period."""
        return self._metric(name, "Sum", period or self.census_period, label)

    def _metric(
        self, name: MetricName, statistic: str, period: cdk.Duration, label: str | None
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name.value,
            dimensions_map=self._dimensions,
            statistic=statistic,
            period=period,
            label=label,
        )
