"""Logs and metrics of every function: JSON lines and EMF, by Powertools.

Events are never logged as a whole: they carry tokens.
"""

import functools
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.bootstrap import configuration
from lambdas.metrics import DIMENSION, NAMESPACE, VERSION_DIMENSION, WORKER_DIMENSION, MetricName

if TYPE_CHECKING:
    from lambdas.domain.attention import Trouble

Event = dict[str, Any]
"""An event as API Gateway or the Scheduler sends it."""

Handler = Callable[[Event, LambdaContext], dict[str, Any]]

logger: Final = Logger(service="business-connections", serialize_stacktrace=False)


@cache
def _metrics() -> Metrics:
    # No `service`, here or in the environment: Powertools would make it a dimension.
    metrics = Metrics(namespace=NAMESPACE)
    metrics.set_default_dimensions(**{DIMENSION: configuration().environment})
    return metrics


def count(name: MetricName, value: float = 1, unit: MetricUnit = MetricUnit.Count) -> None:
    """Add a data point; it is written when the handler ends."""
    _metrics().add_metric(name=name, unit=unit, value=value)


def publish_of_version(name: MetricName, version: str) -> None:
    """Write one data point now, with the version of the function as a dimension of its own."""
    metrics = _metrics_of_their_own()
    metrics.add_dimension(VERSION_DIMENSION, version)
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()


def publish_census(values: Mapping[MetricName, float], *, worker: int | None) -> None:
    """Write gauges now, with the worker's own dimension where there are several."""
    metrics = _metrics_of_their_own()
    if worker is not None:
        metrics.add_dimension(WORKER_DIMENSION, str(worker))
    for name, value in values.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
    metrics.flush_metrics()


_one_line_at_a_time: Final = threading.Lock()
"""Powertools prints a line and its line break separately: two threads could mix up their lines, and
neither would be a metric.
"""


def tell_attention(trouble: "Trouble") -> None:
    """Report one business that newly needs attention, at once: a later failure cannot lose it.

    The id is a field of the metric's log line, not a dimension.
    """
    metrics = _metrics_of_their_own()
    metrics.add_metric(name=MetricName.ATTENTION_ENTERED, unit=MetricUnit.Count, value=1)
    metrics.add_metadata("businessId", trouble.business_id)
    metrics.add_metadata("attention", trouble.attention)
    metrics.add_metadata("seconds", trouble.seconds)
    with _one_line_at_a_time:
        metrics.flush_metrics()


def _metrics_of_their_own() -> EphemeralMetrics:
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension(DIMENSION, configuration().environment)
    return metrics


def instrumented(handler: Handler) -> Handler:
    """Give each log line of a handler its request id, and write its metrics when it ends."""

    @functools.wraps(handler)
    def wrapper(event: Event, context: LambdaContext) -> dict[str, Any]:
        try:
            return handler(event, context)
        finally:
            if _metrics().metric_set:
                _metrics().flush_metrics()

    return logger.inject_lambda_context(wrapper, clear_state=True)
