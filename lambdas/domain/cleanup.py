"""The cleanup: removes what is no longer a connection, marks who needs attention, takes the census.

The Scan only nominates. What removes a connection is an answer of the management API or a
condition of the table; what marks a business is one consistent Query.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields, replace
from typing import Final, Self

from lambdas.domain.brake import Brake, CarefulSockets
from lambdas.domain.errors import InvalidValue, Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import (
    Attention,
    Business,
    Clock,
    Instant,
    RealConnection,
    VirtualConnection,
)
from lambdas.domain.ports import SocketAnswer, Sockets, Store
from lambdas.domain.removal import close_and_remove, remove_gone
from lambdas.domain.rules import Rules
from lambdas.domain.status import BusinessStatus, judge

SEGMENTS_PER_WORKER: Final = 4
"""Segments of the table that one worker reads in parallel."""

MAX_NAMED: Final = 500
"""Businesses in trouble that a run names; it counts them all."""

_WAITING: Final = 16
"""Businesses of one segment that may wait to be handled: bounds the memory, whatever the table."""


@dataclass(slots=True)
class Report:
    """What one run saw and did, in numbers. Reports of parts add up to the report of the whole."""

    # What was stored.
    businesses: int = 0
    real: int = 0
    virtual: int = 0

    # What was done. In a dry run: what would have been done.
    probed: int = 0
    gone: int = 0
    """Removed because the management API answered 410."""
    silent: int = 0
    """Claimed, closed and removed, because the client was not heard from."""
    expired: int = 0
    """Virtual connections removed because their lease is over."""
    unknown: int = 0
    """Left alone because the management API could not tell; tried again at the next run."""
    too_young: int = 0
    refused: int = 0
    """Left alone because the run had already removed too many."""
    failed: int = 0
    """Businesses that could not be handled because the table did not answer."""
    read_units: float = 0
    """What walking the table consumed, in read request units."""

    # The census: what counts now.
    active_real: int = 0
    active_virtual: int = 0
    online: int = 0
    virtual_only: int = 0
    """Businesses with virtual connections alone, for longer than the grace period."""
    unreachable: int = 0
    """Businesses that nothing reaches, for longer than the grace period."""
    attention_entered: int = 0
    """Businesses whose need for attention outlived the grace period in this run."""

    def saw(self, business: Business) -> None:
        """Count what is stored of one more business."""
        self.businesses += 1
        self.real += len(business.real)
        self.virtual += len(business.virtual)

    def add(self, other: Self) -> None:
        """Add another report's numbers to this one's."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclass(frozen=True, slots=True)
class Trouble:
    """A business that has needed attention for longer than the grace period."""

    business_id: BusinessId
    attention: Attention
    seconds: int


