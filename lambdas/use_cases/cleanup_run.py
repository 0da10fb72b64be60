"""One run of the cleanup: what it may do, and what it found."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from lambdas.domain.brake import Brake
from lambdas.domain.cleanup_report import CleanupReport
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Business, Instant, OutOfTime, RealConnection
from lambdas.use_cases.attention import AttentionReport
from lambdas.use_cases.circuit_breaker import GuardedSockets

MAX_NAMED: Final = 500
"""How many businesses that need attention, unreadable keys or removed real connections a run names.
It counts them all.
"""

RemovedBecause = Literal["gone", "silent"]
"""Why a real connection was removed; `CleanupReport` counts under the same names."""


@dataclass(frozen=True, slots=True)
class CleanupRun:
    """The report of one run, and whether it saw its whole share. Only then it is a census."""

    report: CleanupReport
    complete: bool
    dry_run: bool
    attention_reports: Sequence[AttentionReport]
    """The businesses counted as virtual-only or unreachable, up to `MAX_NAMED` of them."""
    unreadable: Sequence[tuple[BusinessId, str]] = ()
    """Businesses and the store's keys of what could not be read, up to `MAX_NAMED` of them."""
    removed: Sequence[tuple[RealConnection, RemovedBecause]] = ()
    """Real connections that the run removed, up to `MAX_NAMED` of them. A dry run removes none."""
    refused_because: str | None = None
    """Why removals were refused; None if none was."""
    skipped: Sequence[str] = ()
    """What the run did without because the store did not answer, in words. No report counts it."""
    error: BaseException | None = None
    """The first unexpected error. The run skipped what caused it, and went on."""


class RunState:
    """What one run may do, and what it has found so far."""

    def __init__(
        self,
        *,
        now: Instant,
        dry_run: bool,
        brake: Brake,
        sockets: GuardedSockets,
        out_of_time: OutOfTime,
        half_time: OutOfTime,
    ) -> None:
        self.now = now
        """When the run began. Judging by this time is cautious: nothing ages during the run."""
        self.dry_run = dry_run
        self.brake = brake
        self.sockets = sockets
        self.out_of_time = out_of_time
        self.half_time = half_time
        self.complete = True
        self.recorder_failed = False
        """Whether the history did not answer. Every further transition might time out too."""
        self._attention_reports: list[AttentionReport] = []
        self._unreadable: list[tuple[BusinessId, str]] = []
        self._removed: list[tuple[RealConnection, RemovedBecause]] = []
        self._skipped: dict[str, None] = {}
        self._error: BaseException | None = None

    def add_stored(self, business: Business, report: CleanupReport) -> None:
        """Count what is stored of one more business."""
        self.brake.add_seen(len(business.real))
        report.add_stored(business)
        for key in business.unreadable:
            if len(self._unreadable) < MAX_NAMED:
                self._unreadable.append((business.business_id, key))

    def add_attention(self, report: AttentionReport) -> None:
        """Name one more business that needs attention."""
        if len(self._attention_reports) < MAX_NAMED:
            self._attention_reports.append(report)

    def add_removed(self, connection: RealConnection, because: RemovedBecause) -> None:
        """Name one more real connection that was removed."""
        if len(self._removed) < MAX_NAMED:
            self._removed.append((connection, because))

    def add_failure(self, error: BaseException) -> None:
        """Record that something was not handled, so that the run is no census."""
        self.complete = False
        if not isinstance(error, Unavailable):
            self._error = self._error or error

    @contextmanager
    def continuing_after_errors(self, skipped: str) -> Iterator[None]:
        """Go on if something fails in here. `skipped` says what the run then does without. An
        unexpected error is raised at the end of the run.
        """
        try:
            yield
        except Unavailable:
            self._skipped[skipped] = None
        except Exception as error:
            self._error = self._error or error

    def result(self, report: CleanupReport) -> CleanupRun:
        """What this run did, once it is over."""
        return CleanupRun(
            report,
            self.complete,
            self.dry_run,
            tuple(self._attention_reports),
            tuple(self._unreadable),
            tuple(self._removed),
            self.brake.refused_because,
            tuple(self._skipped),
            self._error,
        )
