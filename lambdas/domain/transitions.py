"""Finds the next transition of a business: a change of its overall status or of its need for
attention.

Everything here is a pure function of what is stored and of the time. The last recorded transition
is stored with the business, so judging the same business again finds nothing new.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

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
from lambdas.domain.status import (
    BusinessStatus,
    ReasonCode,
    attention_of,
    judge,
    overall_status,
)

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

_CLOSING_TAKES: Final = 30
"""Seconds after which a call that closes the devices of a business is over. API Gateway lets it run
for 29.
"""

_RECORD_IS_NEWS: Final = 30
"""Seconds within which a record of the removal of a connection says when it was. Of an older one,
nobody knows what else was connected since: the records of that may be under way.
"""

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


class Found(NamedTuple):
    """A transition that is not recorded yet."""

    transition: Transition
    settings_version: int | None
    """The version of the settings that it rests on; None if there were none."""


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
    if _is_being_closed(business, last, status):
        return False  # the removal of its devices is recorded, or the next cleanup looks again
    attention = _told_attention(status, business.settings)
    return (last.status, last.attention) != (status.overall_status, attention)


def has_misleading_rest(business: Business, status: BusinessStatus, rules: Rules) -> bool:
    """Whether one device fell silent since the business was last judged, and another one did not.

    Whoever finds only the silent one later could take its silence for the loss of the last device.
    """
    last = business.last_transition
    if last is None or last.status not in _CONNECTED or not status.real:
        return False
    ends = (rules.active_until(connection) for connection in business.real)
    return any(last.judged_at < end <= status.as_of for end in ends)


def next_transitions(
    business: Business, now: Instant, rules: Rules, removed: RemovedConnection | None = None
) -> Sequence[Found]:
    """The transitions since the last recorded one: usually one, or none if nothing changed.

    There are several if what is stored shows that several things happened since.

    `removed` is the last real connection that was removed, if that is known. It never leads to a
    transition, only to its cause and its moment.
    """
    last = business.last_transition
    if last is not None and now < last.judged_at <= now + CLOCK_SKEW:
        # Another machine's clock is ahead, and it has judged what this clock has yet to come to.
        now = last.judged_at
    status = judge(business, now, rules)
    if not has_transition(business, status):
        return ()
    settings = business.settings
    attention = _told_attention(status, settings)
    if settings is None:
        only = _Step(now, status.overall_status, _Change(now, Cause.UNKNOWN))
        return [Found(_transition(business, last, status, only, attention), None)]
    earlier: Sequence[_Step] = ()
    if last is None:
        step = _first_step(business, status, settings, rules, removed)
    elif status.overall_status is last.status:
        because = _attention_change(settings, last, status)
        step = _Step(because.at, status.overall_status, because)
    else:
        *earlier, step = _Past(business, last, status, settings, rules, removed).steps()
    version: int | None
    found: list[Found] = []
    previous: LastTransition | Transition | None = last
    for each in earlier:
        then = judge(_as_of(business, each.at), each.at, rules)
        told = attention_of(each.status, settings) if last and last.attention else None
        version = settings.version
        if last is not None and each.at < settings.updated_at:
            version = last.settings_version
        previous = _transition(business, previous, then, each, told)
        found.append(Found(previous, version))
    final = _transition(business, previous, status, step, attention)
    return [*found, Found(final, settings.version)]


def _as_of(business: Business, moment: Instant) -> Business:
    """A business without the connections that began after a moment."""
    return replace(
        business,
        real=tuple(c for c in business.real if c.connected_at <= moment),
        virtual=tuple(c for c in business.virtual if c.created_at <= moment),
    )


def _is_being_closed(business: Business, last: LastTransition, status: BusinessStatus) -> bool:
    """Whether a call that declared the business unavailable is still closing its devices."""
    settings, removal = business.settings, last.removal
    return (
        status.overall_status is OverallStatus.CONNECTED_NOT_ACCEPTING
        and settings is not None
        and not settings.available
        and removal is not None
        and removal.connection_id is None
        and -CLOCK_SKEW <= status.as_of - removal.at < _CLOSING_TAKES
        and all(c.connected_at <= removal.at for c in business.real)
    )


def _first_step(
    business: Business,
    status: BusinessStatus,
    settings: Settings,
    rules: Rules,
    removed: RemovedConnection | None,
) -> "_Step":
    """What led to the first transition: the first declaration of a business that is new."""
    now, overall = status.as_of, status.overall_status
    if (
        settings.version != 1
        or now - settings.updated_at > _NEW_FOR
        or settings.accepts_orders(settings.updated_at) != status.accepting_orders
    ):
        return _Step(now, overall, _Change(now, Cause.UNKNOWN))
    because = _author(settings, min(settings.updated_at, now))
    steps = _Past(business, None, status, settings, rules, removed).steps()
    return _Step(steps[-1].at if steps else because.at, overall, because)


def _transition(
    business: Business,
    last: LastTransition | Transition | None,
    status: BusinessStatus,
    step: "_Step",
    attention: Attention | None,
) -> Transition:
    """The transition that a step makes. `status` is what the business was then."""
    at = step.at
    if last is not None:
        at = max(at, last.at if isinstance(last, Transition) else last.judged_at)
    return Transition(
        business_id=business.business_id,
        sequence=last.sequence + 1 if last else 1,
        at=at,
        before=_status_since(last) if last else OverallStatus.UNKNOWN,
        after=step.status,
        attention=attention,
        cause=step.because.cause,
        by=step.because.by,
        reasons=tuple(reason.code for reason in status.reasons),
        since=last.at if last else None,
        seconds=seconds_until(last, at) if last else {},
    )


def _status_since(last: LastTransition | Transition) -> OverallStatus:
    return last.after if isinstance(last, Transition) else last.status


def seconds_until(last: LastTransition | Transition, moment: Instant) -> dict[OverallStatus, int]:
    """For how long the business was in each status, from its first transition until a moment after
    its last one.
    """
    status = _status_since(last)
    seconds = dict(last.seconds)
    seconds[status] = seconds.get(status, 0) + moment - last.at
    return seconds


def _told_attention(status: BusinessStatus, settings: Settings | None) -> Attention | None:
    """Why a business needs attention, once the cleanup has reported it."""
    if status.attention is None:
        return None
    mark = current_mark(settings, status.as_of)
    return status.attention if mark is not None and mark.reported else None


class _Step(NamedTuple):
    """The business got into a status."""

    at: Instant
    status: OverallStatus
    because: _Change


_Known = bool | None
"""What is known of the past. None: it is not known."""


class _Turn(NamedTuple):
    """From a moment on, something is so, or no longer, or it is known."""

    at: Instant
    value: _Known
    because: _Change | None
    """None if it only became known."""


@dataclass(frozen=True, slots=True)
class _Track:
    """One of the three parts of a status, since the business was last judged."""

    begin: _Known
    turns: Sequence[_Turn]
    """In the order of time."""

    def at(self, moment: Instant) -> _Known:
        """What was so at a moment."""
        return next((t.value for t in reversed(self.turns) if t.at <= moment), self.begin)


_Span = tuple[Instant, Instant]
"""From a moment on, and until before another."""


class _Past:
    """What a business was since it was last judged, as far as what is stored shows it.

    What was removed meanwhile left no trace. So each part of a status is known or not, and a moment
    at which the status is not known is no date for a transition.
    """

    def __init__(
        self,
        business: Business,
        last: LastTransition | None,
        status: BusinessStatus,
        settings: Settings,
        rules: Rules,
        removed: RemovedConnection | None,
    ) -> None:
        self._business, self._last, self._settings = business, last, settings
        self._status, self._now, self._rules = status, status.as_of, rules
        self._floor = min(last.judged_at if last else settings.updated_at, self._now)
        self._stored = {each.connection_id for each in business.real}
        self._removed = None
        if (
            removed is not None
            and self._floor <= removed.at <= self._now
            and removed.connection_id not in self._stored  # otherwise the record is wrong
        ):
            self._removed = removed
        version = last.settings_version if last else None
        self._is_written = settings.version != version
        self._is_written_once = version is not None and settings.version == version + 1
        self._written_at = self._if_since(settings.updated_at) if self._is_written else self._floor

    def steps(self) -> Sequence[_Step]:
        """What happened since the business last was what is recorded. The last step leads to what
        it is now. Of a business without a record: what happened since its settings were written.
        """
        tracks = (self._acceptance(), self._devices(), self._leases())

        def status_at(moment: Instant) -> OverallStatus | None:
            if moment == self._now:
                return self._status.overall_status
            return _status_of(*(track.at(moment) for track in tracks))

        recorded = self._last.status if self._last else None
        before = recorded or status_at(self._floor)
        steps: list[_Step] = []
        unexplained: list[_Change] = []
        moments = {self._now, *(turn.at for track in tracks for turn in track.turns)}
        for moment in sorted(moments):
            causes = [
                turn.because
                for track in tracks
                for turn in track.turns
                if turn.at == moment and turn.because is not None
            ]
            unexplained += causes
            status = status_at(moment)
            if status is None:
                continue
            if status is recorded:
                steps.clear()
            elif status is not before:
                because = min(unexplained, key=_rank, default=_Change(moment, Cause.UNKNOWN))
                steps.append(_Step(moment, status, because))
            before, unexplained = status, []
        return self._with_closing_as_one(steps)

    def _with_closing_as_one(self, steps: Sequence[_Step]) -> Sequence[_Step]:
        """Make one step of a declaration and of the removal of devices that follows from it."""
        if len(steps) < 2 or self._settings.available:
            return steps
        *others, closes, loses = steps
        if (
            closes.status is OverallStatus.CONNECTED_NOT_ACCEPTING
            and closes.because.cause is Cause.MEMBER
            and loses.because.cause is not Cause.SILENCE
        ):
            return [*others, loses._replace(because=closes.because)]
        return steps

    def _if_since(self, at: Instant) -> Instant:
        """A moment, if it was since the business was last judged; otherwise now."""
        return at if self._floor <= at <= self._now else self._now

    def _author(self, at: Instant) -> _Change:
        """The last write of the settings as a cause, if there was one."""
        return _author(self._settings, at) if self._is_written else _Change(at, Cause.UNKNOWN)

    def _acceptance(self) -> _Track:
        """Whether it accepted orders. Before the last write of the settings, that is only known if
        no other write came before.
        """
        settings, last, floor, now = self._settings, self._last, self._floor, self._now
        recorded = begin = None
        start = self._written_at
        if last is None:
            start = floor
        elif last.status is not OverallStatus.UNKNOWN:
            recorded = begin = last.status in _ACCEPTING
            if settings.updated_at < floor and settings.accepts_orders(floor) == recorded:
                start = floor  # the last look has seen this write
            elif self._is_written and not self._is_written_once:
                begin = None
        causes = {}
        if settings.paused_until is not None:
            causes[settings.paused_until] = Cause.PAUSE_ENDED
        if settings.opening_hours is not None:
            earliest = max(start, now - _HOURS_LOOKED_AT)
            # One second more, so that an edge at the very beginning or end is one.
            for span in settings.opening_hours.intervals(earliest - 1, now + 1):
                causes |= {edge: Cause.OPENING_HOURS for edge in span if edge >= earliest}
        turns: list[_Turn] = []
        value = begin
        for moment in sorted({start, now, *causes}):
            accepts = settings.accepts_orders(moment)
            if not start <= moment <= now or accepts is value:
                continue
            if moment in causes and value is not None:
                because: _Change | None = _Change(moment, causes[moment])
            elif moment == start and not self._is_written and last is not None and start < now:
                continue  # it was recorded otherwise, and nothing that is stored says why
            else:
                because = None if accepts is recorded else self._author(moment)
            turns.append(_Turn(moment, accepts, because))
            value = accepts
        return _Track(begin, turns)

    def _devices(self) -> _Track:
        """Whether a device was connected. One that was removed lived until the record of its
        removal says, or nobody knows how long.
        """
        floor, now, last = self._floor, self._now, self._last
        had = last.status in _CONNECTED if last else None
        silent_at = {self._rules.active_until(each) for each in self._business.real}
        spans: list[_Span] = []
        for each in self._business.real:
            begin = min(each.connected_at, now)
            if had is False and begin < floor:
                # It had been silent, and was heard from again: nobody knows since when, exactly.
                begin = self._if_since(each.last_seen_at)
            spans.append((begin, self._rules.active_until(each)))
        removed, lost_at = self._removed, now
        if removed is not None and now - removed.at <= _RECORD_IS_NEWS:
            lost_at = removed.at
        if (
            removed is not None
            and not self._status.real
            and removed.at > max(silent_at, default=floor - 1)
        ):
            spans.append((floor - 1, lost_at))
        elif had and not _includes(spans, floor):
            # It was removed, and may have lived until the next one connected.
            until = min((begin for begin, _ in spans if begin >= floor), default=lost_at)
            spans.append((floor - 1, until))
        turns = [
            _Turn(
                at,
                value,
                _Change(at, Cause.DEVICE_CONNECTED)
                if value
                else _Change(at, Cause.SILENCE)
                if at in silent_at
                else self._removal(at),
            )
            for at, value in _edges(spans, floor, now, before=had)
        ]
        return _Track(_includes(spans, floor) if had is None else had, turns)

    def _removal(self, at: Instant) -> _Change:
        """The removal of the last device: announced, or because the device disconnected."""
        announced, removed = self._last.removal if self._last else None, self._removed
        if announced is None or at - announced.at > _ANNOUNCEMENT_HOLDS:
            return _Change(at, Cause.DEVICE_DISCONNECTED)
        if announced.connection_id is None:
            is_announced = True
        elif removed is None:
            is_announced = announced.connection_id not in self._stored
        else:
            is_announced = removed.connection_id == announced.connection_id
        if not is_announced:
            return _Change(at, Cause.DEVICE_DISCONNECTED)
        return _Change(at, announced.cause, announced.by)

    def _leases(self) -> _Track:
        """Whether there was an active lease. Those that a write of the settings removed are not
        known any more.
        """
        floor, now = self._floor, self._now
        recorded = self._last.status if self._last else None
        had = {OverallStatus.VIRTUAL_ONLY: True, OverallStatus.UNREACHABLE: False}.get(
            recorded or OverallStatus.UNKNOWN
        )
        spans: list[_Span] = []
        for each in self._business.virtual:
            begin = min(each.created_at, now)
            if had is False and begin < floor < each.expires_at:
                begin = self._if_since(each.renewed_at)
            spans.append((begin, each.expires_at))
            if each.previous_until is not None and had is not False:
                spans.append((floor - 1, min(each.previous_until, begin)))
        if had and not _includes(spans, floor):
            until = min((begin for begin, _ in spans if begin >= floor), default=now)
            spans.append((floor - 1, until))
        are_some_lost = (
            self._is_written
            and recorded is not None
            and (not self._is_written_once or not self._settings.available)
        )
        ends = {each.expires_at for each in self._business.virtual}
        turns = [
            _Turn(
                at,
                value,
                self._author(at)
                if value or (are_some_lost and at not in ends)
                else _Change(at, Cause.LEASE_ENDED),
            )
            for at, value in _edges(spans, floor, now, before=had)
        ]
        begin_value: _Known = _includes(spans, floor) if had is None else had
        if are_some_lost and had is None:
            # Where there is a lease, there is one. Where there is none, it may have been removed.
            written_at = self._written_at
            turns = [
                turn._replace(
                    value=turn.value or (None if turn.at < written_at else False),
                    because=None if turn.value else turn.because,
                )
                for turn in turns
            ]
            if not any(turn.at == written_at for turn in turns):
                turns.append(_Turn(written_at, _includes(spans, written_at), None))
                turns.sort(key=lambda turn: turn.at)
            begin_value = begin_value or None
        return _Track(begin_value, turns)


def _rank(change: _Change) -> int:
    """Of changes that together led to a status, which one explains it best."""
    if change.cause in (Cause.DEVICE_CONNECTED, Cause.SILENCE, Cause.DEVICE_DISCONNECTED):
        return 1
    return 2 if change.cause is Cause.LEASE_ENDED else 0


def _includes(spans: Sequence[_Span], moment: Instant) -> bool:
    return any(begin <= moment < end for begin, end in spans)


def _edges(
    spans: Sequence[_Span], start: Instant, end: Instant, *, before: _Known
) -> Iterator[tuple[Instant, bool]]:
    """When any of some spans begins to hold, or none holds any more, from `start` to `end`."""
    if before is None:
        before = _includes(spans, start - 1)
    for moment in sorted({each for span in spans for each in span if start <= each <= end}):
        has = _includes(spans, moment)
        if has is not before:
            yield moment, has
        before = has


def _status_of(accepts: _Known, real: _Known, virtual: _Known) -> OverallStatus | None:
    """The status that follows from what is known; None if it depends on what is not known."""
    if accepts is None or real is None or (virtual is None and accepts and not real):
        return None
    return overall_status(accepts, real=real, virtual=bool(virtual))


def _author(settings: Settings, at: Instant) -> _Change:
    """The last write of the settings, as a cause."""
    cause = Cause(settings.updated_as.value)
    return _Change(at, cause, None if cause is Cause.IMPORT else settings.updated_by)


def _written(settings: Settings, last: LastTransition, now: Instant) -> _Change:
    """The last write of the settings, if there was one since the business was last judged."""
    if settings.version == last.settings_version:
        return _Change(now, Cause.UNKNOWN)
    at = settings.updated_at if last.judged_at <= settings.updated_at <= now else now
    return _author(settings, at)


def _changed_by_hours(settings: Settings, now: Instant) -> Instant | None:
    """When the opening hours last began or ended, within the last two days."""
    if settings.opening_hours is None:
        return None
    begin = now - _HOURS_LOOKED_AT
    # One second more, so that an edge at this very moment is one.
    edges = [at for span in settings.opening_hours.intervals(begin, now + 1) for at in span]
    return max((at for at in edges if begin < at <= now), default=None)


def _attention_change(settings: Settings, last: LastTransition, status: BusinessStatus) -> _Change:
    """Why only the need for attention changed."""
    now = status.as_of
    if status.attention is not None and last.attention is None:
        # The grace period is over. What led to the need is what led to the status.
        return _Change(now, last.cause, last.by)
    if settings.is_episode_over(now):  # they closed it since the last write of the settings
        return _Change(_changed_by_hours(settings, now) or now, Cause.OPENING_HOURS)
    return _written(settings, last, now)
