"""The cleanup: removes what is no longer a connection, marks who needs attention, takes the census.

The Scan only nominates. What removes a connection is an answer of the management API or a condition
of the table; what marks a business is one consistent Query. A failure in one business does not keep
the others from being handled.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Final, Self

from lambdas.domain.attention import Trouble, Watch
from lambdas.domain.brake import Brake, CarefulSockets
from lambdas.domain.errors import InvalidValue, Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import (
    Attention,
    Business,
    Census,
    Clock,
    Instant,
    OutOfTime,
    RealConnection,
    VirtualConnection,
)
from lambdas.domain.ports import SocketAnswer, Sockets, Store
from lambdas.domain.removal import Removal, remove_closed, remove_gone
from lambdas.domain.rules import CLOCK_SKEW, Rules, Verdict
from lambdas.domain.status import BusinessStatus, judge

SEGMENTS_PER_WORKER: Final = 4
"""Segments of the table that one worker reads in parallel."""

MAX_NAMED: Final = 500
"""Businesses in trouble, or unreadable items, that a run names; it counts them all."""

CENSUS_HOLDS: Final = 24 * 60 * 60
"""Seconds after which a census is too old to tell how many connections there are."""

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
    """Real connections left alone because the run had already removed too many."""
    failed: int = 0
    """Connections and businesses that could not be handled: an outage of the table, or a defect."""
    unreadable: int = 0
    """Items that could not be read completely."""
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
    """Businesses that were reported in this run, because they outlasted the grace period."""

    def saw(self, business: Business) -> None:
        """Count what is stored of one more business."""
        self.businesses += 1
        self.real += len(business.real)
        self.virtual += len(business.virtual)
        self.unreadable += len(business.unreadable)

    def add(self, other: Self) -> None:
        """Add another report's numbers to this one's."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclass(frozen=True, slots=True)
