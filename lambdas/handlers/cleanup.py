"""The scheduled cleanup.

The schedule says which worker this is, and of how many: ``{"worker": 0, "workers": 1}``. Operators
also invoke it by hand: ``{"dryRun": true}`` only reports, ``{"force": true}`` ignores the limit of
removals.
"""

import time
from dataclasses import dataclass
from typing import Any, Final, Self

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import protocol
from lambdas.adapters.metrics import Metrics
from lambdas.bootstrap import Service
from lambdas.domain.cleanup_report import CleanupReport
from lambdas.domain.errors import InvalidValue
from lambdas.handlers.entry_point import Event, entry_point, logger
from lambdas.observability import NEEDS_ATTENTION, MetricName, attention_fields
from lambdas.use_cases.cleanup import Share
from lambdas.use_cases.cleanup_run import CleanupRun

_RESERVED_MILLISECONDS: Final = 15_000
"""A run stops this long before the function times out, so that it can still report."""


@entry_point
def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
    """Clean up one worker's share of the table and return the report.

    Publishes the census only if the whole share was seen. Raises the first unexpected error, after
    the rest of the share is done and published.
    """
    options = _Options.from_event(event)

    def out_of_time() -> bool:
        return context.get_remaining_time_in_millis() < _RESERVED_MILLISECONDS

    half = (context.get_remaining_time_in_millis() + _RESERVED_MILLISECONDS) // 2

    def half_time() -> bool:
        return context.get_remaining_time_in_millis() < half

    began = time.monotonic()
    run = service.cleanup.cleanup_all_connections(
        out_of_time=out_of_time,
        half_time=half_time,
        dry_run=options.dry_run,
        force=options.force,
        share=options.share,
    )
    milliseconds = round((time.monotonic() - began) * 1000)
    report: dict[str, Any] = {
        "worker": options.share.worker,
        "workers": options.share.workers,
        **protocol.cleanup_document(run),
        "readUnits": service.store.pop_read_units(),
        "milliseconds": milliseconds,
        "failures": service.sockets.pop_failures(),
    }
    if run.complete and not (run.report.failed or run.report.unrecorded or run.skipped):
        logger.info("cleanup", extra={"report": report})
    else:
        logger.warning("cleanup", extra={"report": report, "skipped": run.skipped})
    for needed in run.attention_reports:
        fields = attention_fields(needed.business_id, needed.attention, needed.seconds)
        logger.warning(NEEDS_ATTENTION, extra=fields)
    for connection, because in run.removed:
        logger.info(
            "connection removed",
            extra={
                "businessId": connection.business_id,
                "connectionId": connection.connection_id,
                "userAgent": connection.user_agent,
                "reason": because,
            },
        )
    for business_id, key in run.unreadable:
        logger.warning("unreadable item", extra={"businessId": business_id, "sortKey": key})
    if not run.dry_run:
        _publish(service.metrics, run, milliseconds, options.share)
    if run.error is not None:
        raise run.error
    return report


@dataclass(frozen=True, slots=True)
class _Options:
    dry_run: bool
    force: bool
    share: Share

    @classmethod
    def from_event(cls, event: Event) -> Self:
        for name, value in event.items():
            kind = _OPTIONS.get(name)
            if kind is None:
                raise InvalidValue(
                    name, f"is not an option; the options are: {', '.join(_OPTIONS)}"
                )
            if type(value) is not kind:
                raise InvalidValue(
                    name, f"must be {'true or false' if kind is bool else 'a whole number'}"
                )
        return cls(
            dry_run=event.get("dryRun", False),
            force=event.get("force", False),
            share=Share(event.get("worker", 0), event.get("workers", 1)),
        )


_OPTIONS: Final = {"dryRun": bool, "force": bool, "worker": int, "workers": int}


def _publish(metrics: Metrics, run: CleanupRun, milliseconds: int, share: Share) -> None:
    report = run.report
    metrics.count(MetricName.STALE_REAL_REMOVED, report.gone + report.silent)
    metrics.count(MetricName.EXPIRED_VIRTUAL_REMOVED, report.expired)
    metrics.count(MetricName.PROBES_UNKNOWN, report.unknown)
    metrics.count(MetricName.CLEANUP_REFUSED, report.refused)
    if report.recorded:
        metrics.count(MetricName.TRANSITIONS, report.recorded)
    # Each business was counted when it was found. This zero only shows that there was a run.
    metrics.count(MetricName.ATTENTION_ENTERED, 0)
    metrics.count(MetricName.CLEANUP_DURATION, milliseconds, MetricUnit.Milliseconds)
    if not run.complete:
        return  # a partial census would look as if the other connections were gone
    metrics.publish_census(
        {**census(report), MetricName.CLEANUP_COMPLETED: 1},
        worker=share.worker if share.workers > 1 else None,
    )


def census(report: CleanupReport) -> dict[MetricName, float]:
    """What a complete run publishes about its share of the table."""
    return {
        MetricName.REAL_CONNECTIONS: report.active_real,
        MetricName.VIRTUAL_CONNECTIONS: report.active_virtual,
        MetricName.ONLINE_BUSINESSES: report.online,
        MetricName.CLOSED_BUSINESSES: report.closed,
        MetricName.VIRTUAL_ONLY_BUSINESSES: report.virtual_only,
        MetricName.UNREACHABLE_BUSINESSES: report.unreachable,
    }
