"""Finds the next transition of a business: a change of its overall status or of its need for
attention.

Everything here is a pure function of what is stored and of the time. The last recorded transition
is stored with the business, so judging the same business again finds nothing new.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from lambdas.domain.attention import current_mark
from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId
from lambdas.domain.model import (
    Attention,
    Business,
    Cause,
    Instant,
    LastTransition,
    OverallStatus,
    Settings,
)
from lambdas.domain.rules import CLOCK_SKEW, Rules
from lambdas.domain.status import BusinessStatus, ReasonCode, judge

_ACCEPTING: Final = {
    OverallStatus.ONLINE,
    OverallStatus.VIRTUAL_ONLY,
    OverallStatus.UNREACHABLE,
}
_CONNECTED: Final = {OverallStatus.ONLINE, OverallStatus.CONNECTED_NOT_ACCEPTING}

_HOURS_LOOKED_AT: Final = 2 * 24 * 60 * 60
"""How many seconds back a change by the opening hours is looked for."""

_ANNOUNCEMENT_HOLDS: Final = 5 * 60
"""Seconds within which an announced removal is carried out, if at all."""

_NEW_FOR: Final = 60 * 60
"""Seconds for which the first settings of a business explain its first transition."""


Position = tuple[Instant, int]
"""The place of a transition in the history of its business: when it was, and its sequence."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a business's overall status, or of its need for attention."""

    business_id: BusinessId
    sequence: int
    """1 for the first transition of the business, then one more for each."""
    at: Instant
    """When the business got into the new status, as exactly as is known. Never before the last
    transition.
    """
    before: OverallStatus
    after: OverallStatus
    attention: Attention | None
    """Why it needs attention from now on: for longer than the grace period. None if it does not."""
    cause: Cause
    by: UserId | None
    """Who caused it: a member, an operator or a back end."""
    reasons: tuple[ReasonCode, ...]
    """What the new status rests on."""
    since: Instant | None
    """When the transition to the status `before` was; None if this is the first transition."""
    seconds: Mapping[OverallStatus, int]
    """For how long the business was in each status, from its first transition until `at`."""

    @property
    def position(self) -> Position:
        """Its place in the history of its business."""
        return self.at, self.sequence

    @property
    def online(self) -> bool | None:
        """Whether customers can order from now on; None if the business is unknown."""
        return self.after.online

    def following(self, known: Self) -> Self:
        """Return the same as the next transition after a known one, from which it was not made."""
        at = max(self.at, known.at)
        return replace(
            self,
            sequence=known.sequence + 1,
            at=at,
            before=known.after,
            cause=Cause.UNKNOWN,
            by=None,
            since=known.at,
            seconds=seconds_until(known, at),
        )


@dataclass(frozen=True, slots=True)
class RemovedConnection:
    """A real connection that was removed, according to a record of the store's changes."""

    connection_id: ConnectionId
    at: Instant


@dataclass(frozen=True, slots=True)
class _Change:
    """What may have led to a transition, and when it happened."""

    at: Instant
    cause: Cause
    by: UserId | None = None


def has_transition(business: Business, status: BusinessStatus) -> bool:
    """Whether there is something to record about a business that was just judged."""
    last = business.last_transition
    if last is None:
        return status.overall_status is not OverallStatus.UNKNOWN
    attention = _told_attention(status, business.settings)
    return (last.status, last.attention) != (status.overall_status, attention)


def next_transition(
    business: Business, now: Instant, rules: Rules, removed: RemovedConnection | None = None
) -> Transition | None:
    """The transition since the last recorded one; None if nothing changed.

    `removed` is the last real connection that was removed, if that is known. It only serves to find
    the cause.
    """
    last = business.last_transition
    if last is not None and now < last.at <= now + CLOCK_SKEW:
        # Another machine's clock is ahead, and it has recorded what this clock has yet to come to.
        now = last.at
    status = judge(business, now, rules)
    if not has_transition(business, status):
        return None
    if last is None:
        because = _first_change(business, status, rules)
        return _transition(business, status, None, at=because.at, because=because)
    changes = tuple(_changes(business, last, status, rules, removed))
    return _transition(
        business,
        status,
        last,
        # The business is in its new status since the last of several changes.
        at=max(change.at for change in changes),
        because=changes[0],
    )


def _first_change(business: Business, status: BusinessStatus, rules: Rules) -> _Change:
    """What led to the first transition: the first declaration of a business that is new."""
    settings, now = business.settings, status.as_of
    if (
        settings is None
        or settings.version != 1
        or now - settings.updated_at > _NEW_FOR
        or settings.accepts_orders(settings.updated_at) != status.accepting_orders
    ):
        return _Change(now, Cause.UNKNOWN)
    connected_at = min((c.connected_at for c in rules.active_real(business, now)), default=0)
    return _author(settings, min(max(settings.updated_at, connected_at), now))


def _transition(
    business: Business,
    status: BusinessStatus,
    last: LastTransition | None,
    *,
    at: Instant,
    because: _Change,
) -> Transition:
    at = max(at, last.at) if last else at
    return Transition(
        business_id=business.business_id,
        sequence=last.sequence + 1 if last else 1,
        at=at,
        before=last.status if last else OverallStatus.UNKNOWN,
        after=status.overall_status,
        attention=_told_attention(status, business.settings),
        cause=because.cause,
        by=because.by,
        reasons=tuple(reason.code for reason in status.reasons),
        since=last.at if last else None,
        seconds=seconds_until(last, at) if last else {},
    )


def seconds_until(last: LastTransition | Transition, moment: Instant) -> dict[OverallStatus, int]:
    """For how long the business was in each status, from its first transition until a moment after
    its last one.
    """
    status = last.after if isinstance(last, Transition) else last.status
    seconds = dict(last.seconds)
    seconds[status] = seconds.get(status, 0) + moment - last.at
    return seconds


