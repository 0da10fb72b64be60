"""When a connection is active, young, quiet or silent. All durations are in seconds."""

import zlib
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from lambdas.domain.model import Business, Instant, RealConnection, VirtualConnection

MAX_CONNECTION_AGE: Final = 2 * 60 * 60
"""No socket gets older: API Gateway ends every WebSocket after two hours, a quota that cannot be
raised.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
"""

CONNECTION_AGE_MARGIN: Final = 10 * 60
"""How much longer than its socket a real connection may stay stored."""

RECONNECT_BEFORE: Final = 5 * 60
"""Clients should have moved to a new socket this long before theirs is ended for its age."""

RECONNECT_SPREAD: Final = 20 * 60
"""Clients that connected at the same time reconnect spread over this long."""

YOUNG_CONNECTION: Final = 60
"""Below this age, nothing is removed because its socket is said to be gone: for a moment after
connecting, the gateway can say so of a socket that is there.
"""

CLAIM_HOLDS: Final = 60
"""How long a claimed connection refuses to be refreshed: long enough to close and remove it."""

CLOCK_SKEW: Final = 60
"""How many seconds the clocks of two machines may differ, at most."""

MAX_MESSAGES_PER_MINUTE: Final = 60
"""What one client may send. The gateway limits all clients together, so one of them could use up
everything.
"""


def sends_too_much(connection: RealConnection) -> bool:
    """Whether a connection must be closed because its client sends more than it may."""
    return connection.messages > MAX_MESSAGES_PER_MINUTE


def reconnect_at(connection: RealConnection) -> Instant:
    """When the client of a connection should move to a new socket.

    The moment depends on the connection id: one connection always gets the same answer, and clients
    that connected at the same time get different ones.
    """
    spread = zlib.crc32(connection.connection_id.encode()) % RECONNECT_SPREAD
    return connection.connected_at + MAX_CONNECTION_AGE - RECONNECT_BEFORE - spread


class Verdict(Enum):
    """What the cleanup does with a real connection."""

    KEEP = auto()
    TOO_YOUNG = auto()
    """Keep it: the gateway may not know its socket yet."""
    PROBE = auto()
    """It missed a ping: ask whether its socket is still there, and remove it if not."""
    CLOSE = auto()
    """It was silent for too long: claim it, close its socket and remove it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The timings of one environment, and what follows from them."""

    ping_interval: int = 300
    """Clients send a ping at least this often."""
    ping_grace: int = 60
    """Extra time after two missed pings, for network delay and clocks that differ."""
    virtual_lease: int = 12 * 60 * 60
    """How long a virtual connection lives after the last availability call of its user."""
    attention_grace: int = 300
    """How long a business may need attention before it is reported."""
    max_real_connections: int = 50
    """Devices of one business that may hold sockets; one more is refused."""

    @property
    def silent_after(self) -> int:
        """After this long without a word from it, a client counts as gone: it missed two pings."""
        return self._silent_after(self.ping_interval)

    def _silent_after(self, ping_interval: int) -> int:
        return 2 * ping_interval + self.ping_grace

    def _told_interval(self, connection: RealConnection) -> int:
        """The ping interval by which a connection is judged: what its client was told, so that
        another interval of the environment changes nothing for a client that has not heard of it.
        """
        return connection.ping_interval or self.ping_interval

    def is_active(self, connection: RealConnection | VirtualConnection, now: Instant) -> bool:
        """Whether a connection counts at this moment, even if the cleanup has not run since."""
        if isinstance(connection, RealConnection) and now >= self._silent_from(connection):
            return False
        return now < connection.expires_at

    def active_until(self, connection: RealConnection | VirtualConnection) -> Instant:
        """From when on a connection no longer counts, unless it is heard from or renewed."""
        if isinstance(connection, RealConnection):
            return min(connection.expires_at, self._silent_from(connection))
        return connection.expires_at

    def _silent_from(self, connection: RealConnection) -> Instant:
        return connection.last_seen_at + self._silent_after(self._told_interval(connection)) + 1

    def is_young(self, connection: RealConnection, now: Instant) -> bool:
        """Whether it is too early to believe that the socket of a connection is gone."""
        return now - connection.connected_at < YOUNG_CONNECTION

    def is_quiet(self, connection: RealConnection, now: Instant) -> bool:
        """Whether it is worth asking for the socket of a connection: its client missed a ping, or
        sent nothing since its handshake, which may have failed after the connection was stored.
        """
        is_new = connection.messages == 0 and connection.last_seen_at == connection.connected_at
        return self.missed_ping(connection, now) or (is_new and not self.is_young(connection, now))

    def missed_ping(self, connection: RealConnection, now: Instant) -> bool:
        """Whether a client has sent nothing for longer than its ping interval."""
        return now - connection.last_seen_at > self._told_interval(connection)

    def verdict(self, connection: RealConnection, now: Instant) -> Verdict:
        """What to do with a connection at this moment."""
        if self.is_young(connection, now):
            return Verdict.TOO_YOUNG
        if not self.is_active(connection, now):
            return Verdict.CLOSE
        if self.is_quiet(connection, now):
            return Verdict.PROBE
        return Verdict.KEEP

    def active_real(self, business: Business, now: Instant) -> tuple[RealConnection, ...]:
        """The real connections that count at this moment."""
        return tuple(c for c in business.real if self.is_active(c, now))

    def active_virtual(self, business: Business, now: Instant) -> tuple[VirtualConnection, ...]:
        """The virtual connections that count at this moment."""
        return tuple(c for c in business.virtual if self.is_active(c, now))
