"""The items of the DynamoDB table: their keys, their attributes, and how they are read.

Items are read and written in DynamoDB's own JSON: the resource API costs twice the import time and
converts every attribute through `Decimal`.

Reading is lenient. An attribute that is missing or has a wrong type, because somebody wrote the
item by hand, is read as "never": one bad item must not stop the cleanup of a whole table, and the
cleanup removes a connection that was never heard from.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from lambdas.domain.identifiers import (
    BusinessId,
    ConnectionId,
    DeviceId,
    UserId,
    decode_user_id,
    encode_user_id,
)
from lambdas.domain.instants import END_OF_TIME
from lambdas.domain.model import (
    ActingAs,
    AnnouncedRemoval,
    Attention,
    Business,
    Cause,
    Census,
    Instant,
    LastTransition,
    OverallStatus,
    RealConnection,
    Settings,
    Ticket,
    VirtualConnection,
)
from lambdas.domain.opening_hours import parse_text
from lambdas.domain.rules import CONNECTION_AGE_MARGIN, MAX_CONNECTION_AGE
from lambdas.domain.status import ReasonCode
from lambdas.domain.transitions import Transition
from lambdas.table_schema import (
    ATTENTION,
    ATTENTION_SINCE,
    BUSINESS_PREFIX,
    CENSUS_KEY,
    CONNECTION_ID,
    CONNECTION_PREFIX,
    LAST_TRANSITION_KEY,
    PARTITION_KEY,
    SETTINGS_KEY,
    SORT_KEY,
    TICKET_PREFIX,
    TTL,
    VIRTUAL_PREFIX,
)
from lambdas.use_cases.ports import AttentionEntry

Item = Mapping[str, Any]
"""An item in DynamoDB's JSON: attribute name to ``{"S": …}``, ``{"N": …}`` or ``{"BOOL": …}``."""

Attributes = dict[str, Any]
"""Attributes to write, in DynamoDB's JSON."""

MARK_ATTRIBUTES: Final = (ATTENTION, ATTENTION_SINCE, "attentionReported")
"""The attributes that mark an episode."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._:@-]+")
"""User ids that are the same when encoded: almost all."""

_NOT_READABLE: Final = (KeyError, TypeError, ValueError)
"""What reading raises for an attribute that has a wrong type or value."""


def text(value: str) -> dict[str, str]:
    """A text in DynamoDB's JSON."""
    return {"S": value}


def number(value: int) -> dict[str, str]:
    """A number in DynamoDB's JSON."""
    return {"N": str(value)}


# Keys.


def business_key(business_id: BusinessId) -> dict[str, str]:
    """The partition key of everything about one business."""
    return text(BUSINESS_PREFIX + business_id)


def settings_key(business_id: BusinessId) -> Attributes:
    """The key of the settings."""
    return {PARTITION_KEY: business_key(business_id), SORT_KEY: text(SETTINGS_KEY)}


def real_key(business_id: BusinessId, connection_id: ConnectionId) -> Attributes:
    """The key of a real connection. Sort key: ``CONNECTION#<connectionId>``, for example
    ``CONNECTION#O9oRTfeAoAMCK6g=``.
    """
    return {
        PARTITION_KEY: business_key(business_id),
        SORT_KEY: text(CONNECTION_PREFIX + connection_id),
    }


def virtual_key(connection: VirtualConnection) -> Attributes:
    """The key of a virtual connection. Sort key: ``CONNECTION#VIRTUAL#<businessId>#<userId>``."""
    key = connection.odd_key or _virtual_sort_key(connection.business_id, connection.user_id)
    return {PARTITION_KEY: business_key(connection.business_id), SORT_KEY: text(key)}


def _virtual_sort_key(business_id: BusinessId, user_id: UserId) -> str:
    return f"{VIRTUAL_PREFIX}{business_id}#{encode_user_id(user_id)}"


def last_transition_key(business_id: BusinessId) -> Attributes:
    """The key of the last recorded transition."""
    return {PARTITION_KEY: business_key(business_id), SORT_KEY: text(LAST_TRANSITION_KEY)}


def transition_sort_key(at: Instant, sequence: int | None = None) -> str:
    """The sort key of a transition in the history, in the order of time.

    Without a sequence, it comes before all transitions of that moment.
    """
    return f"{at:012}#" if sequence is None else f"{at:012}#{sequence:012}"


