"""Finds the next transition of a business: a change of its overall status or of its need for
attention.

Everything here is a pure function of what is stored and of the time. The last recorded transition
is stored with the business, so judging the same business again finds nothing new.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

from lambdas.domain.identifiers import IMPORT, BusinessId, ConnectionId, UserId
from lambdas.domain.model import (
    ActingAs,
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

_LEASE_IS_KEPT: Final = 15 * 60
"""Seconds for which a lease that has ended is still stored: the cleanup records before it removes,
and DynamoDB's TTL is not that fast.
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
        """The same as the next transition after a known one, from which it was not made."""
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
    if _is_being_closed(business, status):
        return False  # the removal of its devices is recorded, or the next cleanup looks again
    last = business.last_transition
    if last is None:
        return status.overall_status is not OverallStatus.UNKNOWN
    attention = _reported_attention(status, business.settings)
    return (last.after, last.attention) != (status.overall_status, attention)


def must_note_unchanged(business: Business, status: BusinessStatus, rules: Rules) -> bool:
    """Whether one device fell silent since the business was last judged, and another one did not.

    Whoever finds only the silent one later could take its silence for the loss of the last device.
    """
    last = business.last_transition
    if last is None or last.after not in _CONNECTED or not status.real:
        return False
    ends = (rules.active_until(connection) for connection in business.real)
    return any(last.judged_at < end <= status.as_of for end in ends)


def next_transitions(
    business: Business, now: Instant, rules: Rules, removed: RemovedConnection | None = None
) -> Sequence[Transition]:
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
    attention = _reported_attention(status, settings)
    if settings is None:
        only = _Step(now, status.overall_status, _Change(now, Cause.UNKNOWN))
        return [_transition(business, last, status, only, attention)]
    earlier: Sequence[_Step] = ()
    if last is None:
        step = _first_step(business, status, settings, rules, removed)
    elif status.overall_status is last.after:
        because = _attention_change(settings, last, status)
        step = _Step(because.at, status.overall_status, because)
    else:
        *earlier, step = _steps(business, last, status, settings, rules, removed)
    found: list[Transition] = []
    previous: LastTransition | Transition | None = last
    for each in earlier:
        then = judge(_as_of(business, each.at), each.at, rules)
        told = attention_of(each.status, settings) if last and last.attention else None
        previous = _transition(business, previous, then, each, told)
        found.append(previous)
    return [*found, _transition(business, previous, status, step, attention)]


def _as_of(business: Business, moment: Instant) -> Business:
    """A business without the connections that began after a moment."""
    return replace(
        business,
        real=tuple(c for c in business.real if c.connected_at <= moment),
        virtual=tuple(c for c in business.virtual if c.created_at <= moment),
    )


def _closed_by(settings: Settings | None, moment: Instant) -> UserId | None:
    """Who declared the business unavailable so shortly before a moment that the call may still be
    closing its devices. None if nobody did.
    """
    if settings is None or settings.available or settings.declared_by in (None, IMPORT):
        return None  # an import closes no devices
    is_closing = -CLOCK_SKEW <= moment - settings.updated_at < _CLOSING_TAKES
    return settings.declared_by if is_closing else None


def _is_being_closed(business: Business, status: BusinessStatus) -> bool:
    """Whether a call that declared the business unavailable is still closing its devices."""
    settings = business.settings
    return (
        status.overall_status is OverallStatus.CONNECTED_NOT_ACCEPTING
        and settings is not None
        and settings.updated_as is ActingAs.MEMBER
        and _closed_by(settings, status.as_of) is not None
        and all(c.connected_at <= settings.updated_at for c in business.real)
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
    steps = _steps(business, None, status, settings, rules, removed)
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
        before=last.after if last else OverallStatus.UNKNOWN,
        after=step.status,
        attention=attention,
        cause=step.because.cause,
        by=step.because.by,
        reasons=tuple(reason.code for reason in status.reasons),
        since=last.at if last else None,
        seconds=seconds_until(last, at) if last else {},
    )


def seconds_until(last: LastTransition | Transition, moment: Instant) -> dict[OverallStatus, int]:
    """For how long the business was in each status, from its first transition until a moment after
    its last one.
    """
    seconds = dict(last.seconds)
    seconds[last.after] = seconds.get(last.after, 0) + moment - last.at
    return seconds


def _reported_attention(status: BusinessStatus, settings: Settings | None) -> Attention | None:
    """Why a business needs attention, once the cleanup has reported it."""
    if status.attention is None:
        return None
    episode = settings.current_episode(status.as_of) if settings else None
    return status.attention if episode is not None and episode.reported else None


class _Step(NamedTuple):
    """The business got into a status."""

    at: Instant
    status: OverallStatus
    because: _Change


