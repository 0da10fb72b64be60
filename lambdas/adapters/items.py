"""The items of the DynamoDB table: their keys, their attributes, and how they are read.

Items are read and written in DynamoDB's own JSON: the resource API costs twice the import time and
converts every attribute through `Decimal`.

What each kind of item holds is a table: `_SETTINGS`, `_REAL_CONNECTION` and so on. A new attribute
is a new row.

Reading is lenient. An attribute that is missing or has a wrong type, because somebody wrote the
item by hand, is read as "never": one bad item must not stop the cleanup of a whole table, and the
cleanup removes a connection that was never heard from.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from lambdas.domain.identifiers import (
    BusinessId,
    ConnectionId,
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
    Episode,
    Instant,
    LastTransition,
    OverallStatus,
    Pause,
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

_PLAIN: Final = re.compile(r"[A-Za-z0-9._:@-]+")
"""User ids that are the same when encoded: almost all."""

_NOT_READABLE: Final = (KeyError, TypeError, ValueError)
"""What reading raises for an attribute that is missing, or has a wrong type or value."""


def text(value: str) -> dict[str, str]:
    """A text in DynamoDB's JSON."""
    return {"S": value}


def number(value: int) -> dict[str, str]:
    """A number in DynamoDB's JSON."""
    return {"N": str(value)}


# How values are stored.


class _Codec(NamedTuple):
    """How the values of an attribute are written and read."""

    write: Callable[[Any], Attributes]
    """Puts a value into DynamoDB's JSON."""
    read: Callable[[Mapping[str, Any]], Any]
    """Takes it out again: None for an empty text. Raises one of `_NOT_READABLE`."""


def _read_number(value: Mapping[str, Any]) -> int:
    digits = value["N"]
    found = int(digits) if digits.isdecimal() else int(float(digits))
    if not 0 <= found < END_OF_TIME:
        raise ValueError(digits)
    return found


# A look-up takes less time than calling the enum, and each cleanup reads the last transition of
# every business.
_STATUSES: Final[Mapping[str, OverallStatus]] = {each.value: each for each in OverallStatus}
_CAUSES: Final[Mapping[str, Cause]] = {each.value: each for each in Cause}
_REASONS: Final[Mapping[str, ReasonCode]] = {each.value: each for each in ReasonCode}

_TEXT: Final = _Codec(text, lambda value: value["S"] or None)
_NUMBER: Final = _Codec(number, _read_number)
_FLAG: Final = _Codec(lambda flag: {"BOOL": flag}, lambda value: value["BOOL"])
_ATTENTION: Final = _Codec(text, lambda value: Attention(value["S"]))
_ACTING_AS: Final = _Codec(text, lambda value: ActingAs(value["S"]))
_HOURS: Final = _Codec(lambda hours: text(hours.text()), lambda value: parse_text(value["S"]))
_STATUS: Final = _Codec(text, lambda value: _STATUSES[value["S"]])
# A newer build, which was rolled back, may have written causes and reasons that only it knows.
_CAUSE: Final = _Codec(text, lambda value: _CAUSES.get(value["S"], Cause.UNKNOWN))
_REASON_CODES: Final = _Codec(
    lambda codes: {"L": [text(code) for code in codes]},
    lambda value: tuple(_REASONS[code["S"]] for code in value["L"] if code["S"] in _REASONS),
)
_SECONDS: Final = _Codec(
    lambda seconds: {"M": {status: number(each) for status, each in seconds.items()}},
    lambda value: {_STATUSES[name]: int(each["N"]) for name, each in value["M"].items()},
)


# What each kind of item holds, apart from its key.


_REQUIRED: Final = object()


class _Column(NamedTuple):
    """An attribute of one kind of item, and the field that it holds."""

    attribute: str
    field: str
    codec: _Codec
    default: Any = _REQUIRED
    """What a missing attribute is read as. Without a default, the item cannot be read."""
    is_implied: bool = False
    """Whether the default is not written. None never is."""