def ticket_key(digest: str) -> Attributes:
    """The key of a ticket."""
    return {PARTITION_KEY: text(TICKET_PREFIX + digest), SORT_KEY: text("TICKET")}


# Writing.


def real_item(connection: RealConnection) -> Attributes:
    """A new real connection."""
    attributes: Attributes = {
        **real_key(connection.business_id, connection.connection_id),
        CONNECTION_ID: text(connection.connection_id),
        "userId": text(connection.user_id),
        "isVirtualConnection": {"BOOL": False},
        "connectedAt": number(connection.connected_at),
        "lastSeenAt": number(connection.last_seen_at),
        TTL: number(connection.expires_at),
    }
    if connection.user_agent is not None:
        attributes["userAgent"] = text(connection.user_agent)
    if connection.device_id is not None:
        attributes["deviceId"] = text(connection.device_id)
    if connection.ping_interval is not None:
        attributes["pingInterval"] = number(connection.ping_interval)
    return attributes


def virtual_item(connection: VirtualConnection) -> Attributes:
    """A virtual connection."""
    return {
        **virtual_key(connection),
        "userId": text(connection.user_id),
        "isVirtualConnection": {"BOOL": True},
        "createdAt": number(connection.created_at),
        "renewedAt": number(connection.renewed_at),
        TTL: number(connection.expires_at),
    }


def settings_attributes(settings: Settings) -> Attributes:
    """What a write of the settings sets: everything except the mark of an episode."""
    attributes: Attributes = {
        "acceptingOrders": {"BOOL": settings.available},
        "expectsSocket": {"BOOL": settings.expects_socket},
        "version": number(settings.version),
        "updatedAt": number(settings.updated_at),
        "updatedBy": text(settings.updated_by),
    }
    if settings.updated_as is not ActingAs.MEMBER:
        attributes["updatedAs"] = text(settings.updated_as)
    if settings.declared_by is not None:
        attributes["declaredBy"] = text(settings.declared_by)
    if settings.paused_until is not None:
        attributes["pausedUntil"] = number(settings.paused_until)
    if settings.pause_reason is not None:
        attributes["pauseReason"] = text(settings.pause_reason)
    if settings.paused_by is not None:
        attributes["pausedBy"] = text(settings.paused_by)
    if settings.paused_by_operator:
        attributes["pausedByOperator"] = {"BOOL": True}
    if settings.opening_hours is not None:
        attributes["openingHours"] = text(settings.opening_hours.text())
    return attributes


OPTIONAL_SETTINGS: Final = (
    *(
        "updatedAs",
        "declaredBy",
        "pausedUntil",
        "pauseReason",
        "pausedBy",
        "pausedByOperator",
        "openingHours",
    ),
)
"""The attributes of the settings that can be missing. A write removes those that it does not set.
"""


def ticket_item(digest: str, ticket: Ticket) -> Attributes:
    """A ticket."""
    return {
        **ticket_key(digest),
        "businessId": text(ticket.business_id),
        "userId": text(ticket.user_id),
        TTL: number(ticket.expires_at),
    }


def census_item(census: Census) -> Attributes:
    """The census of one worker. It has no TTL: the next one replaces it."""
    return {
        PARTITION_KEY: text(CENSUS_KEY),
        SORT_KEY: text(f"{census.worker}/{census.workers}"),
        "worker": number(census.worker),
        "workers": number(census.workers),
        "realConnections": number(census.real),
        "takenAt": number(census.taken_at),
    }


def last_transition_attributes(transition: Transition, settings_version: int | None) -> Attributes:
    """What a transition sets in the last transition of its business."""
    attributes: Attributes = {
        "sequence": number(transition.sequence),
        "at": number(transition.at),
        "to": text(transition.after),
        "cause": text(transition.cause),
        "seconds": {"M": {status: number(s) for status, s in transition.seconds.items()}},
    }
    if transition.attention is not None:
        attributes["toldAttention"] = text(transition.attention)
    if transition.by is not None:
        attributes["by"] = text(transition.by)
    if settings_version is not None:
        attributes["settingsVersion"] = number(settings_version)
    return attributes


UNCHANGED_AT: Final = "unchangedAt"
"""When a business was last found to be what its last transition says."""