def _steps(
    business: Business,
    last: LastTransition | None,
    status: BusinessStatus,
    settings: Settings,
    rules: Rules,
    removed: RemovedConnection | None,
) -> Sequence[_Step]:
    """What happened since the business was last judged, or since its settings were written if that
    was later. The last step leads to what it is now.

    What is stored now tells what was so at a moment since then: settings and leases change by the
    time alone, and a device was connected from its handshake until it fell silent. Only of removed
    devices nothing is left. A moment at which one may have been connected, or not, is no date for a
    transition. Whoever writes settings has recorded what was so before.
    """
    now = status.as_of
    start = floor = min(last.judged_at if last else settings.updated_at, now)
    is_written = last is None or settings.version != last.settings_version
    if is_written:
        # The clock of the writer may have been behind that of the last look.
        is_known = floor - CLOCK_SKEW <= settings.updated_at <= now
        start = max(settings.updated_at, floor) if is_known else now
    devices = _Devices.of(business, last, floor, start, now, rules, removed)
    author = _author(settings, start) if is_written else _Change(start, Cause.UNKNOWN)

    by_time = _edges_of_time(settings, start, now)
    moments = {start, now, *devices.edges, *by_time}
    moments |= {at for lease in business.virtual for at in (lease.created_at, lease.expires_at)}
    accepts = connected = leased = None
    if last is not None and last.after is not OverallStatus.UNKNOWN:
        accepts, connected = last.after in _ACCEPTING, last.after in _CONNECTED
        leased = {OverallStatus.VIRTUAL_ONLY: True, OverallStatus.UNREACHABLE: False}.get(
            last.after
        )

    def lease_change(at: Instant) -> _Change:
        ended = not leased and (not is_written or any(e.expires_at == at for e in business.virtual))
        return _Change(at, Cause.LEASE_ENDED) if ended else author

    before = last.after if last else None
    steps: list[_Step] = []
    causes: list[_Change] = []
    for at in sorted(moment for moment in moments if start <= moment <= now):
        was = accepts, connected, leased
        accepts = settings.accepts_orders(at)
        is_leased = _leased_at(business, last, start, at, now)
        is_connected = devices.connected_at(at)
        if is_leased is not None:
            leased = is_leased
        if is_connected is not None:
            connected = is_connected
        causes += [
            change
            for change, (old, new) in (
                (_Change(at, by_time[at]) if at in by_time else author, (was[0], accepts)),
                (devices.cause(at, connected), (was[1], connected)),
                (lease_change(at), (was[2], leased)),
            )
            if old is not None and old is not new
        ]
        if at == now:
            after = status.overall_status
        elif is_connected is None or (is_leased is None and accepts and not is_connected):
            continue
        else:
            after = overall_status(accepts, real=is_connected, virtual=bool(is_leased))
        if after is not before:
            because = min(causes, key=_rank, default=author)
            steps.append(_Step(at, after, because))
        before, causes = after, []
    return _with_closing_as_one(steps, settings)


def _leased_at(
    business: Business, last: LastTransition | None, start: Instant, moment: Instant, now: Instant
) -> bool | None:
    """Whether there was an active lease; None if it may have ended and been removed since."""

    def is_stored(at: Instant) -> bool:
        return any(each.created_at <= at < each.expires_at for each in business.virtual)

    if is_stored(moment):
        return True
    had = last is not None and last.after is OverallStatus.VIRTUAL_ONLY
    may_be_removed = now - moment > _LEASE_IS_KEPT or (had and not is_stored(start))
    return None if may_be_removed and moment < now else False


def _edges_of_time(settings: Settings, start: Instant, now: Instant) -> Mapping[Instant, Cause]:
    """When a pause or the opening hours may have changed whether orders are accepted."""
    edges: dict[Instant, Cause] = {}
    if settings.pause is not None:
        edges[settings.pause.until] = Cause.PAUSE_ENDED
    if settings.opening_hours is not None:
        earliest = max(start, now - _HOURS_LOOKED_AT)
        # One second more, so that an edge at the very beginning or end is one.
        for span in settings.opening_hours.intervals(earliest - 1, now + 1):
            edges |= dict.fromkeys(span, Cause.OPENING_HOURS)
    return edges