class _Kind:
    """One kind of item: reads and writes its columns."""

    def __init__(self, *columns: _Column) -> None:
        self.columns = columns
        self._readers = {c.attribute: (c.field, c.codec.read) for c in columns}
        self.optional = tuple(c.attribute for c in columns if c.default is None or c.is_implied)
        """The attributes without which an item can be written."""
        self._defaults = {c.field: c.default for c in columns if c.default is not _REQUIRED}

    def attributes(self, value: object) -> Attributes:
        """What is written of a value that has the fields of this kind."""
        return {
            column.attribute: column.codec.write(field)
            for column in self.columns
            if (field := getattr(value, column.field)) is not None
            and not (column.is_implied and field == column.default)
        }

    def fields(self, item: Item) -> dict[str, Any]:
        """What an item says about the fields of this kind. Raises one of `_NOT_READABLE`."""
        fields = self._defaults.copy()
        readers = self._readers
        for name, stored in item.items():
            if name not in readers:
                continue
            field, read = readers[name]
            if (value := read(stored)) is not None:
                fields[field] = value
        return fields


_REAL_CONNECTION: Final = _Kind(
    _Column("userId", "user_id", _TEXT, ""),
    _Column("connectedAt", "connected_at", _NUMBER, 0),
    _Column("lastSeenAt", "last_seen_at", _NUMBER, 0),
    _Column(TTL, "expires_at", _NUMBER, 0),
    _Column("closingAt", "closing_at", _NUMBER, None),
    _Column("userAgent", "user_agent", _TEXT, None),
    _Column("deviceId", "device_id", _TEXT, None),
    _Column("pingInterval", "ping_interval", _NUMBER, None),
)

_VIRTUAL_CONNECTION: Final = _Kind(
    _Column("createdAt", "created_at", _NUMBER, 0),
    _Column("renewedAt", "renewed_at", _NUMBER, 0),
    _Column(TTL, "expires_at", _NUMBER, 0),
)

_SETTINGS: Final = _Kind(
    _Column("acceptingOrders", "available", _FLAG, False),
    _Column("expectsSocket", "expects_socket", _FLAG, True),
    _Column("version", "version", _NUMBER, 0),
    _Column("updatedAt", "updated_at", _NUMBER, 0),
    _Column("updatedBy", "updated_by", _TEXT, ""),
    _Column("updatedAs", "updated_as", _ACTING_AS, ActingAs.MEMBER, is_implied=True),
    _Column("declaredBy", "declared_by", _TEXT, None),
    _Column("openingHours", "opening_hours", _HOURS, None),
)
_PAUSE: Final = _Kind(
    _Column("pausedUntil", "until", _NUMBER),
    _Column("pauseReason", "reason", _TEXT, None),
    _Column("pausedBy", "by", _TEXT, None),
    _Column("pausedByOperator", "by_operator", _FLAG, False, is_implied=True),
)
_EPISODE: Final = _Kind(
    _Column(ATTENTION, "attention", _ATTENTION),
    _Column(ATTENTION_SINCE, "since", _NUMBER, None),
    _Column("attentionReported", "reported", _FLAG, False),
)

EPISODE_ATTRIBUTES: Final = tuple(column.attribute for column in _EPISODE.columns)
"""The attributes that mark an episode."""

OPTIONAL_SETTINGS: Final = (
    *_SETTINGS.optional,
    *(column.attribute for column in _PAUSE.columns),
)
"""The attributes of the settings that can be missing. A write removes those that it does not set.
"""

_TICKET: Final = _Kind(
    _Column("businessId", "business_id", _TEXT),
    _Column("userId", "user_id", _TEXT),
    _Column(TTL, "expires_at", _NUMBER),
)

_CENSUS: Final = _Kind(
    _Column("worker", "worker", _NUMBER, 0),
    _Column("workers", "workers", _NUMBER, 0),
    _Column("realConnections", "real", _NUMBER, 0),
    _Column("takenAt", "taken_at", _NUMBER, 0),
)

