"""The cleanup: removes dead connections, marks businesses that need attention, records transitions
that only the time caused, takes the census.

Walking the store only finds candidates. A real connection is removed only if the gateway says that
its socket is gone or closed, a virtual one only if its lease is still over in the store. A business
is marked only after a consistent read of its own. A failure in one business does not keep the
others from being handled.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Final

from lambdas.domain.brake import Brake
from lambdas.domain.cleanup_report import CleanupReport
from lambdas.domain.errors import InvalidValue, Unavailable
from lambdas.domain.identifiers import CANARY, BusinessId
from lambdas.domain.model import (
    AnnouncedRemoval,
    Attention,
    Business,
    Cause,
    Census,
    Clock,
    Instant,
    OutOfTime,
    RealConnection,
    VirtualConnection,
)
from lambdas.domain.rules import CLOCK_SKEW, Rules, Verdict
from lambdas.domain.status import BusinessStatus, judge
from lambdas.domain.transitions import has_transition, must_note_unchanged
from lambdas.use_cases.attention import AttentionReport, AttentionTracker
from lambdas.use_cases.circuit_breaker import GuardedSockets
from lambdas.use_cases.cleanup_run import CleanupRun, RunState
from lambdas.use_cases.ports import SocketAnswer, Sockets, Store
from lambdas.use_cases.recorder import Recorder
from lambdas.use_cases.removal import Removal, remove_closed, remove_gone

PARTS_PER_WORKER: Final = 4
"""Parts of the store that one worker walks in parallel."""

CENSUS_HOLDS: Final = 24 * 60 * 60
"""Seconds after which a census is too old to tell how many connections there are."""

_WAITING: Final = 16
"""Businesses of one part that may wait to be handled. It bounds the memory of a run."""


@dataclass(frozen=True, slots=True)
class Share:
    """The share of the store that one of several workers walks. Raises `InvalidValue`."""

    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InvalidValue("workers", "must be at least 1")
        if not 0 <= self.worker < self.workers:
            raise InvalidValue("worker", f"must be from 0 to {self.workers - 1}")

    @property
    def total_parts(self) -> int:
        """How many parts all workers together divide the store into."""
        return self.workers * PARTS_PER_WORKER

    @property
    def parts(self) -> range:
        """The parts of this worker."""
        first = self.worker * PARTS_PER_WORKER
        return range(first, first + PARTS_PER_WORKER)


_WHOLE: Final = Share()


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Removes stale and expired connections, of one business or of all."""

    store: Store
    sockets: Sockets
    rules: Rules
    clock: Clock
    report_attention: Callable[[AttentionReport], None]
    """Reports a business that newly needs attention. Returns once the report is safe."""
    pace_calls: Callable[[], None]
    """Waits until the gateway may be called once more."""
    pace_marks: Callable[[], None]
    """Waits until the mark of one more business may be written."""
    recorder: Recorder | None = None
    """Records transitions that only the time caused. None if the change feed is off."""
    pace_transitions: Callable[[], None] = lambda: None
    """Waits until one more transition may be recorded."""
    threads: int = 16

    def cleanup_business_connections(
        self, business_id: BusinessId, *, out_of_time: OutOfTime, dry_run: bool = False
    ) -> CleanupRun:
        """Clean up the connections of one business now, as far as there is time."""
        # Read the business first: if the store does not answer, the caller waits for one timeout
        # instead of two.
        business = self.store.load(business_id)
        run = self._begin(
            None, dry_run=dry_run, force=False, out_of_time=out_of_time, half_time=out_of_time
        )
        report = CleanupReport()
        run.add_stored(business, report)
        _BusinessCleanup(self, run, report).clean(business)
        return run.result(report)

    def cleanup_all_connections(
        self,
        *,
        out_of_time: OutOfTime,
        half_time: OutOfTime | None = None,
        dry_run: bool = False,
        force: bool = False,
        share: Share = _WHOLE,
    ) -> CleanupRun:
        """Walk a share of the store once, several parts at the same time.

        Stops where it is when `out_of_time` says so. After `half_time`, it records no more
        transitions, so that many of them cannot keep a run from being complete. `force` releases
        the brake: for an operator who knows that the removals are right.
        """
        run = self._begin(
            share,
            dry_run=dry_run,
            force=force,
            out_of_time=out_of_time,
            half_time=half_time or out_of_time,
        )
        reports = [CleanupReport() for _ in share.parts]
        with (
            ThreadPoolExecutor(max_workers=self.threads) as jobs,
            ThreadPoolExecutor(max_workers=PARTS_PER_WORKER) as walkers,
        ):
            walks = [
                walkers.submit(self._walk, part, share.total_parts, run, report, jobs)
                for part, report in zip(share.parts, reports, strict=True)
            ]
        whole = CleanupReport()
        for walk, report in zip(walks, reports, strict=True):
            whole.add(report)
            if error := walk.exception():
                run.add_failure(error)
        if run.complete and not dry_run:
            # Without this census, the brake of the next run relies on what that run sees itself.
            with run.continuing_after_errors("the census could not be stored"):
                self.store.record_census(Census(share.worker, share.workers, whole.real, run.now))
        return run.result(whole)

    def _begin(
        self,
        share: Share | None,
        *,
        dry_run: bool,
        force: bool,
        out_of_time: OutOfTime,
        half_time: OutOfTime,
    ) -> RunState:
        run = RunState(
            now=self.clock(),
            dry_run=dry_run,
            brake=Brake(forced=force),
            sockets=GuardedSockets(self.sockets, self.pace_calls),
            out_of_time=out_of_time,
            half_time=half_time,
        )
        with run.continuing_after_errors("the last census could not be read"):
            run.brake.last_census = real_in_last_census(self.store.last_censuses(), share, run.now)
        return run

    def _walk(
        self, part: int, parts: int, run: RunState, report: CleanupReport, jobs: ThreadPoolExecutor
    ) -> None:
        """Walk one part; hand every business that needs more than counting to a job."""
        pending: dict[Future[None], CleanupReport] = {}

        def collect(done: set[Future[None]]) -> None:
            for job in done:
                report.add(pending.pop(job))
                if error := job.exception():
                    report.failed += 1
                    run.add_failure(error)

        try:
            for business in self.store.walk(part, parts):
                if run.out_of_time():
                    run.complete = False
                    break
                if business.business_id == CANARY:
                    continue  # it counts nowhere, and removes its own connections
                run.add_stored(business, report)
                status = judge(business, run.now, self.rules)
                if not self._needs_work(business, status):
                    report.add_active(status)
                    continue
                own_report = CleanupReport()
                job = jobs.submit(_BusinessCleanup(self, run, own_report).clean, business)
                pending[job] = own_report
                if len(pending) >= _WAITING:
                    collect(wait(pending, return_when=FIRST_COMPLETED).done)
        finally:
            collect(wait(pending).done)

    def _needs_work(self, business: Business, status: BusinessStatus) -> bool:
        """Whether there is more to do for a business than to count it."""
        settings = business.settings
        return (
            status.attention is not None
            or (settings is not None and settings.episode is not None)
            or status.real < len(business.real)
            or status.virtual < len(business.virtual)
            or any(self.rules.is_quiet(c, status.as_of) for c in business.real)
            or (self.recorder is not None and has_transition(business, status))
        )


