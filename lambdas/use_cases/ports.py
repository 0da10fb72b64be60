"""What the use cases need from outside. `lambdas.adapters` implements it on AWS, and the tests in
memory; one contract suite runs on both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.model import (
    AnnouncedRemoval,
    Attention,
    Business,
    Census,
    Episode,
    Instant,
    RealConnection,
    Settings,
    Ticket,
    VirtualConnection,
)
from lambdas.domain.socket_messages import SocketMessage

if TYPE_CHECKING:
    from lambdas.domain.transitions import Position, Transition


@dataclass(frozen=True, slots=True)
class AttentionEntry:
    """A business in the list of those that need attention, and since when it does."""

    business_id: BusinessId
    since: Instant
    position: str = field(default="", compare=False)
    """What else the store needs in order to continue after this entry."""


class Store(Protocol):
    """Keeps everything. Every method raises `Unavailable` when the store does not answer."""

    def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
        """Everything that is stored about one business, in one read.

        A read that need not be `consistent` costs half as much, and may lag behind the last write.
        """

    def find_business(self, connection_id: ConnectionId) -> BusinessId | None:
        """The business of a real connection, for events that do not name it. May lag behind."""

    def add_real(self, connection: RealConnection) -> None:
        """Store a new real connection."""

    def remove_real(
        self, business_id: BusinessId, connection_id: ConnectionId
    ) -> RealConnection | None:
        """Remove a real connection and return it; None if it was not there (which is fine)."""

    def refresh_real(
        self,
        business_id: BusinessId,
        connection_id: ConnectionId,
        now: Instant,
        *,
        ping_interval: int | None = None,
    ) -> RealConnection | None:
        """Set `last_seen_at` of an existing connection, and `ping_interval` if there is a new one.
        Lift a claim that no longer holds.

        Adds the message to `messages`, which never counts more than came in the minute of `now`.
        Returns None, and writes nothing, if the connection is not there or a claim on it holds.
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
        clear_episode: bool = False,
    ) -> None:
        """Write the settings, and the virtual connections that follow from them, all or nothing.

        If more are to be removed than one transaction takes, it removes those that end first ahead
        of it, so what is seen in between is the same business with fewer of them.

        Never writes the mark of an episode, so that one that a cleanup sets in the meantime stays;
        with `clear_episode`, removes it. Raises `Conflict`, and writes nothing, if the version of
        the settings is no longer that of `before`.
        """

    def announce_removal(self, business_id: BusinessId, removal: AnnouncedRemoval) -> None:
        """Keep the cause of a removal with the last transition, until the next announcement.

        Nothing is kept if no transition of the business was recorded yet.
        """

    def note_unchanged(self, business_id: BusinessId, sequence: int, now: Instant) -> None:
        """Keep with the last transition that the business was found unchanged at this moment.

        Nothing is kept if its last transition no longer has this sequence.
        """

    def remove_expired_virtual(self, connection: VirtualConnection, now: Instant) -> bool:
        """Remove a virtual connection if its lease is still over; true if it was removed."""

    def mark_episode(self, before: Business, episode: Episode | None) -> bool:
        """Set the mark of an episode or, with None, clear it. The version stays the same.

        Returns false, and writes nothing, if there are no settings, or if the settings or the
        episode are no longer those of `before`.
        """

    def list_attention(
        self, attention: Attention, *, limit: int, after: AttentionEntry | None = None
    ) -> Sequence[AttentionEntry]:
        """Up to `limit` marked businesses, longest first. May lag behind."""

    def last_censuses(self) -> Sequence[Census]:
        """The last census of each worker, as `record_census` stored it."""

    def record_census(self, census: Census) -> None:
        """Store the census of one worker's complete run, in place of its last one."""

    def add_ticket(self, digest: str, ticket: Ticket) -> None:
        """Store a ticket under its digest."""

    def take_ticket(self, digest: str, now: Instant) -> Ticket | None:
        """Remove a valid ticket and return it. If many try at once, exactly one gets it."""

    def walk(self, part: int, parts: int) -> Iterator[Business]:
        """Yield every business of one part of the store (from 0 to `parts` - 1), each once and
        whole.
        """


class History(Protocol):
    """Keeps the transitions of businesses. Every method raises `Unavailable` when it does not
    answer.
    """

    def commit(self, transition: "Transition", *, settings_version: int | None) -> None:
        """Write a transition, and make it the last one of its business, all or nothing.

        Raises `Conflict`, and writes nothing, if a transition with this sequence was recorded
        already. `settings_version` is the version of the settings that was judged.
        """

    def last_until(
        self, business_id: BusinessId, moment: Instant | None = None
    ) -> "Transition | None":
        """The last transition at or before a moment; without a moment, the last one of all."""

    def first_after(self, business_id: BusinessId, moment: Instant) -> "Transition | None":
        """The first transition after a moment."""

    def list_between(
        self,
        business_id: BusinessId,
        start: Instant,
        end: Instant,
        *,
        limit: int,
        before: "Position | None" = None,
    ) -> "Sequence[Transition]":
        """Up to `limit` transitions from `start` to `end`, both included, newest first.

        With `before`, only those that came before that position.
        """


class SocketAnswer(Enum):
    """What the gateway answered about one socket."""

    OK = auto()
    """The socket is open; or it took the message, or was closed."""
    GONE = auto()
    """There is no such socket: it is closed or, for a moment after connecting, not known yet."""
    UNKNOWN = auto()
    """The gateway could not tell: it was throttled, refused, failed or timed out."""


class Sockets(Protocol):
    """The gateway that holds the WebSockets. Never raises: a failed call answers `UNKNOWN`."""

    def probe(self, connection_id: ConnectionId) -> SocketAnswer:
        """Ask whether a socket is open, without sending it anything."""

    def post(self, connection_id: ConnectionId, message: SocketMessage) -> SocketAnswer:
        """Send one JSON message. `OK` means that the gateway accepted it."""

    def close(self, connection_id: ConnectionId) -> SocketAnswer:
        """Close a socket; its client sees a normal closure."""
