"""Declares businesses available or unavailable."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from lambdas.domain.errors import TooManyConnections, Unavailable
from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.domain.leases import MAX_VIRTUAL_CONNECTIONS, make_room
from lambdas.domain.model import (
    Business,
    Clock,
    Instant,
    OutOfTime,
    RealConnection,
    Settings,
    VirtualConnection,
)
from lambdas.domain.rules import Rules
from lambdas.domain.socket_messages import AvailabilityChanged
from lambdas.domain.status import BusinessStatus, judge
from lambdas.use_cases.ports import Sockets, Store
from lambdas.use_cases.recorder import BeforeChange, record_nothing
from lambdas.use_cases.removal import Removal, close_and_remove
from lambdas.use_cases.retrying import Backoff, until_no_conflict
from lambdas.use_cases.settings import write_settings

_PARALLEL_CLOSES: Final = 25


@dataclass(frozen=True, slots=True)
class AvailabilityOutcome:
    """What an availability call did."""

    status: BusinessStatus
    lease_until: Instant | None
    """When the caller's own virtual connection expires; None if there is none."""
    sockets_remaining: int
    """Real connections that could not be closed. Their clients or the cleanup will end them."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Sets the availability of a business.

    Calls that race end as if they had come one after the other.
    """

    store: Store
    sockets: Sockets
    rules: Rules
    clock: Clock
    backoff: Backoff
    before_change: BeforeChange = record_nothing

    def set_business_availability(
        self, business_id: BusinessId, user_id: UserId, available: bool, *, out_of_time: OutOfTime
    ) -> AvailabilityOutcome:
        """Declare a business available or not, on behalf of one of its users.

        Available writes the settings and the user's virtual connection (with a new lease) in one
        transaction. Unavailable writes the settings and removes every virtual connection in one
        transaction, then notifies and closes as many sockets as it can until `out_of_time` says to
        stop.

        Raises `TooManyConnections` when the business already has as many virtual connections as it
        may, and `Unavailable` when too many calls for the same business race.
        """
        if available:
            return until_no_conflict(
                lambda: self._declare_available(self._load(business_id), user_id), self.backoff
            )
        after = until_no_conflict(
            lambda: self._declare_unavailable(self._load(business_id), user_id), self.backoff
        )
        remaining = self._close_sockets(after, out_of_time)
        status = judge(replace(after, real=remaining), self.clock(), self.rules)
        return AvailabilityOutcome(status, lease_until=None, sockets_remaining=len(remaining))

    def _load(self, business_id: BusinessId) -> Business:
        before = self.store.load(business_id)
        self.before_change(before)
        return before

    def _declare_available(self, before: Business, user_id: UserId) -> AvailabilityOutcome:
        now = self.clock()
        mine = next((c for c in before.virtual if c.user_id == user_id), None)
        renewing = mine is not None and self.rules.is_active(mine, now)
        lease = VirtualConnection(
            business_id=before.business_id,
            user_id=user_id,
            created_at=mine.created_at if mine and renewing else now,
            renewed_at=now,
            expires_at=now + self.rules.virtual_lease,
        )
        put, ended = make_room(before, [lease], now)
        if not put:
            raise TooManyConnections(
                f"the business already has {MAX_VIRTUAL_CONNECTIONS} virtual connections"
            )
        settings = _declared_settings(before.settings, True, user_id, now)
        write_settings(self.store, before, settings, put=put, remove=ended)
        kept = tuple(c for c in before.virtual if c is not mine and c not in ended)
        after = replace(before, settings=settings, virtual=(*kept, lease))
        status = judge(after, now, self.rules)
        return AvailabilityOutcome(status, lease.expires_at, sockets_remaining=0)

    def _declare_unavailable(self, before: Business, user_id: UserId) -> Business:
        settings = _declared_settings(before.settings, False, user_id, self.clock())
        write_settings(self.store, before, settings, remove=before.virtual)
        return replace(before, settings=settings, virtual=())

    def _close_sockets(
        self, business: Business, out_of_time: OutOfTime
    ) -> tuple[RealConnection, ...]:
        """Notify and close all sockets, as far as possible. Returns the connections that remain."""
        if not business.real:
            return ()
        store_failed = threading.Event()

        def must_stop() -> bool:
            return store_failed.is_set() or out_of_time()

        def close(connection: RealConnection) -> bool:
            try:
                return self._notify_and_close(connection, must_stop)
            except Unavailable:
                store_failed.set()
                return False

        with ThreadPoolExecutor(max_workers=_PARALLEL_CLOSES) as pool:
            closed = list(pool.map(close, business.real))
        return tuple(c for c, is_closed in zip(business.real, closed, strict=True) if not is_closed)

    def _notify_and_close(self, connection: RealConnection, must_stop: OutOfTime) -> bool:
        """Tell a device that the business is unavailable and close its socket; true if closed."""
        if must_stop():
            return False
        now = self.clock()
        message = AvailabilityChanged(connection.business_id, available=False, at=now)
        self.sockets.post(connection.connection_id, message)
        if must_stop():
            return False
        removal = close_and_remove(
            connection, store=self.store, sockets=self.sockets, rules=self.rules, now=now
        )
        return removal is not Removal.KEPT


def _declared_settings(
    before: Settings | None, available: bool, user: UserId, now: Instant
) -> Settings:
    if before is None:
        return Settings.first(available, at=now, by=user)
    return before.declared(available, at=now, by=user)
