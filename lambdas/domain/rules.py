"""When a connection is active, young, quiet or silent. All durations are in seconds."""

import zlib
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from lambdas.domain.model import Business, Instant, RealConnection, VirtualConnection

MAX_CONNECTION_AGE: Final = 2 * 60 * 60
"""API Gateway ends every WebSocket after two hours (a hard quota)."""

CONNECTION_AGE_MARGIN: Final = 10 * 60
"""How much longer than its socket the item of a real connection may live."""

RECONNECT_BEFORE: Final = 5 * 60
"""Clients should have moved to a new socket this long before API Gateway ends theirs."""

RECONNECT_SPREAD: Final = 20 * 60
"""The clients of a fleet that connected together reconnect spread over this long."""

YOUNG_CONNECTION: Final = 60
"""A fresh connection can answer `410 Gone` for a moment; below this age a 410 removes nothing."""

CLAIM_HOLDS: Final = 60
"""How long a claimed connection refuses to be refreshed: long enough to close and remove it."""

CLOCK_SKEW: Final = 60
"""How many seconds the clocks of two machines may differ, at most."""

MAX_MESSAGES_PER_MINUTE: Final = 60
"""What one client may send. API Gateway throttles the whole stage: one client could use it up."""

MAX_VIRTUAL_CONNECTIONS: Final = 90
"""Per business, so that one transaction (100 items) always covers them all and the settings."""


def sends_too_much(connection: RealConnection) -> bool:
    """Whether a connection must be closed because its client sends more than it may."""
    return connection.messages > MAX_MESSAGES_PER_MINUTE


def reconnect_at(connection: RealConnection) -> Instant:
    """When the client of a connection should move to a new socket.

    Spread by the connection id, so that each connection always hears the same moment and a fleet
    that connected at once never reconnects at once.
    """
    spread = zlib.crc32(connection.connection_id.encode()) % RECONNECT_SPREAD
    return connection.connected_at + MAX_CONNECTION_AGE - RECONNECT_BEFORE - spread


class Verdict(Enum):
    """What the cleanup does about a real connection."""

    KEEP = auto()
    TOO_YOUNG = auto()
    """Keep it: API Gateway may not know its socket yet, so a 410 cannot be trusted."""
    PROBE = auto()
    """Ask whether its socket is still there, and remove it if not: it missed a ping."""
    CLOSE = auto()
    """Claim it, close its socket and remove it: it was silent for too long."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The timings of one environment, and what follows from them."""

    ping_interval: int = 300
    """Clients send a ping at least this often."""
    ping_grace: int = 60
    """Extra seconds allowed after two missed pings, for network delay and clock skew."""
    virtual_lease: int = 12 * 60 * 60
    """How long a virtual connection lives after the last availability call of its user."""
    attention_grace: int = 300
    """How long a business may need attention before anybody is paged."""
    max_real_connections: int = 50
    """Active sockets that one business may hold; one more is refused."""

    @property
    def silent_after(self) -> int:
        """A client that was not heard of for longer than this is not there: two pings missed."""
        return 2 * self.ping_interval + self.ping_grace

    def is_active(self, connection: RealConnection | VirtualConnection, now: Instant) -> bool:
        """Whether a connection counts at this moment, whatever has or has not been cleaned up."""
        if connection.ttl <= now:
            return False
        if isinstance(connection, RealConnection):
            return now - connection.last_seen_at <= self.silent_after
        return True

    def is_young(self, connection: RealConnection, now: Instant) -> bool:
        """Whether a `410 Gone` for this connection cannot be trusted yet."""
        return now - connection.connected_at < YOUNG_CONNECTION

    def is_quiet(self, connection: RealConnection, now: Instant) -> bool:
        """Whether this client missed a ping: worth asking whether its socket is still there."""
        return now - connection.last_seen_at > self.ping_interval

    def verdict(self, connection: RealConnection, now: Instant) -> Verdict:
        """What to do about a connection at this moment."""
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