OPTIONAL_OF_LAST_TRANSITION: Final = ("toldAttention", "by", "settingsVersion", UNCHANGED_AT)
"""The attributes of the last transition that can be missing. A new one removes those that it does
not set. It keeps `removal`: the announced removal may be under way.
"""


def removal_attribute(removal: AnnouncedRemoval) -> Attributes:
    """An announced removal, as an attribute of the last transition."""
    attributes: Attributes = {
        CONNECTION_ID: text(removal.connection_id),
        "cause": text(removal.cause),
        "at": number(removal.at),
    }
    if removal.by is not None:
        attributes["by"] = text(removal.by)
    return {"M": attributes}


def transition_item(transition: Transition, keep_seconds: int) -> Attributes:
    """A transition in the history, which is kept for so long."""
    attributes = {
        **last_transition_attributes(transition, settings_version=None),
        PARTITION_KEY: business_key(transition.business_id),
        SORT_KEY: text(transition_sort_key(transition.at, transition.sequence)),
        "from": text(transition.before),
        "reasons": {"L": [text(reason) for reason in transition.reasons]},
        TTL: number(transition.at + keep_seconds),
    }
    if transition.since is not None:
        attributes["since"] = number(transition.since)
    return attributes


# Reading.


def read_business(business_id: BusinessId, items: Iterable[Item]) -> Business:
    """A business made of its items. The keys of items that cannot be read completely are in
    `unreadable`; what can be read of them counts.
    """
    settings: Settings | None = None
    real: list[RealConnection] = []
    virtual: list[VirtualConnection] = []
    unreadable: list[str] = []
    last_transition: LastTransition | None = None
    virtual_of_business = f"{VIRTUAL_PREFIX}{business_id}#"

    def add(key: str, item: Item) -> bool:
        """Add what an item holds; false if its kind is unknown."""
        nonlocal settings, last_transition
        if key.startswith(virtual_of_business):
            virtual.append(_read_virtual(business_id, key, item))
        elif key.startswith(CONNECTION_PREFIX) and not key.startswith(VIRTUAL_PREFIX):
            real.append(_read_real(business_id, key, item))
        elif key == SETTINGS_KEY:
            settings = _read_settings(item)
        elif key == LAST_TRANSITION_KEY:
            last_transition = _read_last_transition(item)
        else:
            return False
        return True

    for item in items:
        key: str = item[SORT_KEY]["S"]
        try:
            is_whole = add(key, item)
        except _NOT_READABLE:
            is_whole = False
            if key != LAST_TRANSITION_KEY:  # half of it is worth nothing
                add(key, _without_unreadable(item))
        if not is_whole:
            unreadable.append(key)
    return Business(
        business_id, settings, tuple(real), tuple(virtual), tuple(unreadable), last_transition
    )


def read_business_id(item: Item) -> BusinessId:
    """The business that an item belongs to."""
    key: str = item[PARTITION_KEY]["S"]
    return BusinessId(key.removeprefix(BUSINESS_PREFIX))


def read_real(business_id: BusinessId, item: Item) -> RealConnection:
    """A real connection, as far as it can be read."""
    key: str = item[SORT_KEY]["S"]
    try:
        return _read_real(business_id, key, item)
    except _NOT_READABLE:
        return _read_real(business_id, key, _without_unreadable(item))


def read_ticket(item: Item) -> Ticket:
    """A ticket. Only this service writes one."""
    return Ticket(
        business_id=BusinessId(item["businessId"]["S"]),
        user_id=UserId(item["userId"]["S"]),
        expires_at=int(item[TTL]["N"]),
    )


def read_census(item: Item) -> Census:
    """A census, as far as it can be read."""
    item = _without_unreadable(item)
    return Census(
        worker=_number(item, "worker") or 0,
        workers=_number(item, "workers") or 0,
        real=_number(item, "realConnections") or 0,
        taken_at=_number(item, "takenAt") or 0,
    )


def read_attention_entry(item: Item) -> AttentionEntry:
    """An entry of the attention index. `position` keeps a number that is not an instant."""
    return AttentionEntry(
        read_business_id(item),
        _number(_without_unreadable(item), ATTENTION_SINCE) or 0,
        position=item[ATTENTION_SINCE]["N"],
    )


