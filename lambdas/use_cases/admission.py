"""Decides whether a new socket may join the others of its business, and makes room for it.

The limit counts devices, so that sockets which died unnoticed do not keep living devices out:

* A device that names itself counts once, however many sockets it has. It competes for room with
  other named devices only. It holds two sockets at most, as many as it needs while it moves: when
  it opens one more, the one that was heard from longest ago is closed.
* A socket without the name of a device counts by itself, beside all others.
* If there is no room, the newcomer takes the place of the device that was heard from longest ago,
  provided that this device has missed a ping.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from lambdas.domain.errors import TooManyConnections, Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId, DeviceId, UserId
from lambdas.domain.model import AnnouncedRemoval, Business, Cause, Clock, Instant, RealConnection
from lambdas.domain.rules import CONNECTION_AGE_MARGIN, MAX_CONNECTION_AGE, Rules
from lambdas.use_cases.ports import Sockets, Store
from lambdas.use_cases.removal import Removal, announce, close_and_remove

USER_AGENT_MAX: Final = 200
"""Characters that are kept of what a client calls itself."""

_REPLACED_AT_ONCE: Final = 5
"""Connections that one handshake tries to close at most: its client waits."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A new connection, and those that were removed because of it."""

    connection: RealConnection
    replaced: Sequence[RealConnection]


@dataclass(frozen=True, slots=True)
class Admission:
    """Registers new sockets, within the limit of their business."""

    store: Store
    sockets: Sockets
    rules: Rules
    clock: Clock

    def connect(
        self,
        business_id: BusinessId,
        user_id: UserId,
        connection_id: ConnectionId,
        *,
        user_agent: str | None = None,
        device_id: DeviceId | None = None,
    ) -> Admitted:
        """Register a new socket: one read (for the limit) and one write, unless others are closed.

        `user_agent` is what the client calls itself; only its printable beginning is kept.
        `device_id` is the name that a device gives itself.

        The limit is not exact: two sockets that connect at the same moment may both get in. Raises
        `TooManyConnections`, and `Unavailable` if the store does not answer. Then the connection is
        not stored, unless the store also fails to take it back: the cleanup does so later.
        """
        now = self.clock()
        business = self.store.load(business_id, consistent=False)
        active = self.rules.active_real(business, now)
        own = [c for c in active if device_id is not None and c.device_id == device_id]
        if own:
            replaced = self._close_surplus(own, now)
        else:
            rivals = [c for c in active if device_id is None or c.device_id is not None]
            replaced = self._make_room(business, rivals, now)
        connection = RealConnection(
            business_id=business_id,
            connection_id=connection_id,
            user_id=user_id,
            connected_at=now,
            last_seen_at=now,
            expires_at=now + MAX_CONNECTION_AGE + CONNECTION_AGE_MARGIN,
            user_agent=_printable(user_agent or "") or None,
            device_id=device_id,
            ping_interval=self.rules.ping_interval,
        )
        try:
            self.store.add_real(connection)
        except Unavailable:
            # The socket will not open, but the connection may be stored although the answer is
            # missing.
            with suppress(Unavailable):
                self.store.remove_real(business_id, connection_id)
            raise
        return Admitted(connection, replaced)

    def _close_surplus(
        self, own: Sequence[RealConnection], now: Instant
    ) -> Sequence[RealConnection]:
        """Leave a device one of its older sockets. A young one is left alone: its socket might not
        be believed gone.
        """
        own, replaced = _longest_silent_first(own), []
        for _ in range(_REPLACED_AT_ONCE):
            surplus = next((c for c in own[:-1] if not self.rules.is_young(c, now)), None)
            if surplus is None:
                break
            removal = self._replace(surplus, now)
            if removal is None:  # another one may be silent for longest now
                own = _longest_silent_first(self._sockets_of_device(surplus, now))
            elif removal is Removal.KEPT:
                break  # it does not count, so the next handshake is early enough
            else:
                own.remove(surplus)
                replaced.append(surplus)
        return replaced

    def _sockets_of_device(
        self, connection: RealConnection, now: Instant
    ) -> Iterable[RealConnection]:
        business = self.store.load(connection.business_id)
        active = self.rules.active_real(business, now)
        return (c for c in active if c.device_id == connection.device_id)

    def _make_room(
        self, business: Business, rivals: Sequence[RealConnection], now: Instant
    ) -> Sequence[RealConnection]:
        """Close the sockets of one device if there is no room. Raises `TooManyConnections`."""
        devices: dict[str, list[RealConnection]] = {}
        for connection in _longest_silent_first(rivals):
            # No device id contains "#".
            name = connection.device_id or f"#{connection.connection_id}"
            devices.setdefault(name, []).append(connection)
        limit = self.rules.max_real_connections
        if len(devices) < limit:
            return ()
        silent = [held for held in devices.values() if self.rules.missed_ping(held[-1], now)]
        silent.sort(key=lambda held: held[-1].last_seen_at)
        for held in silent[:_REPLACED_AT_ONCE]:
            removals = [self._replace(each, now, silent_in=business) for each in held]
            if Removal.KEPT in removals:
                break  # the gateway does not answer
            if None not in removals:
                return held
        raise TooManyConnections(f"the business already holds the sockets of {limit} devices")

    def _replace(
        self, connection: RealConnection, now: Instant, *, silent_in: Business | None = None
    ) -> Removal | None:
        """Close a socket and remove its connection. None if its client was heard from, or the
        connection removed, in the meantime. `silent_in` is its business if its silence is the
        cause, not its own device.
        """
        if not self.store.claim_real(connection, self.clock()):
            return None
        if silent_in is not None:
            silence = AnnouncedRemoval(connection.connection_id, Cause.SILENCE, None, self.clock())
            announce(silent_in, silence, store=self.store)
        return close_and_remove(
            connection, store=self.store, sockets=self.sockets, rules=self.rules, now=now
        )


def _longest_silent_first(connections: Iterable[RealConnection]) -> list[RealConnection]:
    return sorted(connections, key=lambda c: (c.last_seen_at, c.connected_at))


def _printable(text: str) -> str:
    """The beginning of a text, trimmed, in printable ASCII: "?" replaces all other characters."""
    beginning = text.strip()[:USER_AGENT_MAX].rstrip()
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in beginning)
