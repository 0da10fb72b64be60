"""Whether a business is online, and why: a pure function of what is stored and of the time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from lambdas.domain.identifiers import CANARY, BusinessId, UserId
from lambdas.domain.instants import timestamp
from lambdas.domain.model import Attention, Business, Instant, Pause, Settings
from lambdas.domain.model import OverallStatus as OverallStatus
from lambdas.domain.rules import Rules

_STATUS: Final = {
    # accepts orders, has a real connection, has a virtual connection
    (True, True, True): OverallStatus.ONLINE,
    (True, True, False): OverallStatus.ONLINE,
    (True, False, True): OverallStatus.VIRTUAL_ONLY,
    (True, False, False): OverallStatus.UNREACHABLE,
    (False, True, True): OverallStatus.CONNECTED_NOT_ACCEPTING,
    (False, True, False): OverallStatus.CONNECTED_NOT_ACCEPTING,
    (False, False, True): OverallStatus.OFFLINE,
    (False, False, False): OverallStatus.OFFLINE,
}


class ReasonCode(StrEnum):
    """What a status rests on. Codes are stable; the text that comes with them is for people."""

    NO_SETTINGS = "no_settings"
    ACCEPTING_ORDERS = "accepting_orders"
    NOT_ACCEPTING_ORDERS = "not_accepting_orders"
    PAUSED = "paused"
    OUTSIDE_OPENING_HOURS = "outside_opening_hours"
    REAL_CONNECTION_ACTIVE = "real_connection_active"
    REAL_CONNECTION_SILENT = "real_connection_silent"
    NO_REAL_CONNECTION = "no_real_connection"
    VIRTUAL_CONNECTION_ACTIVE = "virtual_connection_active"
    VIRTUAL_CONNECTION_EXPIRED = "virtual_connection_expired"
    NO_VIRTUAL_CONNECTION = "no_virtual_connection"
    SOCKET_NOT_EXPECTED = "socket_not_expected"


@dataclass(frozen=True, slots=True)
class Reason:
    """One piece of evidence."""

    code: ReasonCode
    detail: str


@dataclass(frozen=True, slots=True)
class BusinessStatus:
    """The status of one business at the moment `as_of`, with the evidence for it."""

    business_id: BusinessId
    overall_status: OverallStatus
    accepting_orders: bool
    """Whether it is declared available, not paused, and within its opening hours."""
    real: int
    """Active real connections."""
    virtual: int
    """Active virtual connections."""
    attention: Attention | None
    """Why the business needs attention at this moment; None if it does not."""
    attention_since: Instant | None
    """When a cleanup first found that the business needs attention. None if none did yet."""
    last_seen_at: Instant | None
    """When a device was last heard from, among the connections that are still stored."""
    virtual_until: Instant | None
    """When the last virtual connection expires, unless it is renewed."""
    declared_by: UserId | None
    """Who last declared it available or unavailable."""
    pause: Pause | None
    """The pause at this moment."""
    as_of: Instant
    _business: Business = field(compare=False, repr=False)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The evidence. It is put into words only on request: a cleanup never needs it."""
        return (
            *_settings_reasons(self._business.settings, self.as_of),
            _real_reason(self._business, self.real, self.as_of),
            _virtual_reason(self._business, self.virtual),
        )

    @property
    def next_change_at(self) -> Instant | None:
        """When its opening hours next begin or end; None without hours, or if they never do."""
        settings = self._business.settings
        if settings is None or settings.opening_hours is None:
            return None
        return settings.opening_hours.next_change(self.as_of)

    @property
    def online(self) -> bool | None:
        """Whether customers can order at this moment; None if the business is unknown."""
        return self.overall_status.online


