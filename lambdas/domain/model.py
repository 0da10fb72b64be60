"""What the service knows about a business: its settings and its connections.

Times are `Instant`: whole seconds since the epoch (UTC).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from lambdas.domain.identifiers import BusinessId, ConnectionId, DeviceId, UserId
from lambdas.domain.instants import Instant as Instant
from lambdas.domain.opening_hours import OpeningHours

Clock = Callable[[], Instant]
"""Tells the time. The domain never reads a clock of its own."""

OutOfTime = Callable[[], bool]
"""Says whether a call must not start any new work, so that its caller still gets an answer."""


class Attention(StrEnum):
    """Why a business needs attention: it accepts orders, but none of its devices can hear them."""

    VIRTUAL_ONLY = "virtual-only"
    UNREACHABLE = "unreachable"


class ActingAs(StrEnum):
    """In what capacity somebody changes the settings of a business."""

    MEMBER = "member"
    OPERATOR = "operator"
    BACKEND = "backend"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Pause:
    """Stops orders until a moment ("busy, 20 minutes"). It ends by itself."""

    until: Instant
    reason: str | None = None
    by: UserId | None = None
    """Who set it; None if that cannot be read."""
    by_operator: bool = False
    """An operator's pause ends only at its end or by an operator."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A time in which a business needs attention, as the cleanup marks it in the settings."""

    attention: Attention
    since: Instant | None
    """When the cleanup first found the need. None if the mark has no readable time."""
    reported: bool = False
    """Whether the cleanup has reported the episode."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is set for a business. Customer apps go by this first."""

    available: bool
    """What the business declared. `accepts_orders` says what follows from it at a given moment."""
    version: int
    """Grows by one with every write of the settings, so that concurrent writes are noticed."""
    updated_at: Instant
    updated_by: UserId
    updated_as: ActingAs = ActingAs.MEMBER
    declared_by: UserId | None = None
    """Who last declared the business available or unavailable."""
    pause: Pause | None = None
    """The last pause, which may be over."""
    opening_hours: OpeningHours | None = None
    """When a business that is available accepts orders. None: at all times."""
    expects_socket: bool = True
    """False for a business that works without a device, through the API alone."""
    episode: Episode | None = None
    """Written by the cleanup alone, which does not change the version."""

    def accepts_orders(self, now: Instant) -> bool:
        """Whether orders are accepted at this moment: declared available, not paused, and within
        the opening hours.
        """
        return self.available and not self.is_paused(now) and self.is_within_hours(now)

    def is_paused(self, now: Instant) -> bool:
        """Whether the business is paused at this moment. A pause ends by itself."""
        return self.pause is not None and now < self.pause.until

    def is_within_hours(self, now: Instant) -> bool:
        """Whether the opening hours, if there are any, include this moment."""
        return self.opening_hours is None or self.opening_hours.is_open(now)

    def is_held_by_operator(self, now: Instant) -> bool:
        """Whether an operator's pause holds at this moment."""
        return self.pause is not None and self.pause.by_operator and self.is_paused(now)

    def needs_device(self, now: Instant) -> bool:
        """Whether the business needs attention when none of its devices is connected."""
        return self.expects_socket and self.accepts_orders(now)

    def current_episode(self, now: Instant) -> Episode | None:
        """The marked episode, unless the opening hours have closed the business since.

        That ends it, even if no cleanup saw the business closed. Only the time since the last write
        of the settings is looked at: that write has checked the time before, by the hours of that
        time.
        """
        episode, hours = self.episode, self.opening_hours
        if episode is None or episode.since is None or hours is None:
            return episode
        begin = max(episode.since, self.updated_at)
        is_over = begin < now and hours.intervals(begin, now) != ((begin, now),)
        return None if is_over else episode

    def ends_episode(self, before: Self | None) -> bool:
        """Whether writing these settings over the earlier ones ends an episode, even one that was
        marked after those were read.
        """
        had_one = before is not None and before.episode is not None
        return not self.needs_device(self.updated_at) or (had_one and self.episode is None)

    @classmethod
    def first(
        cls,
        available: bool,
        *,
        at: Instant,
        by: UserId,
        acting_as: ActingAs = ActingAs.MEMBER,
        expects_socket: bool = True,
        opening_hours: OpeningHours | None = None,
    ) -> Self:
        """The settings of a business after its first declaration."""
        return cls(
            available=available,
            version=1,
            updated_at=at,
            updated_by=by,
            updated_as=acting_as,
            declared_by=by,
            expects_socket=expects_socket,
            opening_hours=opening_hours and opening_hours.without_past_exceptions(at),
        )

    def declared(self, available: bool, *, at: Instant, by: UserId) -> Self:
        """The settings after a declaration of availability. It ends a pause, but not one that an
        operator set.
        """
        return self._changed(
            at,
            by,
            ActingAs.MEMBER,
            available=available,
            declared_by=by,
            pause=self._pause_after_declaration(at),
        )

    def paused(
        self, until: Instant, reason: str | None, *, at: Instant, by: UserId, acting_as: ActingAs
    ) -> Self:
        """The settings after a pause was set. It replaces an earlier one."""
        pause = Pause(until, reason, by, by_operator=acting_as is ActingAs.OPERATOR)
        return self._changed(at, by, acting_as, pause=pause)

    def resumed(self, *, at: Instant, by: UserId, acting_as: ActingAs) -> Self:
        """The settings after a pause was ended."""
        return self._changed(at, by, acting_as, pause=None)

    def expecting_socket(
        self, expects_socket: bool, *, at: Instant, by: UserId, acting_as: ActingAs
    ) -> Self:
        """The settings after somebody changed whether a socket is expected."""
        return self._changed(at, by, acting_as, expects_socket=expects_socket)

    def opening(
        self, hours: OpeningHours | None, *, at: Instant, by: UserId, acting_as: ActingAs
    ) -> Self:
        """The settings after the opening hours were set or, with None, removed."""
        return self._changed(at, by, acting_as, opening_hours=hours)

    def imported(
        self,
        available: bool,
        expects_socket: bool,
        opening_hours: OpeningHours | None,
        *,
        at: Instant,
        by: UserId,
    ) -> Self:
        """The settings after an import. If it changes the availability, it ends a pause, but not
        one that an operator set.
        """
        changes: dict[str, Any] = {"expects_socket": expects_socket, "opening_hours": opening_hours}
        if available != self.available:
            pause = self._pause_after_declaration(at)
            changes |= {"available": available, "declared_by": by, "pause": pause}
        return self._changed(at, by, ActingAs.IMPORT, **changes)

    def _pause_after_declaration(self, at: Instant) -> Pause | None:
        return self.pause if self.is_held_by_operator(at) else None

    def _changed(self, at: Instant, by: UserId, acting_as: ActingAs, **changes: Any) -> Self:
        """The next version of these settings, without exceptions to the hours that are past and
        without an episode that is over, or that the change ends.
        """
        changes |= {"updated_at": at, "updated_by": by, "updated_as": acting_as}
        after = replace(self, version=self.version + 1, **changes)
        if after.opening_hours is not None:
            hours = after.opening_hours.without_past_exceptions(at)
            after = replace(after, opening_hours=hours)
        if after.needs_device(at) and self.current_episode(at) is not None:
            return after
        return replace(after, episode=None)


