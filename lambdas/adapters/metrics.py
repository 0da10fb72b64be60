"""CloudWatch metrics, written as log lines in the embedded metric format (EMF) by Powertools."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from lambdas.domain.identifiers import CANARY, BusinessId
from lambdas.observability import (
    DIMENSION,
    NAMESPACE,
    STEP_DIMENSION,
    VERSION_DIMENSION,
    WORKER_DIMENSION,
    CanaryStep,
    MetricName,
    attention_fields,
)

if TYPE_CHECKING:
    from lambdas.use_cases.attention import AttentionReport


class Metrics:
    """Counts what happens during one event, and writes at once what must not be lost.

    `environment` returns the name of the environment. It is called only when there is something to
    write.
    """

    def __init__(self, environment: Callable[[], str]) -> None:
        self._environment = environment
        self._counted: EphemeralMetrics | None = None
        # Powertools prints a line and its line break separately. Without the lock, two threads
        # could mix up their lines, and CloudWatch would read neither as a metric.
        self._one_line_at_a_time = threading.Lock()

    def count(
        self, name: MetricName, value: float = 1, unit: MetricUnit = MetricUnit.Count
    ) -> None:
        """Add a data point. `write_counted` writes it."""
        if self._counted is None:
            self._counted = self._new()
        self._counted.add_metric(name=name, unit=unit, value=value)

    def count_of(self, business_id: BusinessId | None, name: MetricName, value: float = 1) -> None:
        """Add a data point about a business, if it is known. The canary's is left out."""
        if business_id != CANARY:
            self.count(name, value)

    def write_counted(self) -> None:
        """Write what was counted since the last call, if anything was."""
        if self._counted is not None:
            counted, self._counted = self._counted, None
            counted.flush_metrics()

    def publish_of_version(self, name: MetricName, version: str) -> None:
        """Write one data point now, with the version of the function as an additional dimension."""
        metrics = self._new()
        metrics.add_dimension(VERSION_DIMENSION, version)
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
        metrics.flush_metrics()

    def publish_census(self, values: Mapping[MetricName, float], *, worker: int | None) -> None:
        """Write gauges now. `worker` is an additional dimension; None if there is only one."""
        metrics = self._new()
        if worker is not None:
            metrics.add_dimension(WORKER_DIMENSION, str(worker))
        for name, value in values.items():
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
        metrics.flush_metrics()

    def publish_canary(self, *, succeeded: bool, milliseconds: Mapping[CanaryStep, float]) -> None:
        """Write the result of one run of the canary now, and how long each of its steps took."""
        metrics = self._new()
        metrics.add_metric(
            name=MetricName.CANARY_SUCCEEDED, unit=MetricUnit.Count, value=int(succeeded)
        )
        metrics.flush_metrics()
        for step, value in milliseconds.items():
            metrics = self._new()
            metrics.add_dimension(STEP_DIMENSION, step)
            metrics.add_metric(
                name=MetricName.CANARY_STEP_DURATION, unit=MetricUnit.Milliseconds, value=value
            )
            metrics.flush_metrics()

    def report_attention(self, report: "AttentionReport") -> None:
        """Report one business that newly needs attention. It is written at once, so that no later
        failure can lose it.

        The business id is a field of the log line, not a dimension. Any thread may call this.
        """
        metrics = self._new()
        metrics.add_metric(name=MetricName.ATTENTION_ENTERED, unit=MetricUnit.Count, value=1)
        fields = attention_fields(report.business_id, report.attention, report.seconds)
        for name, value in fields.items():
            metrics.add_metadata(name, value)
        with self._one_line_at_a_time:
            metrics.flush_metrics()

    def _new(self) -> EphemeralMetrics:
        # Do not name a `service`, here or in the environment: Powertools makes it a dimension.
        metrics = EphemeralMetrics(namespace=NAMESPACE)
        metrics.add_dimension(DIMENSION, self._environment())
        return metrics