_CHANGE: Final = _Kind(
    _Column("sequence", "sequence", _NUMBER),
    _Column("at", "at", _NUMBER),
    _Column("to", "after", _STATUS),
    _Column("toldAttention", "attention", _ATTENTION, None),
    _Column("cause", "cause", _CAUSE),
    _Column("by", "by", _TEXT, None),
    _Column("seconds", "seconds", _SECONDS),
)
_TRANSITION: Final = _Kind(
    *_CHANGE.columns,
    _Column("from", "before", _STATUS),
    _Column("reasons", "reasons", _REASON_CODES),
    _Column("since", "since", _NUMBER, None),
)
UNCHANGED_AT: Final = "unchangedAt"
"""When a business was last found to be what its last transition says."""
_SETTINGS_VERSION: Final = "settingsVersion"
_LAST_TRANSITION: Final = _Kind(
    *_CHANGE.columns,
    _Column(_SETTINGS_VERSION, "settings_version", _NUMBER, None),
    _Column(UNCHANGED_AT, "unchanged_at", _NUMBER, None),
)
OPTIONAL_OF_LAST_TRANSITION: Final = _LAST_TRANSITION.optional
"""The attributes of the last transition that can be missing. A new one removes those that it does
not set. It keeps `removal`: the announced removal may be under way.
"""
_REMOVAL: Final = _Kind(
    _Column(CONNECTION_ID, "connection_id", _TEXT),
    _Column("cause", "cause", _CAUSE),
    _Column("by", "by", _TEXT, None),
    _Column("at", "at", _NUMBER, 0),
)


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
    key = connection.stored_key or _virtual_sort_key(connection.business_id, connection.user_id)
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
    return {
        **real_key(connection.business_id, connection.connection_id),
        CONNECTION_ID: text(connection.connection_id),
        "isVirtualConnection": {"BOOL": False},
        **_REAL_CONNECTION.attributes(connection),
    }


def virtual_item(connection: VirtualConnection) -> Attributes:
    """A virtual connection."""
    return {
        **virtual_key(connection),
        "userId": text(connection.user_id),
        "isVirtualConnection": {"BOOL": True},
        **_VIRTUAL_CONNECTION.attributes(connection),
    }


def settings_attributes(settings: Settings) -> Attributes:
    """What a write of the settings sets: everything except the mark of an episode."""
    pause = {} if settings.pause is None else _PAUSE.attributes(settings.pause)
    return {**_SETTINGS.attributes(settings), **pause}


def episode_attributes(episode: Episode) -> Attributes:
    """What marks an episode in the settings."""
    return _EPISODE.attributes(episode)


def ticket_item(digest: str, ticket: Ticket) -> Attributes:
    """A ticket."""
    return {**ticket_key(digest), **_TICKET.attributes(ticket)}


def census_item(census: Census) -> Attributes:
    """The census of one worker. It has no TTL: the next one replaces it."""
    return {
        PARTITION_KEY: text(CENSUS_KEY),
        SORT_KEY: text(f"{census.worker}/{census.workers}"),
        **_CENSUS.attributes(census),
    }


def last_transition_attributes(transition: Transition, settings_version: int | None) -> Attributes:
    """What a transition sets in the last transition of its business."""
    attributes = _CHANGE.attributes(transition)
    if settings_version is not None:
        attributes[_SETTINGS_VERSION] = number(settings_version)
    return attributes


def removal_attribute(removal: AnnouncedRemoval) -> Attributes:
    """An announced removal, as an attribute of the last transition."""
    return {"M": _REMOVAL.attributes(removal)}


def transition_item(transition: Transition, keep_seconds: int) -> Attributes:
    """A transition in the history, which is kept for so long."""
    return {
        PARTITION_KEY: business_key(transition.business_id),
        SORT_KEY: text(transition_sort_key(transition.at, transition.sequence)),
        **_TRANSITION.attributes(transition),
        TTL: number(transition.at + keep_seconds),
    }


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
    return Ticket(**_TICKET.fields(item))