def judge(business: Business, now: Instant, rules: Rules) -> BusinessStatus:
    """Judge one business. Pure: the same arguments always give the same status and reasons."""
    settings = business.settings
    accepting = settings is not None and settings.accepts_orders(now)
    real = rules.active_real(business, now)
    virtual = rules.active_virtual(business, now)
    episode = settings.current_episode(now) if settings else None
    overall = OverallStatus.UNKNOWN
    if settings is not None:
        overall = overall_status(accepting, real=bool(real), virtual=bool(virtual))
    attention = None if business.business_id == CANARY else attention_of(overall, settings)
    return BusinessStatus(
        business_id=business.business_id,
        overall_status=overall,
        accepting_orders=accepting,
        real=len(real),
        virtual=len(virtual),
        attention=attention,
        attention_since=episode.since if episode and attention else None,
        last_seen_at=max((c.last_seen_at for c in business.real), default=None),
        virtual_until=max((c.expires_at for c in virtual), default=None),
        declared_by=settings.declared_by if settings else None,
        pause=settings.pause if settings and settings.is_paused(now) else None,
        as_of=now,
        _business=business,
    )


def overall_status(accepting: bool, *, real: bool, virtual: bool) -> OverallStatus:
    """The status of a business that has settings: whether it accepts orders, and which kinds of
    active connections it has.
    """
    return _STATUS[accepting, real, virtual]


def attention_of(overall: OverallStatus, settings: Settings | None) -> Attention | None:
    """Why a business with this status needs attention; None if it does not."""
    if settings is None or not settings.expects_socket:
        return None
    return {
        OverallStatus.VIRTUAL_ONLY: Attention.VIRTUAL_ONLY,
        OverallStatus.UNREACHABLE: Attention.UNREACHABLE,
    }.get(overall)


def _settings_reasons(settings: Settings | None, now: Instant) -> tuple[Reason, ...]:
    if settings is None:
        return (Reason(ReasonCode.NO_SETTINGS, "nobody ever declared this business"),)
    reasons = [*_obstacles(settings, now)]
    if not reasons:
        detail = f"accepts orders ({_changed(settings, now)})"
        reasons.append(Reason(ReasonCode.ACCEPTING_ORDERS, detail))
    if not settings.expects_socket:
        reasons.append(Reason(ReasonCode.SOCKET_NOT_EXPECTED, "works without a device"))
    return tuple(reasons)


def _obstacles(settings: Settings, now: Instant) -> Iterator[Reason]:
    """Why a business does not accept orders."""
    if not settings.available:
        detail = f"does not accept orders ({_changed(settings, now)})"
        yield Reason(ReasonCode.NOT_ACCEPTING_ORDERS, detail)
    pause = settings.pause
    if pause is not None and settings.is_paused(now):
        who = pause.by or "somebody"
        role = ", an operator," if pause.by_operator else ""
        why = f": {pause.reason}" if pause.reason else ""
        detail = f"paused by {who}{role} until {timestamp(pause.until)}{why}"
        yield Reason(ReasonCode.PAUSED, detail)
    hours = settings.opening_hours
    if hours is not None and not hours.is_open(now):
        opens = hours.next_change(now)
        until = f"until {timestamp(opens)}" if opens is not None else "for more than 400 days"
        detail = f"outside its opening hours {until} ({hours.time_zone})"
        yield Reason(ReasonCode.OUTSIDE_OPENING_HOURS, detail)


def _changed(settings: Settings, now: Instant) -> str:
    return f"settings last changed by {settings.updated_by}, {now - settings.updated_at} s ago"


def _real_reason(business: Business, active: int, now: Instant) -> Reason:
    if not business.real:
        return Reason(ReasonCode.NO_REAL_CONNECTION, "no device is connected")
    heard = f"last heard from {now - max(c.last_seen_at for c in business.real)} s ago"
    if active:
        detail = f"{active} of {len(business.real)} real connections active, {heard}"
        return Reason(ReasonCode.REAL_CONNECTION_ACTIVE, detail)
    detail = f"{len(business.real)} real connections, all silent, {heard}"
    return Reason(ReasonCode.REAL_CONNECTION_SILENT, detail)


def _virtual_reason(business: Business, active: int) -> Reason:
    if not business.virtual:
        return Reason(ReasonCode.NO_VIRTUAL_CONNECTION, "no virtual connection")
    total = len(business.virtual)
    if active:
        detail = f"{active} of {total} virtual connections active"
        return Reason(ReasonCode.VIRTUAL_CONNECTION_ACTIVE, detail)
    return Reason(ReasonCode.VIRTUAL_CONNECTION_EXPIRED, f"{total} virtual connections, expired")