def read_transition(item: Item) -> Transition:
    """A transition of the history. Raises ValueError if it cannot be read: it is not ours."""
    try:
        attention, by = _text(item, "toldAttention"), _text(item, "by")
        return Transition(
            business_id=read_business_id(item),
            sequence=int(item["sequence"]["N"]),
            at=int(item["at"]["N"]),
            before=_STATUSES[item["from"]["S"]],
            after=_STATUSES[item["to"]["S"]],
            attention=Attention(attention) if attention else None,
            cause=_read_cause(item),
            by=UserId(by) if by else None,
            reasons=_read_reasons(item),
            since=_number(item, "since"),
            seconds=_read_seconds(item),
        )
    except _NOT_READABLE as error:
        raise ValueError(f"not a transition: {item}") from error


def _read_last_transition(item: Item) -> LastTransition:
    attention, by = _text(item, "toldAttention"), _text(item, "by")
    return LastTransition(
        sequence=int(item["sequence"]["N"]),
        at=int(item["at"]["N"]),
        status=_STATUSES[item["to"]["S"]],
        attention=Attention(attention) if attention else None,
        cause=_read_cause(item),
        by=UserId(by) if by else None,
        seconds=_read_seconds(item),
        settings_version=_number(item, "settingsVersion"),
        removal=_read_removal(item),
        unchanged_at=_number(item, UNCHANGED_AT),
    )


# By their codes. A look-up takes less time than calling the enum, and each cleanup reads the last
# transition of every business.
_STATUSES: Final[Mapping[str, OverallStatus]] = {each.value: each for each in OverallStatus}
_CAUSES: Final[Mapping[str, Cause]] = {each.value: each for each in Cause}
_REASONS: Final = frozenset[str](ReasonCode)


def _read_cause(item: Item) -> Cause:
    """The cause of a transition. A newer build, which was rolled back, may have written another."""
    return _CAUSES.get(item["cause"]["S"], Cause.UNKNOWN)


def _read_reasons(item: Item) -> tuple[ReasonCode, ...]:
    """The reasons of a transition, without those that only a newer build knows."""
    codes = (reason["S"] for reason in item["reasons"]["L"])
    return tuple(ReasonCode(code) for code in codes if code in _REASONS)


def _read_removal(item: Item) -> AnnouncedRemoval | None:
    """An announced removal, if it can be read: the next transition would keep a damaged one."""
    if "removal" not in item:
        return None
    try:
        removal = item["removal"]["M"]
        by = _text(removal, "by")
        return AnnouncedRemoval(
            ConnectionId(removal[CONNECTION_ID]["S"]),
            _read_cause(removal),
            UserId(by) if by else None,
            at=_number(removal, "at") or 0,
        )
    except _NOT_READABLE:
        return None


def _read_seconds(item: Item) -> dict[OverallStatus, int]:
    return {_STATUSES[name]: int(value["N"]) for name, value in item["seconds"]["M"].items()}


def _read_settings(item: Item) -> Settings:
    attention, hours = _text(item, ATTENTION), _text(item, "openingHours")
    declared_by, paused_by = _text(item, "declaredBy"), _text(item, "pausedBy")
    return Settings(
        available=_flag(item, "acceptingOrders", default=False),
        version=_number(item, "version") or 0,
        updated_at=_number(item, "updatedAt") or 0,
        updated_by=UserId(_text(item, "updatedBy") or ""),
        updated_as=ActingAs(_text(item, "updatedAs") or ActingAs.MEMBER),
        declared_by=UserId(declared_by) if declared_by else None,
        paused_until=_number(item, "pausedUntil"),
        pause_reason=_text(item, "pauseReason"),
        paused_by=UserId(paused_by) if paused_by else None,
        paused_by_operator=_flag(item, "pausedByOperator", default=False),
        opening_hours=parse_text(hours) if hours else None,
        expects_socket=_flag(item, "expectsSocket", default=True),
        attention=Attention(attention) if attention else None,
        attention_since=_number(item, ATTENTION_SINCE),
        attention_reported=_flag(item, "attentionReported", default=False),
    )


def _read_real(business_id: BusinessId, key: str, item: Item) -> RealConnection:
    device_id = _text(item, "deviceId")
    return RealConnection(
        business_id=business_id,
        connection_id=ConnectionId(key.removeprefix(CONNECTION_PREFIX)),
        user_id=UserId(_text(item, "userId") or ""),
        connected_at=_number(item, "connectedAt") or 0,
        last_seen_at=_number(item, "lastSeenAt") or 0,
        expires_at=_number(item, TTL) or _latest_end(item),
        closing_at=_number(item, "closingAt"),
        messages=_messages(item),
        user_agent=_text(item, "userAgent"),
        device_id=DeviceId(device_id) if device_id else None,
        ping_interval=_number(item, "pingInterval"),
    )


