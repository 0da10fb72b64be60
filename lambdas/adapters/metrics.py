"""CloudWatch metrics, as log lines in EMF, by Powertools."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from lambdas.metrics import DIMENSION, NAMESPACE, VERSION_DIMENSION, WORKER_DIMENSION, MetricName

if TYPE_CHECKING:
    from lambdas.domain.attention import Trouble


class Metrics:
    """Counts what happens during one event, and writes what cannot wait for its end.

    `environment` names the environment. It is called only when there is something to count.
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

    def write_counted(self) -> None:
        """Write what was counted since the last call, if anything was."""
        if self._counted is not None:
            counted, self._counted = self._counted, None
            counted.flush_metrics()

    def publish_of_version(self, name: MetricName, version: str) -> None:
        """Write one data point now, with the version of the function as a further dimension."""
        metrics = self._new()
        metrics.add_dimension(VERSION_DIMENSION, version)
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
        metrics.flush_metrics()

    def publish_census(self, values: Mapping[MetricName, float], *, worker: int | None) -> None:
        """Write gauges now. `worker` is a further dimension, or None if there is only one."""
        metrics = self._new()
        if worker is not None:
            metrics.add_dimension(WORKER_DIMENSION, str(worker))
        for name, value in values.items():
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
        metrics.flush_metrics()

    def tell_attention(self, trouble: "Trouble") -> None:
        """Report one business that newly needs attention, at once: no later failure can lose it.

        The business id is a field of the log line, not a dimension. Threads may call this.
        """
        metrics = self._new()
        metrics.add_metric(name=MetricName.ATTENTION_ENTERED, unit=MetricUnit.Count, value=1)
        metrics.add_metadata("businessId", trouble.business_id)
        metrics.add_metadata("attention", trouble.attention)
        metrics.add_metadata("seconds", trouble.seconds)
        with self._one_line_at_a_time:
            metrics.flush_metrics()

    def _new(self) -> EphemeralMetrics:
        # No `service`, here or in the environment: Powertools would make it a dimension.
        metrics = EphemeralMetrics(namespace=NAMESPACE)
        metrics.add_dimension(DIMENSION, self._environment())
        return metrics