def read_census(item: Item) -> Census:
    """A census, as far as it can be read."""
    return Census(**_CENSUS.fields(_without_unreadable(item)))


def read_attention_entry(item: Item) -> AttentionEntry:
    """An entry of the attention index. `position` keeps a number that is not an instant."""
    since = _without_unreadable(item).get(ATTENTION_SINCE)
    return AttentionEntry(
        read_business_id(item),
        _read_number(since) if since else 0,
        position=item[ATTENTION_SINCE]["N"],
    )


def read_transition(item: Item) -> Transition:
    """A transition of the history. Raises ValueError if it cannot be read: it is not ours."""
    try:
        return Transition(business_id=read_business_id(item), **_TRANSITION.fields(item))
    except _NOT_READABLE as error:
        raise ValueError(f"not a transition: {item}") from error


def _read_last_transition(item: Item) -> LastTransition:
    return LastTransition(**_LAST_TRANSITION.fields(item), removal=_read_removal(item))


def _read_removal(item: Item) -> AnnouncedRemoval | None:
    """An announced removal, if it can be read: the next transition would keep a damaged one."""
    if "removal" not in item:
        return None
    try:
        return AnnouncedRemoval(**_REMOVAL.fields(item["removal"]["M"]))
    except _NOT_READABLE:
        return None


def _read_settings(item: Item) -> Settings:
    return Settings(
        **_SETTINGS.fields(item),
        pause=Pause(**_PAUSE.fields(item)) if "pausedUntil" in item else None,
        episode=Episode(**_EPISODE.fields(item)) if ATTENTION in item else None,
    )


def _read_real(business_id: BusinessId, key: str, item: Item) -> RealConnection:
    fields = _REAL_CONNECTION.fields(item)
    if not fields["expires_at"]:
        fields["expires_at"] = _latest_end(fields["connected_at"] or fields["last_seen_at"])
    return RealConnection(
        business_id=business_id,
        connection_id=ConnectionId(key.removeprefix(CONNECTION_PREFIX)),
        messages=_messages(item, fields["last_seen_at"]),
        **fields,
    )


def _latest_end(known: Instant) -> Instant:
    """When a connection without a readable TTL is older than a socket can be."""
    return known + MAX_CONNECTION_AGE + CONNECTION_AGE_MARGIN if known else 0


def _read_virtual(business_id: BusinessId, key: str, item: Item) -> VirtualConnection:
    encoded = key.rpartition("#")[2]
    user_id = decode_user_id(encoded)
    is_usual = _PLAIN.fullmatch(encoded) or key == _virtual_sort_key(business_id, user_id)
    return VirtualConnection(
        business_id=business_id,
        user_id=user_id,
        stored_key=None if is_usual else key,
        **_VIRTUAL_CONNECTION.fields(item),
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


def _messages(item: Item, last_seen_at: Instant) -> int:
    """How many messages came in the minute of the last one; 0 if none came yet."""
    counter, start = message_counter(last_seen_at)
    if counter not in item:
        return 0
    counted = int(item[counter]["N"]) - start
    return counted if 0 < counted < _COUNTED_IN_A_MINUTE else 1


# Damaged items.


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], object]]] = {
    column.attribute: column.codec.read
    for kind in (_REAL_CONNECTION, _VIRTUAL_CONNECTION, _SETTINGS, _PAUSE, _EPISODE, _CENSUS)
    for column in kind.columns
} | dict.fromkeys(MESSAGE_COUNTERS, lambda value: int(value["N"]))


def _without_unreadable(item: Item) -> Item:
    """An item without the attributes that cannot be read."""
    return {name: value for name, value in item.items() if _is_readable(name, value)}


def _is_readable(name: str, value: Mapping[str, Any]) -> bool:
    try:
        if name in _READERS:
            _READERS[name](value)
    except _NOT_READABLE:
        return False
    return True