def _told_attention(status: BusinessStatus, settings: Settings | None) -> Attention | None:
    """Why a business needs attention, once the cleanup has reported it."""
    if status.attention is None:
        return None
    mark = current_mark(settings, status.as_of)
    return status.attention if mark is not None and mark.reported else None


def _changes(
    business: Business,
    last: LastTransition,
    status: BusinessStatus,
    rules: Rules,
    removed: RemovedConnection | None,
) -> Iterator[_Change]:
    """What may have led to the new status. The first one explains it best."""
    settings, now = business.settings, status.as_of
    if settings is None:
        yield _Change(now, Cause.UNKNOWN)
        return
    if status.overall_status is last.status:
        yield _attention_change(settings, last, status)
        return
    was_known = last.status is not OverallStatus.UNKNOWN
    if not was_known or status.accepting_orders != (last.status in _ACCEPTING):
        yield _acceptance_change(settings, last, now)
    if was_known and (status.real > 0) != (last.status in _CONNECTED):
        if status.real:
            yield _connected(business, last, now, rules)
        else:
            yield _lost_devices(business, last, now, rules, removed)
    if status.overall_status is OverallStatus.UNREACHABLE:
        ends = [c.expires_at for c in business.virtual if last.at <= c.expires_at <= now]
        if ends or last.status is OverallStatus.VIRTUAL_ONLY:
            yield _Change(max(ends, default=now), Cause.LEASE_ENDED)
    elif (last.status, status.overall_status) == (
        OverallStatus.UNREACHABLE,
        OverallStatus.VIRTUAL_ONLY,
    ):
        yield _written(settings, last, now)


def _if_since(last: LastTransition, at: Instant, now: Instant) -> Instant:
    """A moment, if it was since the last transition; otherwise now."""
    return at if last.at <= at <= now else now


def _author(settings: Settings, at: Instant) -> _Change:
    """The last write of the settings, as a cause."""
    cause = Cause(settings.updated_as.value)
    return _Change(at, cause, None if cause is Cause.IMPORT else settings.updated_by)


def _written(settings: Settings, last: LastTransition, now: Instant) -> _Change:
    """The last write of the settings, if there was one since the last transition."""
    if settings.version == last.settings_version:
        return _Change(now, Cause.UNKNOWN)
    return _author(settings, _if_since(last, settings.updated_at, now))


def _acceptance_change(settings: Settings, last: LastTransition, now: Instant) -> _Change:
    """Why a business accepts orders, or no longer does."""
    accepts, written_at = settings.accepts_orders(now), settings.updated_at
    is_written = settings.version != last.settings_version
    if is_written and settings.accepts_orders(written_at) == accepts:
        return _written(settings, last, now)
    # The time changed it. If a pause ended and the hours began, the later of the two did.
    by_time: list[_Change] = []
    by_hours = _changed_by_hours(settings, now)
    if by_hours is not None and last.at <= by_hours:
        by_time.append(_Change(by_hours, Cause.OPENING_HOURS))
    if accepts and settings.paused_until is not None and last.at <= settings.paused_until:
        by_time.append(_Change(settings.paused_until, Cause.PAUSE_ENDED))
    return max(by_time, key=lambda change: change.at, default=_written(settings, last, now))


def _changed_by_hours(settings: Settings, now: Instant) -> Instant | None:
    """When the opening hours last began or ended, within the last two days."""
    if settings.opening_hours is None:
        return None
    begin = now - _HOURS_LOOKED_AT
    # One second more, so that an edge at this very moment is one.
    edges = [at for span in settings.opening_hours.intervals(begin, now + 1) for at in span]
    return max((at for at in edges if begin < at <= now), default=None)


def _connected(business: Business, last: LastTransition, now: Instant, rules: Rules) -> _Change:
    """The first device that is connected again."""
    active = rules.active_real(business, now)
    # A device that had been silent is heard from again: nobody knows since when, exactly.
    began = [c.connected_at for c in active if c.connected_at >= last.at]
    at = min(began or [c.last_seen_at for c in active])
    return _Change(_if_since(last, at, now), Cause.DEVICE_CONNECTED)


def _lost_devices(
    business: Business,
    last: LastTransition,
    now: Instant,
    rules: Rules,
    removed: RemovedConnection | None,
) -> _Change:
    """What became of the last device: it fell silent, or its connection was removed later."""
    ended = (rules.active_until(connection) for connection in business.real)
    silent = [_Change(at, Cause.SILENCE) for at in ended if last.at <= at <= now]
    if removed is None or not last.at <= removed.at <= now:
        removed = None
    at = removed.at if removed else now
    announced = last.removal
    if (
        announced is not None
        and at - announced.at <= _ANNOUNCEMENT_HOLDS
        and (removed is None or removed.connection_id == announced.connection_id)
    ):
        removal = _Change(at, announced.cause, announced.by)
    else:
        removal = _Change(at, Cause.DEVICE_DISCONNECTED)
    if silent and removed is None:
        return max(silent, key=lambda change: change.at)
    return max([*silent, removal], key=lambda change: change.at)


def _attention_change(settings: Settings, last: LastTransition, status: BusinessStatus) -> _Change:
    """Why only the need for attention changed."""
    now = status.as_of
    if status.attention is not None and last.attention is None:
        # The grace period is over. What led to the need is what led to the status.
        return _Change(now, last.cause, last.by)
    if settings.is_episode_over(now):  # they closed it since the last write of the settings
        return _Change(_changed_by_hours(settings, now) or now, Cause.OPENING_HOURS)
    return _written(settings, last, now)