@dataclass(frozen=True, slots=True)
class _BusinessCleanup:
    """Cleans up one business in a run, and counts in the report what it saw and did."""

    cleanup: Cleanup
    run: RunState
    report: CleanupReport

    def clean(self, business: Business) -> None:
        """Record what the time changed, remove what is dead, and count what is left."""
        # First, so that a silent device is still stored when the cause is looked for.
        self._record_transition(business)
        kept, has_outage = list(business.real), False
        connections: tuple[RealConnection | VirtualConnection, ...] = (
            *business.real,
            *business.virtual,
        )
        for connection in connections:
            try:
                if isinstance(connection, VirtualConnection):
                    self._remove_if_expired(connection)
                elif self._remove_if_stale(connection):
                    kept.remove(connection)
            except Unavailable:
                self.report.failed += 1
                has_outage = True
                break  # every further one would time out too
            except Exception as error:  # skip it; the run raises the error at its end
                self.report.failed += 1
                self.run.add_failure(error)
        after = replace(business, real=tuple(kept))
        if has_outage:
            # The removal may have been done, although its answer is missing.
            try:
                if self.run.out_of_time():
                    raise Unavailable("there was no time left to count the business")
                after = self.cleanup.store.load(business.business_id)
            except Unavailable as error:
                self.run.add_failure(error)
                return
        self._update_attention(after)

    def _record_transition(self, business: Business) -> None:
        """Record what only the time changed. All other changes reach the recorder by themselves."""
        if self.cleanup.recorder is None or self.run.dry_run:
            return
        status = judge(business, self.run.now, self.cleanup.rules)
        is_due = has_transition(business, status)
        if not is_due and not must_note_unchanged(business, status, self.cleanup.rules):
            return
        is_recorded = False
        if not self.run.recorder_failed and not self.run.half_time():
            # The census does not depend on the feed.
            with self.run.continuing_after_errors("transitions could not be recorded"):
                self.cleanup.pace_transitions()
                try:
                    self.report.recorded += len(self.cleanup.recorder.record(business.business_id))
                except Unavailable:
                    self.run.recorder_failed = True
                    raise
                is_recorded = True
        self.report.unrecorded += is_due and not is_recorded

    def _remove_if_stale(self, connection: RealConnection) -> bool:
        """Remove a real connection if its socket is gone or silent; true if it no longer exists."""
        verdict = self.cleanup.rules.verdict(connection, self.run.now)
        if verdict is Verdict.TOO_YOUNG:
            self.report.too_young += 1
        if verdict not in (Verdict.CLOSE, Verdict.PROBE):
            return False
        if self.run.out_of_time():
            self.run.complete = False
            return False
        act = self._close_and_remove if verdict is Verdict.CLOSE else self._probe_and_remove
        return act(connection)

    def _close_and_remove(self, connection: RealConnection) -> bool:
        """Claim and close a silent connection, then remove it; true if it no longer exists."""
        if self.run.sockets.has_outage:
            # Do not claim what cannot be closed: it would only turn the client's pings away.
            self.report.unknown += 1
            return False
        with self.run.brake.removal_slot() as slot:
            if slot is None:
                self.report.refused += 1
                return False
            if self.run.dry_run:
                slot.used = True
                self.report.silent += 1
                return False
            # The claim must hold from now on, however long ago this run began.
            if not self.cleanup.store.claim_real(connection, self.cleanup.clock()):
                return False  # a ping came first and wins, or the connection is gone
            # Its silence is recorded by now, unless the recorder failed or had no time.
            self._announce(connection, Cause.SILENCE)
            answer = self.run.sockets.close(connection.connection_id)
            # A socket that was closed counts, even if its connection cannot be removed.
            slot.used = answer is SocketAnswer.OK
            removal = remove_closed(
                connection,
                answer,
                store=self.cleanup.store,
                rules=self.cleanup.rules,
                now=self.run.now,
            )
            slot.used = removal is not Removal.KEPT
        if removal is Removal.KEPT:
            self.report.unknown += 1
            return False
        if removal is Removal.REMOVED:
            self.report.silent += 1
            self.run.add_removed(connection, "silent")
        return True

    def _probe_and_remove(self, connection: RealConnection) -> bool:
        """Remove a quiet connection if its socket is gone; true if it no longer exists."""
        self.report.probed += 1
        answer = self.run.sockets.probe(connection.connection_id)
        if answer is SocketAnswer.UNKNOWN:
            self.report.unknown += 1
        if answer is not SocketAnswer.GONE:
            return False
        with self.run.brake.removal_slot() as slot:
            if slot is None:
                self.report.refused += 1
                return False
            removal = Removal.REMOVED if self.run.dry_run else self._remove_gone(connection)
            slot.used = removal is not Removal.KEPT
        self.report.gone += removal is Removal.REMOVED
        if self.run.dry_run or removal is Removal.KEPT:
            return False
        if removal is Removal.REMOVED:
            self.run.add_removed(connection, "gone")
        return True

    def _remove_gone(self, connection: RealConnection) -> Removal:
        """Remove a connection whose socket is gone. It may have been the last active one."""
        self._announce(connection, Cause.CLEANUP)
        return remove_gone(
            connection, store=self.cleanup.store, rules=self.cleanup.rules, now=self.run.now
        )

    def _announce(self, connection: RealConnection, cause: Cause) -> None:
        """Tell the recorder why a connection is about to be removed. Raises `Unavailable` if there
        is no time left to remove it.
        """
        if self.cleanup.recorder is None:
            return
        removal = AnnouncedRemoval(
            connection.connection_id, cause, by=None, at=self.cleanup.clock()
        )
        # The removal does not depend on the feed.
        with self.run.continuing_after_errors("causes of removals could not be announced"):
            self.cleanup.store.announce_removal(connection.business_id, removal)
        if self.run.out_of_time():
            raise Unavailable("there was no time left to remove the connection")

    def _remove_if_expired(self, connection: VirtualConnection) -> None:
        if self.cleanup.rules.is_active(connection, self.run.now):
            return
        if self.run.out_of_time():
            self.run.complete = False
        elif self.run.dry_run or self.cleanup.store.remove_expired_virtual(
            connection, self.run.now
        ):
            self.report.expired += 1

    def _update_attention(self, business: Business) -> None:
        """Count the business as it is now, and keep its mark up to date."""
        status = judge(business, self.run.now, self.cleanup.rules)
        is_marked = business.settings is not None and business.settings.episode is not None
        if status.attention is None and not is_marked:
            self.report.add_active(status)
            return
        tracker = AttentionTracker(
            self.cleanup.store,
            self.cleanup.rules,
            self.cleanup.clock,
            self.cleanup.report_attention,
            self.cleanup.pace_marks,
        )
        try:
            update = tracker.update(
                business.business_id, out_of_time=self.run.out_of_time, dry_run=self.run.dry_run
            )
        except Unavailable as error:
            self.report.failed += 1
            self.run.add_failure(error)
            return
        self.report.add_active(update.status)
        self.report.attention_entered += update.newly_reported
        self.report.failed += not update.mark_written
        if update.report is None:
            return
        if update.report.attention is Attention.VIRTUAL_ONLY:
            self.report.virtual_only += 1
        else:
            self.report.unreachable += 1
        self.run.add_attention(update.report)


def real_in_last_census(censuses: Sequence[Census], share: Share | None, now: Instant) -> int:
    """How many real connections the last census counted: in one worker's share or, for None, in
    all of them.

    If the number of workers was changed, only the censuses since then add up to the total. A census
    that is too old is ignored.
    """
    recent = [c for c in censuses if -CLOCK_SKEW <= now - c.taken_at < CENSUS_HOLDS]
    if share is not None:
        own = (share.worker, share.workers)
        return sum(c.real for c in recent if (c.worker, c.workers) == own)
    if not recent:
        return 0
    workers = max(recent, key=lambda census: census.taken_at).workers
    return sum(c.real for c in recent if c.workers == workers)