def _latest_end(item: Item) -> Instant:
    """When a connection without a readable TTL is older than a socket can be."""
    known = _number(item, "connectedAt") or _number(item, "lastSeenAt")
    return known + MAX_CONNECTION_AGE + CONNECTION_AGE_MARGIN if known else 0


def _read_virtual(business_id: BusinessId, key: str, item: Item) -> VirtualConnection:
    encoded = key.rpartition("#")[2]
    user_id = decode_user_id(encoded)
    is_usual = _PLAIN.fullmatch(encoded) or key == _virtual_sort_key(business_id, user_id)
    return VirtualConnection(
        business_id=business_id,
        user_id=user_id,
        odd_key=None if is_usual else key,
        created_at=_number(item, "createdAt") or 0,
        renewed_at=_number(item, "renewedAt") or 0,
        expires_at=_number(item, TTL) or 0,
    )


# The messages of a connection are counted by the minute, in the write that each of them makes
# anyway. An update expression cannot reset a counter on a condition, so each of ten minutes has its
# own counter, and every write removes the nine others.
#
# A client can be silent until it is the turn of its old counter again: API Gateway does not close a
# socket as idle while we push to it. So a counter starts at a number that grows with the minute. A
# counter that is left over is below that number, and counts as one message.
MESSAGE_COUNTERS: Final = tuple(f"sent{minute}" for minute in range(10))
_COUNTED_IN_A_MINUTE: Final = 1_000_000
"""More messages than anybody can send in a minute."""


def message_counter(now: Instant) -> tuple[str, int]:
    """The counter of the minute of `now`, and the number at which it starts."""
    minute = now // 60
    return MESSAGE_COUNTERS[minute % len(MESSAGE_COUNTERS)], minute * _COUNTED_IN_A_MINUTE


def _messages(item: Item) -> int:
    """How many messages came in the minute of the last one; 0 if none came yet."""
    counter, start = message_counter(_number(item, "lastSeenAt") or 0)
    if counter not in item:
        return 0
    counted = int(item[counter]["N"]) - start
    return counted if 0 < counted < _COUNTED_IN_A_MINUTE else 1


# Attributes.


def _text(item: Item, name: str) -> str | None:
    return item[name]["S"] if name in item else None


def _number(item: Item, name: str) -> int | None:
    if name not in item:
        return None
    digits = item[name]["N"]
    value = int(digits) if digits.isdecimal() else int(float(digits))
    if not 0 <= value < END_OF_TIME:
        raise ValueError(name)
    return value


def _flag(item: Item, name: str, *, default: bool) -> bool:
    return item[name]["BOOL"] if name in item else default


_READERS: Final[Mapping[str, Callable[[Item, str], object]]] = {
    **dict.fromkeys(
        ("updatedBy", "declaredBy", "pausedBy", "pauseReason", "userId", "userAgent", "deviceId"),
        _text,
    ),
    **dict.fromkeys(
        ("acceptingOrders", "expectsSocket", "pausedByOperator", "attentionReported"),
        lambda item, name: _flag(item, name, default=False),
    ),
    **dict.fromkeys(
        (
            *("version", "updatedAt", "pausedUntil", ATTENTION_SINCE, "connectedAt", "lastSeenAt"),
            *("closingAt", "createdAt", "renewedAt", TTL, "worker", "workers"),
            *("realConnections", "takenAt", "pingInterval"),
        ),
        _number,
    ),
    **dict.fromkeys(MESSAGE_COUNTERS, lambda item, name: int(item[name]["N"])),
    ATTENTION: lambda item, name: Attention(item[name]["S"]),
    "updatedAs": lambda item, name: ActingAs(item[name]["S"]),
    "openingHours": lambda item, name: parse_text(item[name]["S"]),
}
"""How each attribute is read."""


def _without_unreadable(item: Item) -> Item:
    """An item without the attributes that cannot be read."""
    return {name: value for name, value in item.items() if _is_readable(item, name)}


def _is_readable(item: Item, name: str) -> bool:
    try:
        if name in _READERS:
            _READERS[name](item, name)
    except _NOT_READABLE:
        return False
    return True