@dataclass(frozen=True, slots=True)
class RealConnection:
    """A WebSocket held open by a device of the business. Orders are pushed over it.

    It is stored when the socket opens. What the client sends keeps it active, never what we push:
    a half-open socket still accepts pushes. It is removed when the gateway tells us that the socket
    closed, which the gateway does not promise to do. Otherwise the cleanup removes it, once the
    gateway says that the socket is gone or the client has been silent for too long.
    """

    business_id: BusinessId
    connection_id: ConnectionId
    user_id: UserId
    connected_at: Instant
    last_seen_at: Instant
    expires_at: Instant
    """The last resort: no socket lives this long."""
    closing_at: Instant | None = None
    """When somebody claimed this silent connection in order to close it."""
    messages: int = 0
    """Messages that its client sent in the minute of `last_seen_at`, as far as is known."""
    user_agent: str | None = None
    """What its client calls itself, for example ``Till/4.2 (Android 14)``; None if it did not say.
    """
    device_id: DeviceId | None = None
    """What its device calls itself; None if it did not say."""
    ping_interval: int | None = None
    """The ping interval, in seconds, that its client was last told. None if it was stored without
    one.
    """


@dataclass(frozen=True, slots=True)
class VirtualConnection:
    """A status marker with no socket behind it: somebody declared the business available.

    Each user of the business has one. It is created and renewed when that user declares the
    business available. It ends when the business is declared unavailable (all of them, in one
    transaction) or when its lease runs out. It says that somebody wants orders, not that a device
    can hear them.
    """

    business_id: BusinessId
    user_id: UserId
    created_at: Instant
    renewed_at: Instant
    expires_at: Instant
    """When the lease ends."""
    stored_key: str | None = None
    """The store's key, if somebody stored it by hand under another key than this user's."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Lets one browser open one socket, once and within a short time.

    A browser cannot set the header that carries a token, and a token never appears in a URL.
    """

    business_id: BusinessId
    user_id: UserId
    expires_at: Instant


