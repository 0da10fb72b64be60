"""A business says whether it wants orders."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from lambdas.domain.errors import TooManyConnections, Unavailable
from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.domain.messages import AvailabilityChanged
from lambdas.domain.model import (
    Business,
    Clock,
    Instant,
    OutOfTime,
    RealConnection,
    Settings,
    VirtualConnection,
)
from lambdas.domain.ports import Sockets, Store
from lambdas.domain.removal import Removal, close_and_remove
from lambdas.domain.retrying import Backoff, until_no_conflict
from lambdas.domain.rules import MAX_VIRTUAL_CONNECTIONS, Rules
from lambdas.domain.status import BusinessStatus, judge

_PARALLEL_CLOSES: Final = 10


@dataclass(frozen=True, slots=True)
class AvailabilityOutcome:
    """What an availability call did."""

    status: BusinessStatus
    lease_until: Instant | None
    """Until when the caller's own virtual connection holds; None when there is none."""
    sockets_remaining: int
    """Real connections that could not be closed; the cleanup, or their clients, will end them."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Sets the availability of a business. Racing calls end in one of the two serial outcomes."""

    store: Store
    sockets: Sockets
    rules: Rules
    clock: Clock
    backoff: Backoff

    def set_business_availability(
        self,
        business_id: BusinessId,
        user_id: UserId,
        available: bool,
        *,
        out_of_time: OutOfTime,
    ) -> AvailabilityOutcome:
        """Declare a business available or not, on behalf of one of its users.

        `True` writes the settings and the user's virtual connection (a new lease) in one
        transaction. `False` writes the settings and removes every virtual connection in one
        transaction, then notifies and closes as many sockets as it can, until `out_of_time` says to
        stop.

        Raises `TooManyConnections` when the business has all the virtual connections it may have,
        `Unavailable` when too many calls for the same business race.
        """
        if available:
            return until_no_conflict(
                lambda: self._declare_available(self.store.load(business_id), user_id), self.backoff
            )
        after = until_no_conflict(
            lambda: self._declare_unavailable(self.store.load(business_id), user_id), self.backoff
        )
        return self._close_sockets(after, out_of_time)

    def _declare_available(self, before: Business, user_id: UserId) -> AvailabilityOutcome:
        now = self.clock()
        mine = next((c for c in before.virtual if c.user_id == user_id), None)
        others = tuple(c for c in before.virtual if c is not mine)
        # Expired items make room only when room is needed; else they are the cleanup's business.
        expired: tuple[VirtualConnection, ...] = ()
        if len(others) >= MAX_VIRTUAL_CONNECTIONS:
            expired = tuple(c for c in others if not self.rules.is_active(c, now))
            if len(others) - len(expired) >= MAX_VIRTUAL_CONNECTIONS:
                raise TooManyConnections(
                    f"the business already has {MAX_VIRTUAL_CONNECTIONS} virtual connections"
                )
        renewing = mine is not None and self.rules.is_active(mine, now)
        lease = VirtualConnection(
            business_id=before.business_id,
            user_id=user_id,
            created_at=mine.created_at if mine and renewing else now,
            renewed_at=now,
            ttl=now + self.rules.virtual_lease,
        )
        settings = _declared(before.settings, True, user_id, now)
        self.store.write_settings(before, settings, put=[lease], remove=expired)
        kept = tuple(c for c in others if c not in expired)
        after = replace(before, settings=settings, virtual=(*kept, lease))
        return AvailabilityOutcome(judge(after, now, self.rules), lease.ttl, 0)

    def _declare_unavailable(self, before: Business, user_id: UserId) -> Business:
        settings = _declared(before.settings, False, user_id, self.clock())
        self.store.write_settings(before, settings, remove=before.virtual)
        return replace(before, settings=settings, virtual=())

    def _close_sockets(self, business: Business, out_of_time: OutOfTime) -> AvailabilityOutcome:
        remaining = tuple(self._not_closed(business, out_of_time)) if business.real else ()
        now = self.clock()
        status = judge(replace(business, real=remaining), now, self.rules)
        return AvailabilityOutcome(status, None, len(remaining))

    def _not_closed(self, business: Business, out_of_time: OutOfTime) -> Iterator[RealConnection]:
        """Notify and close all sockets, best effort. Yields the connections that could not be
        closed.
        """
        table_failed = threading.Event()

        def close(connection: RealConnection) -> bool:
            def must_stop() -> bool:
                return table_failed.is_set() or out_of_time()

            try:
                return self._tell_and_close(connection, must_stop)
            except Unavailable:
                table_failed.set()
                return False

        with ThreadPoolExecutor(max_workers=_PARALLEL_CLOSES) as pool:
            for connection, closed in zip(
                business.real, pool.map(close, business.real), strict=True
            ):
                if not closed:
                    yield connection

    def _tell_and_close(self, connection: RealConnection, must_stop: OutOfTime) -> bool:
        if must_stop():
            return False
        now = self.clock()
        told = AvailabilityChanged(connection.business_id, available=False, at=now)
        self.sockets.post(connection.connection_id, told)
        if must_stop():
            return False
        removal = close_and_remove(
            connection, store=self.store, sockets=self.sockets, rules=self.rules, now=now
        )
        return removal is not Removal.KEPT


def _declared(before: Settings | None, accepting: bool, user: UserId, now: Instant) -> Settings:
    if before is None:
        return Settings.first(accepting, at=now, by=user)
    return before.declared(accepting, at=now, by=user)
