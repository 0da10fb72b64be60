"""The cleanup: removes what is no longer a connection, marks who needs attention, takes the census.

The Scan only nominates. What removes a connection is an answer of the management API or a
condition of the table; what marks a business is one consistent Query.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Final, Self

from lambdas.domain.errors import Unavailable
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

BRAKE_FLOOR: Final = 20
"""Real connections that a run may always remove, however small the marketplace."""

BRAKE_SHARE: Final = 10
"""Beyond the floor a run may remove one in this many of the real connections it has seen."""

_WAITING_PER_THREAD: Final = 4
"""Bounds the businesses held in memory, whatever the size of the table."""


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

    def add(self, other: Self) -> None:
        """Add another report's numbers to this one's."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclass(frozen=True, slots=True)
class CleanupRun:
    """The report of one run, and whether it saw the whole table. Only then it is a census."""

    report: Report
    complete: bool
    dry_run: bool


class _Brake:
    """Ends all removals of a run that has removed suspiciously many real connections.

    A wrong endpoint that answers 410 for everything, or a clock gone wrong, must not be able to
    close the marketplace.
    """

    def __init__(self, *, forced: bool) -> None:
        self._forced = forced
        self._seen = 0
        self._removed = 0
        self._pulled = False
        self._lock = threading.Lock()

    def saw(self, real: int) -> None:
        with self._lock:
            self._seen += real

    def allows_removal(self) -> bool:
        """Reserve the removal of one real connection. Once false, false for the rest of the run."""
        with self._lock:
            if not self._forced and self._removed >= max(BRAKE_FLOOR, self._seen // BRAKE_SHARE):
                self._pulled = True
            if self._pulled:
                return False
            self._removed += 1
            return True

    def not_removed(self) -> None:
        """Give a reservation back."""
        with self._lock:
            self._removed -= 1

    @property
    def pulled(self) -> bool:
        return self._pulled


@dataclass(frozen=True, slots=True)
class _Orders:
    """What one run may do."""

    now: Instant
    dry_run: bool
    brake: _Brake


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Removes stale and expired connections, of one business or of all."""

    store: Store
    sockets: Sockets
    rules: Rules
    clock: Clock
    pace: Callable[[], None]
    """Waits until the management API may be called once more."""
    threads: int = 16

    def cleanup_business_connections(
        self, business_id: BusinessId, *, dry_run: bool = False
    ) -> CleanupRun:
        """Clean up the connections of one business now."""
        orders = _Orders(self.clock(), dry_run, _Brake(forced=False))
        business = self.store.load(business_id)
        orders.brake.saw(len(business.real))
        report = Report(businesses=1, real=len(business.real), virtual=len(business.virtual))
        report.add(self._clean(business, orders))
        return CleanupRun(report, complete=report.failed == 0, dry_run=dry_run)

    def cleanup_all_connections(
        self,
        *,
        out_of_time: Callable[[], bool],
        dry_run: bool = False,
        force: bool = False,
        segments: Iterable[int] = (0,),
        total_segments: int = 1,
    ) -> CleanupRun:
        """Walk the table once. Raises `Unavailable` if it cannot be read.

        Stops where it is when `out_of_time` says so. `force` releases the brake: for an operator
        who knows that the removals are right.
        """
        orders = _Orders(self.clock(), dry_run, _Brake(forced=force))
        report = Report()
        pending: set[Future[Report]] = set()
        complete = True
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            for business in chain.from_iterable(
                self.store.scan(segment, total_segments) for segment in segments
            ):
                if out_of_time():
                    complete = False
                    break
                report.businesses += 1
                report.real += len(business.real)
                report.virtual += len(business.virtual)
                orders.brake.saw(len(business.real))
                if not self._has_work(business, orders.now):
                    _count(report, judge(business, orders.now, self.rules))
                    continue
                pending.add(pool.submit(self._clean, business, orders))
                if len(pending) >= self.threads * _WAITING_PER_THREAD:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        report.add(future.result())
        for future in pending:
            report.add(future.result())
        return CleanupRun(report, complete=complete and report.failed == 0, dry_run=dry_run)

    def _has_work(self, business: Business, now: Instant) -> bool:
        settings = business.settings
        return (
            any(self.rules.is_quiet(c, now) or c.ttl <= now for c in business.real)
            or any(not self.rules.is_active(c, now) for c in business.virtual)
            or (settings is not None and settings.attention is not None)
            or judge(business, now, self.rules).attention is not None
        )

    def _clean(self, business: Business, orders: _Orders) -> Report:
        report = Report()
        try:
            kept = tuple(c for c in business.real if not self._removes_real(c, orders, report))
            for virtual in business.virtual:
                self._clean_virtual(virtual, orders, report)
            self._watch(replace(business, real=kept), orders, report)
        except Unavailable:
            report.failed += 1
        return report

    def _removes_real(self, connection: RealConnection, orders: _Orders, report: Report) -> bool:
        if self.rules.is_young(connection, orders.now):
            report.too_young += 1
            return False
        if self.rules.is_silent(connection, orders.now):
            return self._closes_silent(connection, orders, report)
        if self.rules.is_quiet(connection, orders.now):
            return self._removes_gone(connection, orders, report)
        return False

    def _closes_silent(self, connection: RealConnection, orders: _Orders, report: Report) -> bool:
        if not orders.brake.allows_removal():
            report.refused += 1
            return False
        if orders.dry_run:
            report.silent += 1
            return False
        # The claim must hold from now on, however long ago this run began.
        if not self.store.claim_real(connection, self.clock()):
            orders.brake.not_removed()  # a ping came in between: it wins
            return False
        self.pace()
        if not close_and_remove(
            connection, store=self.store, sockets=self.sockets, rules=self.rules, now=orders.now
        ):
            report.unknown += 1
            return False
        report.silent += 1
        return True

    def _removes_gone(self, connection: RealConnection, orders: _Orders, report: Report) -> bool:
        self.pace()
        report.probed += 1
        answer = self.sockets.probe(connection.connection_id)
        if answer is SocketAnswer.UNKNOWN:
            report.unknown += 1
        if answer is not SocketAnswer.GONE:
            return False
        if not orders.brake.allows_removal():
            report.refused += 1
            return False
        report.gone += 1
        return not orders.dry_run and remove_gone(
            connection, store=self.store, rules=self.rules, now=orders.now
        )

    def _clean_virtual(
        self, connection: VirtualConnection, orders: _Orders, report: Report
    ) -> None:
        if self.rules.is_active(connection, orders.now):
            return
        if orders.brake.pulled:
            report.refused += 1
        elif orders.dry_run or self.store.remove_expired_virtual(connection, orders.now):
            report.expired += 1

    def _watch(self, business: Business, orders: _Orders, report: Report) -> None:
        """Count the business as it is now, and keep its attention marks true."""
        status = judge(business, orders.now, self.rules)
        flagged = business.settings is not None and business.settings.attention is not None
        if status.attention is not None or flagged:
            business = self.store.load(business.business_id)
            status = judge(business, orders.now, self.rules)
        _count(report, status)
        settings = business.settings
        if settings is None or (status.attention is None and settings.attention is None):
            return
        if status.attention is None:
            if not orders.dry_run:
                self.store.write_attention(business, None, since=orders.now, counted=False)
            return
        since = settings.attention_since if settings.attention_since is not None else orders.now
        past_grace = orders.now - since >= self.rules.attention_grace
        if past_grace and status.attention is Attention.VIRTUAL_ONLY:
            report.virtual_only += 1
        elif past_grace:
            report.unreachable += 1
        counted = settings.attention_counted or past_grace
        unchanged = (
            settings.attention is status.attention
            and settings.attention_since == since
            and settings.attention_counted == counted
        )
        if unchanged or orders.dry_run:
            return
        written = self.store.write_attention(
            business, status.attention, since=since, counted=counted
        )
        if written and counted and not settings.attention_counted:
            report.attention_entered += 1


def _count(report: Report, status: BusinessStatus) -> None:
    report.active_real += status.real
    report.active_virtual += status.virtual
    report.online += status.online is True
