"""The scheduled cleanup. Also for operators, by hand: ``{"dryRun": true}``, ``{"force": true}``."""

import time
from typing import Any, Final

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import bootstrap, protocol
from lambdas.domain.cleanup import CleanupRun
from lambdas.domain.errors import InvalidValue
from lambdas.handlers.telemetry import Event, count, instrumented, logger
from lambdas.metrics import MetricName

_RESERVED_MILLISECONDS: Final = 10_000
"""A run stops this long before its function would be ended, so that it can say what it did."""


@instrumented
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """Walk the table once; publish the census if all of it was seen. Returns the report."""
    options = _options(event)

    def out_of_time() -> bool:
        return context.get_remaining_time_in_millis() < _RESERVED_MILLISECONDS

    began = time.monotonic()
    run = bootstrap.cleanup().cleanup_all_connections(
        out_of_time=out_of_time, dry_run=options["dryRun"], force=options["force"]
    )
    milliseconds = round((time.monotonic() - began) * 1000)
    report: dict[str, Any] = {**protocol.cleanup_document(run), "milliseconds": milliseconds}
    logger.info("cleanup", extra={"report": report})
    if not run.dry_run:
        _publish(run, milliseconds)
    return report


def _options(event: Event) -> dict[str, bool]:
    options = {"dryRun": False, "force": False}
    for name, value in event.items():
        if name not in options:
            raise InvalidValue(name, f"is not an option; the options are: {', '.join(options)}")
        if not isinstance(value, bool):
            raise InvalidValue(name, "must be true or false")
        options[name] = value
    return options


def _publish(run: CleanupRun, milliseconds: int) -> None:
    report = run.report
    count(MetricName.STALE_REAL_REMOVED, report.gone + report.silent)
    count(MetricName.EXPIRED_VIRTUAL_REMOVED, report.expired)
    count(MetricName.PROBES_UNKNOWN, report.unknown)
    count(MetricName.CLEANUP_REFUSED, report.refused)
    count(MetricName.ATTENTION_ENTERED, report.attention_entered)
    count(MetricName.CLEANUP_DURATION, milliseconds, MetricUnit.Milliseconds)
    if not run.complete:
        return  # half a census is none
    count(MetricName.REAL_CONNECTIONS, report.active_real)
    count(MetricName.VIRTUAL_CONNECTIONS, report.active_virtual)
    count(MetricName.ONLINE_BUSINESSES, report.online)
    count(MetricName.VIRTUAL_ONLY_BUSINESSES, report.virtual_only)
    count(MetricName.UNREACHABLE_BUSINESSES, report.unreachable)
    count(MetricName.CLEANUP_COMPLETED)
