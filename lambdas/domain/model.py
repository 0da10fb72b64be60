"""What the service knows of a business: its settings and its connections.

Times are `Instant`: whole seconds since the epoch (UTC), the unit of DynamoDB's TTL.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self

from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId

Instant = int
"""Seconds since the epoch, UTC."""

Clock = Callable[[], Instant]
"""Tells the time. The domain never reads a clock of its own."""

OutOfTime = Callable[[], bool]
"""Says whether a call must not start any new work, so that its caller still gets an answer."""


class Attention(StrEnum):
    """Why a business needs attention: it accepts orders, and no device of it can hear them."""

    VIRTUAL_ONLY = "virtual-only"
    UNREACHABLE = "unreachable"


_NO_PAUSE: Final[dict[str, Any]] = {"paused_until": None, "pause_reason": None}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a business declared. The primary source of truth for customer apps.

    `version` grows by one with every settings write, so that concurrent writes are noticed.
    `attention` and `attention_since` mark an episode and are set by the cleanup;
    `attention_counted` is true once it was reported.
    """

    accepting_orders: bool
    version: int
    updated_at: Instant
    updated_by: UserId
    paused_until: Instant | None = None
    pause_reason: str | None = None
    expects_socket: bool = True
    attention: Attention | None = None
    attention_since: Instant | None = None
    attention_counted: bool = False

    def accepts_orders(self, now: Instant) -> bool:
        """Whether orders are accepted at this moment. A pause ends by itself, here, at the read."""
        return self.accepting_orders and not self.is_paused(now)

    def is_paused(self, now: Instant) -> bool:
        """Whether a pause holds at this moment."""
        return self.paused_until is not None and now < self.paused_until

    def needs_device(self, now: Instant) -> bool:
        """Whether the business needs attention when none of its devices is connected."""
        return self.expects_socket and self.accepts_orders(now)

    @property
    def ends_attention(self) -> bool:
        """Whether writing these settings ends an episode, because they need no device."""
        return not self.needs_device(self.updated_at)

    @classmethod
    def first(
        cls, accepting: bool, *, at: Instant, by: UserId, expects_socket: bool = True
    ) -> Self:
        """The settings of a business after its first declaration."""
        return cls(
            accepting_orders=accepting,
            version=1,
            updated_at=at,
            updated_by=by,
            expects_socket=expects_socket,
        )

    def declared(self, accepting: bool, *, at: Instant, by: UserId) -> Self:
        """The settings after a declaration of availability, which ends a pause."""
        return self._changed(at, by, accepting_orders=accepting, **_NO_PAUSE)

    def paused(self, until: Instant, reason: str | None, *, at: Instant, by: UserId) -> Self:
        """The settings after a pause was set, which replaces any other."""
        return self._changed(at, by, paused_until=until, pause_reason=reason)

    def resumed(self, *, at: Instant, by: UserId) -> Self:
        """The settings after a pause was ended."""
        return self._changed(at, by, **_NO_PAUSE)

    def expecting_socket(self, expects_socket: bool, *, at: Instant, by: UserId) -> Self:
        """The settings after a change of whether a device is expected."""
        return self._changed(at, by, expects_socket=expects_socket)

    def imported(self, accepting: bool, expects_socket: bool, *, at: Instant, by: UserId) -> Self:
        """The settings after an import, which ends a pause if it changes whether orders are
        accepted.
        """
        pause = {} if accepting == self.accepting_orders else _NO_PAUSE
        return self._changed(
            at, by, accepting_orders=accepting, expects_socket=expects_socket, **pause
        )

    def _changed(self, at: Instant, by: UserId, **changes: Any) -> Self:
        """The next version of these settings.

        The marks of an episode stay, unless the change itself ends the need for a device: attention
        belongs to the state of a business, not to the last write.
        """
        after = replace(self, version=self.version + 1, updated_at=at, updated_by=by, **changes)
        if not after.ends_attention:
            return after
        return replace(after, attention=None, attention_since=None, attention_counted=False)


@dataclass(frozen=True, slots=True)
class RealConnection:
    """A WebSocket held open by a device of the business. Orders are pushed over it.

    Key: ``CONNECTION#<connectionId>``. Created by API Gateway's ``$connect``, kept active by what
    the client sends (never by what we push: a half-open socket still accepts pushes). Ends on
    ``$disconnect``, which is best effort; else the cleanup removes it once the management API
    says that the socket is gone, or once the client has been silent for too long. ``ttl`` is the
    last resort: API Gateway ends every socket after two hours.
    """

    business_id: BusinessId
    connection_id: ConnectionId
    user_id: UserId
    connected_at: Instant
    last_seen_at: Instant
    ttl: Instant
    closing_at: Instant | None = None
    """When somebody claimed this silent connection in order to close it."""
    messages: int = 0
    """How many messages its client sent in the minute of `last_seen_at`, as far as is known."""


@dataclass(frozen=True, slots=True)
class VirtualConnection:
    """A status marker with no socket behind it: somebody declared the business available.

    Key: ``CONNECTION#VIRTUAL#<businessId>#<userId>``, one for each user of the business. Created
    and renewed by an availability call of that user over REST. Ends when the business is declared
    unavailable (all of them, in one transaction), or when its lease ``ttl`` runs out. It says that
    somebody wants orders, not that a device can hear them.
    """

    business_id: BusinessId
    user_id: UserId
    created_at: Instant
    renewed_at: Instant
    ttl: Instant
    odd_key: str | None = None
    """The sort key of an item that was written by hand, if it is not the key of this user."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Lets one browser open one socket, once and soon. A browser cannot set the header that
    carries a token, and a token never appears in a URL.
    """

    business_id: BusinessId
    user_id: UserId
    ttl: Instant


@dataclass(frozen=True, slots=True)
class Business:
    """All that is stored of one business, as one read returned it.

    Connections that are no longer active may still be in here: DynamoDB and the cleanup remove them
    late. Ask `Rules` which of them count.
    """

    business_id: BusinessId
    settings: Settings | None
    real: tuple[RealConnection, ...]
    virtual: tuple[VirtualConnection, ...]
    unreadable: tuple[str, ...] = ()
    """Sort keys of items that could not be read completely: a wrong type, an unknown kind.

    Attributes that cannot be read are treated as missing.
    """


@dataclass(frozen=True, slots=True)
class Census:
    """How many real connections one worker of the cleanup saw in its last complete run."""

    worker: int
    workers: int
    real: int
    taken_at: Instant