class OverallStatus(StrEnum):
    """The one word for a business at one moment."""

    ONLINE = "ONLINE"
    VIRTUAL_ONLY = "VIRTUAL_ONLY"
    UNREACHABLE = "UNREACHABLE"
    CONNECTED_NOT_ACCEPTING = "CONNECTED_NOT_ACCEPTING"
    OFFLINE = "OFFLINE"
    UNKNOWN = "UNKNOWN"
    """Never declared available or unavailable. Neither an error nor "offline"."""

    @property
    def online(self) -> bool | None:
        """Whether customers can order; None if the business is unknown."""
        if self is OverallStatus.UNKNOWN:
            return None
        return self in (OverallStatus.ONLINE, OverallStatus.VIRTUAL_ONLY)


class Cause(StrEnum):
    """What led to a transition: a stable code, and the words for it."""

    words: str

    def __new__(cls, code: str, words: str = "") -> Self:
        cause = str.__new__(cls, code)
        cause._value_ = code
        cause.words = words
        return cause

    MEMBER = ActingAs.MEMBER.value, "a member's call"
    OPERATOR = ActingAs.OPERATOR.value, "an operator's call"
    BACKEND = ActingAs.BACKEND.value, "a back end's call"
    IMPORT = ActingAs.IMPORT.value, "an import"
    DEVICE_CONNECTED = "device_connected", "a device connected"
    """Or one that had been silent was heard from again."""
    DEVICE_DISCONNECTED = "device_disconnected", "the last device disconnected"
    SILENCE = "silence", "the last device fell silent"
    LEASE_ENDED = "lease_ended", "the last lease ended"
    PAUSE_ENDED = "pause_ended", "the pause ended"
    OPENING_HOURS = "opening_hours", "opening hours"
    CLEANUP = "cleanup", "the cleanup found the socket gone"
    PUSH = "push", "a push found the socket gone"
    UNKNOWN = "unknown", "not known"
    """Nothing that is stored explains it: the business was recorded for the first time, or somebody
    edited the table.
    """


@dataclass(frozen=True, slots=True)
class AnnouncedRemoval:
    """A real connection that is about to be removed without a `$disconnect`, and why."""

    connection_id: ConnectionId
    cause: Cause
    by: UserId | None
    at: Instant
    """When it was announced. A removal that does not follow soon was not carried out."""


@dataclass(frozen=True, slots=True)
class LastTransition:
    """The last recorded transition of a business, as far as it is needed to find the next one."""

    sequence: int
    at: Instant
    after: OverallStatus
    """The overall status since then."""
    attention: Attention | None
    """What has been told about its need for attention."""
    cause: Cause
    by: UserId | None
    seconds: Mapping[OverallStatus, int]
    """For how long the business was in each status, from its first transition until this one."""
    settings_version: int | None
    """The version of the settings that was judged; None if there were none."""
    removal: AnnouncedRemoval | None = None
    """The last removal that was announced."""
    unchanged_at: Instant | None = None
    """When the business was last found to be unchanged, if that had to be noted."""

    @property
    def judged_at(self) -> Instant:
        """Until when the business is known to have been what this transition says."""
        return max(self.at, self.unchanged_at or 0)


@dataclass(frozen=True, slots=True)
class Business:
    """Everything that is stored about one business, as one read returned it.

    It can include connections that are no longer active, because they are removed late. `Rules`
    says which of them count.
    """

    business_id: BusinessId
    settings: Settings | None
    real: tuple[RealConnection, ...]
    virtual: tuple[VirtualConnection, ...]
    unreadable: tuple[str, ...] = ()
    """The store's keys of what could not be read completely: a wrong type, an unknown kind.

    Values that cannot be read are treated as missing.
    """
    last_transition: LastTransition | None = None
    """None if no transition was recorded yet."""


@dataclass(frozen=True, slots=True)
class Census:
    """How many real connections one worker of the cleanup saw in its last complete run."""

    worker: int
    workers: int
    real: int
    taken_at: Instant
