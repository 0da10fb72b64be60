"""What the domain needs from outside. `lambdas.adapters` has the real ones, the tests fakes;
one contract suite runs on both.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.messages import SocketMessage
from lambdas.domain.model import (
    Attention,
    Business,
    Census,
    Instant,
    RealConnection,
    Settings,
    Ticket,
    VirtualConnection,
)


@dataclass(frozen=True, slots=True)
class AttentionEntry:
    """A business in the list of those that need attention, and since when it is there."""

    business_id: BusinessId
    since: Instant
    position: str = field(default="", compare=False)
    """What the store needs, besides these two, to continue after this entry."""


class Store(Protocol):
    """The table. Every method raises `Unavailable` when the table cannot be asked."""

    def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
        """All that is stored of one business, in one Query."""

    def find_business(self, connection_id: ConnectionId) -> BusinessId | None:
        """The business of a real connection, for events that do not say it. May lag behind."""

    def add_real(self, connection: RealConnection) -> None:
        """Write a new real connection."""

    def remove_real(self, business_id: BusinessId, connection_id: ConnectionId) -> bool:
        """Remove a real connection; false if it was not there (which is fine)."""

    def refresh_real(
        self, business_id: BusinessId, connection_id: ConnectionId, now: Instant
    ) -> RealConnection | None:
        """Set `last_seen_at` of an existing connection and lift a claim that no longer holds.

        Adds the message to `messages`, which never counts more than came in the minute of `now`.
        None, and nothing written, if the connection is not there or a claim on it holds.
        """

    def claim_real(self, connection: RealConnection, now: Instant) -> bool:
        """Set `closing_at`; false if the client was heard from since `connection` was read."""

    def write_settings(
        self,
        before: Business,
        settings: Settings,
        *,
        put: Sequence[VirtualConnection] = (),
        remove: Sequence[VirtualConnection] = (),
    ) -> None:
        """Write the settings, and the virtual connections that follow from them, in one go.

        Clears the attention marks if `settings.ends_attention`. Otherwise it leaves them alone, so
        that marks that a cleanup sets in the meantime stay. Raises `Conflict`, and writes nothing,
        if the version of the settings is no longer that of `before`.
        """

    def remove_expired_virtual(self, connection: VirtualConnection, now: Instant) -> bool:
        """Remove a virtual connection only if its lease is (still) over; true if it was removed."""

    def write_attention(
        self, before: Business, attention: Attention | None, *, since: Instant, counted: bool
    ) -> bool:
        """Set (or, with None, clear) the attention marks, without bumping the version.

        False, and nothing written, if the settings do not exist, or the settings or the episode
        are no longer those of `before`.
        """

    def list_attention(
        self, attention: Attention, *, limit: int, after: AttentionEntry | None = None
    ) -> Sequence[AttentionEntry]:
        """Up to `limit` businesses that were marked, the longest first. May lag behind."""

    def last_censuses(self) -> Sequence[Census]:
        """The last census of each worker, as `record_census` stored it."""

    def record_census(self, census: Census) -> None:
        """Store the census of one worker's complete run, in place of its last one."""

    def add_ticket(self, digest: str, ticket: Ticket) -> None:
        """Keep a ticket under its digest."""

    def take_ticket(self, digest: str, now: Instant) -> Ticket | None:
        """Take a ticket away, if it is there and still valid. Of many that try, one gets it."""

    def scan(
        self, segment: int, segments: int, meter: Callable[[float], None]
    ) -> Iterator[Business]:
        """Stream one segment of the table, business by business, whole item collections.

        `meter` is told the read request units of each page.
        """


class SocketAnswer(Enum):
    """What the management API said of one socket."""

    OK = auto()
    GONE = auto()
    """`410 Gone`: there is no such socket (any more, or, for a moment, yet)."""
    UNKNOWN = auto()
    """Throttled, forbidden, failed or timed out: nothing was learnt."""


class Sockets(Protocol):
    """API Gateway's management API. Never raises: what it cannot tell is `UNKNOWN`."""

    def probe(self, connection_id: ConnectionId) -> SocketAnswer:
        """Ask whether a socket is open, without touching it."""

    def post(self, connection_id: ConnectionId, message: SocketMessage) -> SocketAnswer:
        """Send one JSON message. `OK` means that API Gateway took it."""

    def close(self, connection_id: ConnectionId) -> SocketAnswer:
        """Close a socket; its client sees a normal closure."""
