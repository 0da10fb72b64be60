"""The metrics that alarms and the dashboard refer to: the code's own, and those of AWS services."""

import re
from collections.abc import Mapping
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.configuration import Environment
from lambdas.metrics import DIMENSION, NAMESPACE, WORKER_DIMENSION, MetricName

HEALTH_MINUTES: Final = 5
"""The period in which what AWS counts is looked at."""


class ServiceMetrics:
    """The service's own metrics in one environment.

    `census_period` is the time between two census counts: a shorter period would show gaps.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment.name
        self._workers = environment.cleanup.workers
        self.census_period = cdk.Duration.seconds(environment.cleanup.interval)
        self.health_period = cdk.Duration.seconds(
            max(environment.cleanup.interval, HEALTH_MINUTES * 60)
        )
        """For what the cleanup causes too: no shorter than the time between two runs."""

    def gauge(self, name: MetricName, *, label: str | None = None) -> cloudwatch.IMetric:
        """Return what one census counted: the largest count of the period.

        Of several workers, it is what all of them together counted. Where one has published
        nothing there is no data: part of a census is none, and must not give the all-clear.
        """
        of_workers = self.of_each_worker(name, "Maximum", self.census_period)
        if len(of_workers) == 1:
            return self._metric(name, "Maximum", self.census_period, label)
        all_are_there = " AND ".join(f"FILL({each}, -1) >= 0" for each in of_workers)
        return cloudwatch.MathExpression(
            expression=f"IF({all_are_there}, {' + '.join(of_workers)})",
            using_metrics=of_workers,
            label=label or name.value,
            period=self.census_period,
        )

    def count(self, name: MetricName, *, label: str | None = None) -> cloudwatch.Metric:
        """Return how often something happened in a census period."""
        return self._metric(name, "Sum", self.census_period, label)

    def longest_run(self, *, label: str) -> cloudwatch.Metric:
        """Return how long the longest cleanup run of a period took, in milliseconds."""
        return self._metric(MetricName.CLEANUP_DURATION, "Maximum", self.census_period, label)

    def completed_runs(self, *, label: str) -> cloudwatch.IMetric:
        """Return how many cleanup runs were completed in a period, of all workers together."""
        of_workers = self.of_each_worker(MetricName.CLEANUP_COMPLETED, "Sum", self.census_period)
        if len(of_workers) == 1:
            return self.count(MetricName.CLEANUP_COMPLETED, label=label)
        return cloudwatch.MathExpression(
            expression=" + ".join(of_workers),
            using_metrics=of_workers,
            label=label,
            period=self.census_period,
        )

    def of_each_worker(
        self, name: MetricName, statistic: str, period: cdk.Duration
    ) -> Mapping[str, cloudwatch.IMetric]:
        """Return a metric of the census as each worker publishes it, by ids for metric math."""
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name.value).lower()
        if self._workers == 1:
            return {snake: self._metric(name, statistic, period, None)}
        return {
            f"{snake}_{worker}": self._metric(
                name, statistic, period, f"{name} of worker {worker}", str(worker)
            )
            for worker in range(self._workers)
        }

    def planned_work(self) -> cloudwatch.Metric:
        """Return what an operator publishes to announce planned work. The code never does."""
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=PLANNED_WORK,
            dimensions_map={DIMENSION: self._environment},
            statistic="Maximum",
            period=cdk.Duration.minutes(5),
        )

    def _metric(
        self,
        name: MetricName,
        statistic: str,
        period: cdk.Duration,
        label: str | None,
        worker: str | None = None,
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name.value,
            dimensions_map={
                DIMENSION: self._environment,
                **({} if worker is None else {WORKER_DIMENSION: worker}),
            },
            statistic=statistic,
            period=period,
            label=label,
        )


PLANNED_WORK: Final = "PlannedWork"
"""The metric that operators publish, with the value 1, before they cause alarms knowingly."""


def aws_metric(
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    *,
    statistic: str = "Sum",
    period: cdk.Duration | None = None,
    label: str | None = None,
) -> cloudwatch.Metric:
    """Return a metric that an AWS service publishes."""
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dict(dimensions),
        statistic=statistic,
        period=period or cdk.Duration.minutes(HEALTH_MINUTES),
        label=label,
    )