@dataclass(frozen=True, slots=True)
class CleanupRun:
    """The report of one run, and whether it saw its whole share. Only then it is a census."""

    report: Report
    complete: bool
    dry_run: bool
    in_trouble: Sequence[Trouble]
    """Who is counted as virtual-only or unreachable, up to `MAX_NAMED` of them."""


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the table that one of several workers walks."""

    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.worker < self.workers:
            raise InvalidValue("worker", f"must be 0 to {self.workers - 1} of {self.workers}")

    @property
    def total_segments(self) -> int:
        """Into how many segments all workers together divide the table."""
        return self.workers * SEGMENTS_PER_WORKER

    @property
    def segments(self) -> range:
        """The segments of this worker."""
        first = self.worker * SEGMENTS_PER_WORKER
        return range(first, first + SEGMENTS_PER_WORKER)


_WHOLE: Final = Share()


class _Run:
    """What one run may do, and how far it got."""

    def __init__(
        self,
        *,
        now: Instant,
        dry_run: bool,
        brake: Brake,
        sockets: CarefulSockets,
        out_of_time: Callable[[], bool],
    ) -> None:
        self.now = now
        """When the run began. Judging by it is cautious: nothing gets older during the run."""
        self.dry_run = dry_run
        self.brake = brake
        self.sockets = sockets
        self.out_of_time = out_of_time
        self.complete = True
        self.in_trouble: list[Trouble] = []

    def outcome(self, report: Report) -> CleanupRun:
        """What this run did, once it is over."""
        named = tuple(self.in_trouble[:MAX_NAMED])
        return CleanupRun(report, self.complete, self.dry_run, named)


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Removes stale and expired connections, of one business or of all.

    `pace` waits until the management API may be called once more, `pace_marks` until the marks of
    one more business may be written: all of them share two keys of an index, and one key of an
    index takes 1,000 writes a second.
    """

    store: Store
    sockets: Sockets
    rules: Rules
    clock: Clock
    pace: Callable[[], None]
    pace_marks: Callable[[], None]
    threads: int = 16

    def cleanup_business_connections(
        self, business_id: BusinessId, *, dry_run: bool = False
    ) -> CleanupRun:
        """Clean up the connections of one business now."""
        run = self._begin(dry_run=dry_run, force=False, out_of_time=lambda: False)
        business = self.store.load(business_id)
        run.brake.saw(len(business.real))
        report = self._clean(business, run)
        report.saw(business)
        return run.outcome(report)

    def cleanup_all_connections(
        self,
        *,
        out_of_time: Callable[[], bool],
        dry_run: bool = False,
        force: bool = False,
        share: Share = _WHOLE,
    ) -> CleanupRun:
        """Walk a share of the table once, its segments in parallel.

        Stops where it is when `out_of_time` says so. `force` releases the brake: for an operator
        who knows that the removals are right.
        """
        run = self._begin(dry_run=dry_run, force=force, out_of_time=out_of_time)
        report = Report()
        with (
            ThreadPoolExecutor(max_workers=self.threads) as jobs,
            ThreadPoolExecutor(max_workers=SEGMENTS_PER_WORKER) as walkers,
        ):
            for walked in walkers.map(
                lambda segment: self._walk(segment, share.total_segments, run, jobs),
                share.segments,
            ):
                report.add(walked)
        return run.outcome(report)

    def _begin(self, *, dry_run: bool, force: bool, out_of_time: Callable[[], bool]) -> _Run:
        return _Run(
            now=self.clock(),
            dry_run=dry_run,
            brake=Brake(forced=force),
            sockets=CarefulSockets(self.sockets, self.pace),
            out_of_time=out_of_time,
        )

    def _walk(
        self, segment: int, total_segments: int, run: _Run, jobs: ThreadPoolExecutor
    ) -> Report:
        """Stream one segment; hand every business that needs more than counting to a job."""
        report = Report()

        def meter(read_units: float) -> None:
            report.read_units += read_units

        pending: set[Future[Report]] = set()
        try:
            for business in self.store.scan(segment, total_segments, meter):
                if run.out_of_time():
                    run.complete = False
                    break
                run.brake.saw(len(business.real))
                report.saw(business)
                status = judge(business, run.now, self.rules)
                if not self._has_work(business, status):
                    _count(report, status)
                    continue
                pending.add(jobs.submit(self._clean, business, run))
                if len(pending) >= _WAITING:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for job in done:
                        report.add(job.result())
        except Unavailable:
            run.complete = False
        for job in pending:
            report.add(job.result())
        return report

    def _has_work(self, business: Business, status: BusinessStatus) -> bool:
        """Whether a business needs more than to be counted."""
        settings = business.settings
        return (
            status.attention is not None
            or (settings is not None and settings.attention is not None)
            or status.real < len(business.real)
            or status.virtual < len(business.virtual)
            or any(self.rules.is_quiet(c, status.as_of) for c in business.real)
        )

    def _clean(self, business: Business, run: _Run) -> Report:
        report = Report()
        try:
            kept = tuple(c for c in business.real if not self._removes_real(c, run, report))
            for virtual in business.virtual:
                self._clean_virtual(virtual, run, report)
            self._watch(replace(business, real=kept), run, report)
        except Unavailable:
            report.failed += 1
            run.complete = False
        return report

    def _removes_real(self, connection: RealConnection, run: _Run, report: Report) -> bool:
        if self.rules.is_young(connection, run.now):
            report.too_young += 1
            return False
        if run.out_of_time():
            run.complete = False
            return False
        if self.rules.is_silent(connection, run.now):
            return self._closes_silent(connection, run, report)
        if self.rules.is_quiet(connection, run.now):
            return self._removes_gone(connection, run, report)
        return False

    def _closes_silent(self, connection: RealConnection, run: _Run, report: Report) -> bool:
        if run.sockets.out:
            # A claim that cannot be followed by a close would only turn the client's pings away.
            report.unknown += 1
            return False
        if not run.brake.allows_removal():
            report.refused += 1
            return False
        if run.dry_run:
            report.silent += 1
            return False
        # The claim must hold from now on, however long ago this run began.
        if not self.store.claim_real(connection, self.clock()):
            run.brake.not_removed()  # a ping came in between: it wins
            return False
        if not close_and_remove(
            connection, store=self.store, sockets=run.sockets, rules=self.rules, now=run.now
        ):
            run.brake.not_removed()
            report.unknown += 1
            return False
        report.silent += 1
        return True

    def _removes_gone(self, connection: RealConnection, run: _Run, report: Report) -> bool:
        report.probed += 1
        answer = run.sockets.probe(connection.connection_id)
        if answer is SocketAnswer.UNKNOWN:
            report.unknown += 1
        if answer is not SocketAnswer.GONE:
            return False
        if not run.brake.allows_removal():
            report.refused += 1
            return False
        report.gone += 1
        return not run.dry_run and remove_gone(
            connection, store=self.store, rules=self.rules, now=run.now
        )

    def _clean_virtual(self, connection: VirtualConnection, run: _Run, report: Report) -> None:
        if self.rules.is_active(connection, run.now):
            return
        if run.brake.pulled:
            report.refused += 1
        elif run.dry_run or self.store.remove_expired_virtual(connection, run.now):
            report.expired += 1

    def _watch(self, business: Business, run: _Run, report: Report) -> None:
        """Count the business as it is now, and keep its attention marks true."""
        status = judge(business, run.now, self.rules)
        flagged = business.settings is not None and business.settings.attention is not None
        if status.attention is not None or flagged:
            business = self.store.load(business.business_id)
            status = judge(business, run.now, self.rules)
        _count(report, status)
        settings = business.settings
        if settings is None or (status.attention is None and settings.attention is None):
            return
        if status.attention is None:
            if not run.dry_run:
                self.pace_marks()
                self.store.write_attention(business, None, since=run.now, counted=False)
            return
        since = settings.attention_since if settings.attention_since is not None else run.now
        past_grace = run.now - since >= self.rules.attention_grace
        if past_grace:
            if status.attention is Attention.VIRTUAL_ONLY:
                report.virtual_only += 1
            else:
                report.unreachable += 1
            if len(run.in_trouble) < MAX_NAMED:
                seconds = run.now - since
                run.in_trouble.append(Trouble(business.business_id, status.attention, seconds))
        counted = settings.attention_counted or past_grace
        unchanged = (
            settings.attention is status.attention
            and settings.attention_since == since
            and settings.attention_counted == counted
        )
        if unchanged or run.dry_run:
            return
        self.pace_marks()
        written = self.store.write_attention(
            business, status.attention, since=since, counted=counted
        )
        if written and counted and not settings.attention_counted:
            report.attention_entered += 1


def _count(report: Report, status: BusinessStatus) -> None:
    report.active_real += status.real
    report.active_virtual += status.virtual
    report.online += status.online is True