class CleanupRun:
    """The report of one run, and whether it saw its whole share. Only then it is a census."""

    report: Report
    complete: bool
    dry_run: bool
    in_trouble: Sequence[Trouble]
    """Who is counted as virtual-only or unreachable, up to `MAX_NAMED` of them."""
    unreadable: Sequence[tuple[BusinessId, str]] = ()
    """Business and sort key of items that could not be read, up to `MAX_NAMED` of them."""
    refused_because: str | None = None
    """Why removals were refused, if any were."""
    error: BaseException | None = None
    """The first unexpected error. The run skipped what it hit, and went on."""


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
        out_of_time: OutOfTime,
    ) -> None:
        self.now = now
        """When the run began. Judging by it is cautious: nothing gets older during the run."""
        self.dry_run = dry_run
        self.brake = brake
        self.sockets = sockets
        self.out_of_time = out_of_time
        self.complete = True
        self._in_trouble: list[Trouble] = []
        self._unreadable: list[tuple[BusinessId, str]] = []
        self._error: BaseException | None = None

    def saw(self, business: Business, report: Report) -> None:
        """Count what is stored of one more business."""
        self.brake.saw(len(business.real))
        report.saw(business)
        for key in business.unreadable:
            if len(self._unreadable) < MAX_NAMED:
                self._unreadable.append((business.business_id, key))

    def name(self, trouble: Trouble) -> None:
        """Name one more business in trouble."""
        if len(self._in_trouble) < MAX_NAMED:
            self._in_trouble.append(trouble)

    def failed(self, error: BaseException) -> None:
        """Note that something was not handled, so that the run publishes no census."""
        self.complete = False
        if not isinstance(error, Unavailable):
            self._error = self._error or error

    @contextmanager
    def noting_errors(self) -> Iterator[None]:
        """Go on if something fails in here. A defect is raised at the end of the run."""
        try:
            yield
        except Unavailable:
            pass
        except Exception as error:
            self._error = self._error or error

    def outcome(self, report: Report) -> CleanupRun:
        """What this run did, once it is over."""
        return CleanupRun(
            report,
            self.complete,
            self.dry_run,
            tuple(self._in_trouble),
            tuple(self._unreadable),
            self.brake.pulled_because,
            self._error,
        )


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Removes stale and expired connections, of one business or of all.

    `tell` reports a business that newly needs attention. `pace` waits until the management API may
    be called once more, `pace_marks` until the marks of one more business may be written: all marks
    share two keys of an index, and one key of an index takes 1,000 writes a second.
    """

    store: Store
    sockets: Sockets
    rules: Rules
    clock: Clock
    tell: Callable[[Trouble], None]
    pace: Callable[[], None]
    pace_marks: Callable[[], None]
    threads: int = 16

    def cleanup_business_connections(
        self, business_id: BusinessId, *, out_of_time: OutOfTime, dry_run: bool = False
    ) -> CleanupRun:
        """Clean up the connections of one business now, as far as there is time."""
        # Read first: if the table does not answer, the caller waits for one time-out and not two.
        business = self.store.load(business_id)
        run = self._begin(None, dry_run=dry_run, force=False, out_of_time=out_of_time)
        report = Report()
        run.saw(business, report)
        self._clean(business, run, report)
        return run.outcome(report)

    def cleanup_all_connections(
        self,
        *,
        out_of_time: OutOfTime,
        dry_run: bool = False,
        force: bool = False,
        share: Share = _WHOLE,
    ) -> CleanupRun:
        """Walk a share of the table once, its segments in parallel.

        Stops where it is when `out_of_time` says so. `force` releases the brake: for an operator
        who knows that the removals are right.
        """
        run = self._begin(share, dry_run=dry_run, force=force, out_of_time=out_of_time)
        reports = [Report() for _ in share.segments]
        with (
            ThreadPoolExecutor(max_workers=self.threads) as jobs,
            ThreadPoolExecutor(max_workers=SEGMENTS_PER_WORKER) as walkers,
        ):
            walks = [
                walkers.submit(self._walk, segment, share.total_segments, run, report, jobs)
                for segment, report in zip(share.segments, reports, strict=True)
            ]
        whole = Report()
        for walk, report in zip(walks, reports, strict=True):
            whole.add(report)
            if error := walk.exception():
                run.failed(error)
        if run.complete and not dry_run:
            with run.noting_errors():  # else the next run relies on its own count
                self.store.record_census(Census(share.worker, share.workers, whole.real, run.now))
        return run.outcome(whole)

    def _begin(
        self, share: Share | None, *, dry_run: bool, force: bool, out_of_time: OutOfTime
    ) -> _Run:
        run = _Run(
            now=self.clock(),
            dry_run=dry_run,
            brake=Brake(forced=force),
            sockets=CarefulSockets(self.sockets, self.pace),
            out_of_time=out_of_time,
        )
        with run.noting_errors():
            run.brake.knows(known_real(self.store.last_censuses(), share, run.now))
        return run

    def _walk(
        self,
        segment: int,
        total_segments: int,
        run: _Run,
        report: Report,
        jobs: ThreadPoolExecutor,
    ) -> None:
        """Stream one segment; hand every business that needs more than counting to a job."""

        def meter(read_units: float) -> None:
            report.read_units += read_units

        pending: dict[Future[None], Report] = {}

        def collect(done: set[Future[None]]) -> None:
            for job in done:
                report.add(pending.pop(job))
                if error := job.exception():
                    report.failed += 1
                    run.failed(error)

        try:
            for business in self.store.scan(segment, total_segments, meter):
                if run.out_of_time():
                    run.complete = False
                    break
                run.saw(business, report)
                status = judge(business, run.now, self.rules)
                if not self._has_work(business, status):
                    _count(report, status)
                    continue
                part = Report()
                pending[jobs.submit(self._clean, business, run, part)] = part
                if len(pending) >= _WAITING:
                    collect(wait(pending, return_when=FIRST_COMPLETED).done)
        finally:
            collect(wait(pending).done)

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

    def _clean(self, business: Business, run: _Run, report: Report) -> None:
        kept = list(business.real)
        connections: tuple[RealConnection | VirtualConnection, ...] = (
            *business.real,
            *business.virtual,
        )
        for connection in connections:
            try:
                if isinstance(connection, VirtualConnection):
                    self._clean_virtual(connection, run, report)
                elif self._removes_real(connection, run, report):
                    kept.remove(connection)
            except Unavailable:
                report.failed += 1
                break  # every further one would time out too
            except Exception as error:  # skip it; the run raises it at the end
                report.failed += 1
                run.failed(error)
        self._watch(replace(business, real=tuple(kept)), run, report)

    def _removes_real(self, connection: RealConnection, run: _Run, report: Report) -> bool:
        verdict = self.rules.verdict(connection, run.now)
        if verdict is Verdict.TOO_YOUNG:
            report.too_young += 1
        if verdict not in (Verdict.CLOSE, Verdict.PROBE):
            return False
        if run.out_of_time():
            run.complete = False
            return False
        act = self._closes_silent if verdict is Verdict.CLOSE else self._removes_gone
        return act(connection, run, report)

    def _closes_silent(self, connection: RealConnection, run: _Run, report: Report) -> bool:
        if run.sockets.out:
            # A claim that cannot be followed by a close would only turn the client's pings away.
            report.unknown += 1
            return False
        with run.brake.place() as place:
            if place is None:
                report.refused += 1
                return False
            if run.dry_run:
                place.used = True
                report.silent += 1
                return False
            # The claim must hold from now on, however long ago this run began.
            if not self.store.claim_real(connection, self.clock()):
                return False  # a ping came in between, and wins; or the connection is gone
            answer = run.sockets.close(connection.connection_id)
            # A socket that was closed counts, whatever becomes of its item.
            place.used = answer is SocketAnswer.OK
            removal = remove_closed(
                connection, answer, store=self.store, rules=self.rules, now=run.now
            )
            place.used = removal is not Removal.KEPT
        if removal is Removal.KEPT:
            report.unknown += 1
            return False
        report.silent += removal is Removal.REMOVED
        return True

    def _removes_gone(self, connection: RealConnection, run: _Run, report: Report) -> bool:
        report.probed += 1
        answer = run.sockets.probe(connection.connection_id)
        if answer is SocketAnswer.UNKNOWN:
            report.unknown += 1
        if answer is not SocketAnswer.GONE:
            return False
        with run.brake.place() as place:
            if place is None:
                report.refused += 1
                return False
            removal = (
                Removal.REMOVED
                if run.dry_run
                else remove_gone(connection, store=self.store, rules=self.rules, now=run.now)
            )
            place.used = removal is not Removal.KEPT
        report.gone += removal is Removal.REMOVED
        return not run.dry_run and removal is not Removal.KEPT

    def _clean_virtual(self, connection: VirtualConnection, run: _Run, report: Report) -> None:
        if self.rules.is_active(connection, run.now):
            return
        if run.out_of_time():
            run.complete = False
        elif run.dry_run or self.store.remove_expired_virtual(connection, run.now):
            report.expired += 1

    def _watch(self, business: Business, run: _Run, report: Report) -> None:
        """Count the business as it is now, and keep its mark up to date."""
        status = judge(business, run.now, self.rules)
        is_marked = business.settings is not None and business.settings.attention is not None
        if status.attention is None and not is_marked:
            _count(report, status)
            return
        watch = Watch(self.store, self.rules, self.clock, self.tell, self.pace_marks)
        try:
            looked = watch.look_at(
                business.business_id, out_of_time=run.out_of_time, dry_run=run.dry_run
            )
        except Unavailable as error:
            report.failed += 1
            run.failed(error)
            return
        _count(report, looked.status)
        report.attention_entered += looked.told
        report.failed += not looked.written
        if looked.trouble is None:
            return
        if looked.trouble.attention is Attention.VIRTUAL_ONLY:
            report.virtual_only += 1
        else:
            report.unreachable += 1
        run.name(looked.trouble)


def known_real(censuses: Sequence[Census], share: Share | None, now: Instant) -> int:
    """How many real connections the last census counted: in one worker's share, or (None) in all.

    If the number of workers was changed, only the censuses since then add up to the total. A census
    that is too old is ignored.
    """
    recent = [c for c in censuses if -CLOCK_SKEW <= now - c.taken_at < CENSUS_HOLDS]
    if share is not None:
        mine = (share.worker, share.workers)
        return sum(c.real for c in recent if (c.worker, c.workers) == mine)
    if not recent:
        return 0
    workers = max(recent, key=lambda census: census.taken_at).workers
    return sum(c.real for c in recent if c.workers == workers)


def _count(report: Report, status: BusinessStatus) -> None:
    report.active_real += status.real
    report.active_virtual += status.virtual
    report.online += status.online is True