@dataclass(frozen=True, slots=True)
class _Devices:
    """When a device was connected, as far as it is known."""

    spans: Sequence[tuple[Instant, Instant]]
    """From a moment on, and until before another, a device was connected."""
    unknown_until: Instant
    """Until before this moment, there may have been others."""
    silent_at: frozenset[Instant]
    removal: _Change
    """The cause of a loss that is no silence."""

    @classmethod
    def of(
        cls,
        business: Business,
        last: LastTransition | None,
        floor: Instant,
        start: Instant,
        now: Instant,
        rules: Rules,
        removed: RemovedConnection | None,
    ) -> Self:
        """Find out what is known since `start`. It was last judged at `floor`."""
        had = last.after in _CONNECTED if last else None
        unknown_until = start
        spans: list[tuple[Instant, Instant]] = []
        for each in business.real:
            begin, end = min(each.connected_at, now), rules.active_until(each)
            if had is False and begin < start < end:
                # It was heard from again after a silence: nobody knows since when, exactly.
                begin = each.last_seen_at if start <= each.last_seen_at <= now else now
                unknown_until = max(unknown_until, begin)
            spans.append((begin, end))
        silent_at = frozenset(end for _, end in spans)
        stored = {each.connection_id for each in business.real}
        if removed is not None and (
            not start <= removed.at <= now or removed.connection_id in stored
        ):
            removed = None  # nothing that explains what happened since
        if (
            had is not False
            and removed is not None
            and not rules.active_real(business, now)
            and removed.at > max(silent_at, default=start - 1)
        ):
            if now - removed.at <= _RECORD_IS_NEWS:
                spans.append((start, removed.at))
            else:
                unknown_until = now
        if had and not any(begin <= start < end for begin, end in spans):
            if any(floor <= end <= start for end in silent_at):
                silent_at |= {start}
            else:
                # It was removed, and may have lived until the next one connected.
                begins = (begin for begin, _ in spans if begin > start)
                unknown_until = max(unknown_until, min(begins, default=now))
        removal = _removal(business.settings, last, removed, stored, floor, start, now)
        return cls(spans, unknown_until, silent_at, removal)

    @property
    def edges(self) -> Iterator[Instant]:
        """When what is known may change."""
        yield self.unknown_until
        for span in self.spans:
            yield from span

    def connected_at(self, moment: Instant) -> bool | None:
        """Whether a device was connected; None if nobody knows."""
        if any(begin <= moment < end for begin, end in self.spans):
            return True
        return None if moment < self.unknown_until else False

    def cause(self, moment: Instant, connected: bool | None) -> _Change:
        """Why a device was connected at a moment, or none any more."""
        if connected:
            return _Change(moment, Cause.DEVICE_CONNECTED)
        if moment in self.silent_at:
            return _Change(moment, Cause.SILENCE)
        return self.removal


def _removal(
    settings: Settings | None,
    last: LastTransition | None,
    removed: RemovedConnection | None,
    stored: Collection[ConnectionId],
    floor: Instant,
    start: Instant,
    now: Instant,
) -> _Change:
    """The removal of the last device: announced, or because the device disconnected."""
    at = removed.at if removed else now
    announced = last.removal if last else None
    if announced is not None and at - announced.at <= _ANNOUNCEMENT_HOLDS:
        is_news = announced.at >= floor - CLOCK_SKEW
        is_removed = is_news and announced.connection_id not in stored
        if removed.connection_id == announced.connection_id if removed else is_removed:
            return _Change(at, announced.cause, announced.by)
    if (closed_by := _closed_by(settings, removed.at if removed else start)) is not None:
        return _Change(at, Cause.MEMBER, closed_by)
    return _Change(at, Cause.DEVICE_DISCONNECTED)


def _with_closing_as_one(steps: Sequence[_Step], settings: Settings) -> Sequence[_Step]:
    """Make one step of a declaration and of the removal of devices that follows from it."""
    if len(steps) < 2 or settings.available:
        return steps
    *others, closes, loses = steps
    if (
        closes.status is OverallStatus.CONNECTED_NOT_ACCEPTING
        and closes.because.cause is Cause.MEMBER
        and loses.because.cause is not Cause.SILENCE
    ):
        return [*others, loses._replace(because=closes.because)]
    return steps


def _rank(change: _Change) -> int:
    """Of changes at one moment that together led to a status, which one explains it best: the
    lowest number, and of equal ones the first.

    ======================================  ==========================  ========================
    transition                              changed together            cause
    ======================================  ==========================  ========================
    ONLINE → OFFLINE                        orders, devices, leases     what stopped the orders
    OFFLINE → VIRTUAL_ONLY                  orders, leases              what started the orders
    CONNECTED_NOT_ACCEPTING → UNREACHABLE   orders, devices             what started the orders
    ONLINE → UNREACHABLE                    devices, leases             the loss of the device
    VIRTUAL_ONLY → ONLINE                   devices, leases             the device that connected
    VIRTUAL_ONLY → UNREACHABLE              leases                      the end of the lease
    ======================================  ==========================  ========================

    Whether orders are accepted decides between the two halves of the statuses, and a declaration
    also changes leases and closes devices. A lease matters only without a device.
    """
    match change.cause:
        case Cause.DEVICE_CONNECTED | Cause.SILENCE | Cause.DEVICE_DISCONNECTED:
            return 1
        case Cause.LEASE_ENDED:
            return 2
        case Cause.UNKNOWN:
            return 3
    return 0


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
    if settings.current_episode(now) is not settings.episode:  # they have closed it since
        return _Change(_changed_by_hours(settings, now) or now, Cause.OPENING_HOURS)
    return _written(settings, last, now)
