"""The DynamoDB table: the only place that knows its keys, its attributes and its errors.

All that belongs to one business is one item collection, so its whole status is one Query. Items
are read and written in DynamoDB's own JSON with the low-level client: the resource API costs twice
the import time and converts every attribute through `Decimal`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from lambdas.adapters.pacing import wait_with_jitter
from lambdas.domain.errors import Conflict, Unavailable
from lambdas.domain.identifiers import (
    BusinessId,
    ConnectionId,
    UserId,
    decode_user_id,
    encode_user_id,
)
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
from lambdas.domain.ports import AttentionEntry
from lambdas.domain.retrying import Backoff
from lambdas.domain.rules import (
    CLAIM_HOLDS,
    CLOCK_SKEW,
    CONNECTION_AGE_MARGIN,
    MAX_CONNECTION_AGE,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef, UpdateTypeDef

Item = Mapping[str, Any]
"""An item in DynamoDB's JSON: attribute name to ``{"S": …}``, ``{"N": …}`` or ``{"BOOL": …}``."""

CONNECTION_INDEX: Final = "ConnectionIndex"
ATTENTION_INDEX: Final = "AttentionIndex"

_BUSINESS: Final = "BUSINESS#"
_TICKET: Final = "TICKET#"
_CENSUS: Final = "CENSUS"
_SETTINGS: Final = "BUSINESS"
_CONNECTION: Final = "CONNECTION#"
_VIRTUAL: Final = "CONNECTION#VIRTUAL#"
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:@-]+")
"""User ids that are their own encoding: almost all."""


_ATTEMPTS: Final = 6
"""How often a single write is tried if transactions hold its item."""

_Answer = TypeVar("_Answer")


def business_key(business_id: BusinessId) -> str:
    """The partition key of all that belongs to one business."""
    return _BUSINESS + business_id


def real_key(connection_id: ConnectionId) -> str:
    """The sort key of a real connection, for example ``CONNECTION#O9oRTfeAoAMCK6g=``."""
    return _CONNECTION + connection_id


def virtual_key(business_id: BusinessId, user_id: UserId) -> str:
    """The sort key of a virtual connection: ``CONNECTION#VIRTUAL#<businessId>#<userId>``."""
    return f"{_VIRTUAL}{business_id}#{encode_user_id(user_id)}"


class Table:
    """`lambdas.domain.ports.Store` on DynamoDB.

    `backoff` waits before it retries a single write that met a transaction on the same item.
    """

    def __init__(
        self, client: "DynamoDBClient", name: str, *, backoff: Backoff = wait_with_jitter
    ) -> None:
        self._client = client
        self._name = name
        self._backoff = backoff

    def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
        pages = self._query(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": _s(business_key(business_id))},
            ConsistentRead=consistent,
        )
        return _business(business_id, pages)

    def find_business(self, connection_id: ConnectionId) -> BusinessId | None:
        items = self._query(
            IndexName=CONNECTION_INDEX,
            KeyConditionExpression="connectionId = :id",
            ExpressionAttributeValues={":id": _s(connection_id)},
        )
        return next((_business_id(item) for item in items), None)

    def add_real(self, connection: RealConnection) -> None:
        self._put(
            {
                **_real_item_key(connection.business_id, connection.connection_id),
                "connectionId": _s(connection.connection_id),
                "userId": _s(connection.user_id),
                "isVirtualConnection": {"BOOL": False},
                "connectedAt": _n(connection.connected_at),
                "lastSeenAt": _n(connection.last_seen_at),
                "ttl": _n(connection.ttl),
            }
        )

    def remove_real(self, business_id: BusinessId, connection_id: ConnectionId) -> bool:
        return self._delete(Key=_real_item_key(business_id, connection_id)) is not None

    def refresh_real(
        self, business_id: BusinessId, connection_id: ConnectionId, now: Instant
    ) -> RealConnection | None:
        counter, start = _counter(now)
        others = ", ".join(name for name in _COUNTERS if name != counter)
        request: dict[str, Any] = {
            "Key": _real_item_key(business_id, connection_id),
            # A claim that is not a current time was written by hand, and does not hold.
            "ConditionExpression": (
                "attribute_exists(pk) AND NOT closingAt BETWEEN :claimed AND :latest"
            ),
            "return_values": "ALL_NEW",
        }
        values = {
            ":now": _n(now),
            ":claimed": _n(now - CLAIM_HOLDS + 1),
            ":latest": _n(now + CLOCK_SKEW),
        }
        try:
            item = self._update(
                **request,
                UpdateExpression=(
                    f"SET lastSeenAt = :now, {counter} = if_not_exists({counter}, :start) + :one"
                    f" REMOVE closingAt, {others}"
                ),
                ExpressionAttributeValues={**values, ":start": _n(start), ":one": _n(1)},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            # The counter was overwritten by hand with something that is not a number.
            item = self._update(
                **request,
                UpdateExpression=(
                    f"SET lastSeenAt = :now, {counter} = :first REMOVE closingAt, {others}"
                ),
                ExpressionAttributeValues={**values, ":first": _n(start + 1)},
            )
        if item is None:
            return None
        try:
            return _real(business_id, item)
        except (KeyError, TypeError, ValueError):
            return _real(business_id, _readable(item))

    def claim_real(self, connection: RealConnection, now: Instant) -> bool:
        unheard, values = _still("lastSeenAt", connection.last_seen_at)
        item = self._update(
            Key=_real_item_key(connection.business_id, connection.connection_id),
            UpdateExpression="SET closingAt = :now",
            ConditionExpression=f"attribute_exists(pk) AND {unheard}",
            ExpressionAttributeValues={":now": _n(now), **values},
        )
        return item is not None

    def write_settings(
        self,
        before: Business,
        settings: Settings,
        *,
        put: Sequence[VirtualConnection] = (),
        remove: Sequence[VirtualConnection] = (),
    ) -> None:
        guard, values = _version_guard(before.settings)
        attributes = _settings_attributes(settings)
        optional = ("pausedUntil", "pauseReason", *(_MARK if settings.ends_attention else ()))
        absent = [name for name in optional if name not in attributes]
        update: UpdateTypeDef = {
            "TableName": self._name,
            "Key": _settings_item_key(before.business_id),
            "UpdateExpression": (
                "SET " + ", ".join(f"{name} = :{name}" for name in attributes)
                + (" REMOVE " + ", ".join(absent) if absent else "")
            ),
            "ConditionExpression": guard,
            "ExpressionAttributeValues": {
                **values,
                **{f":{name}": value for name, value in attributes.items()},
            },
        }  # fmt: skip
        if not put and not remove:
            self._single_write(lambda: self._client.update_item(**update))
            return
        writes: list[TransactWriteItemTypeDef] = [{"Update": update}]
        for connection in put:
            writes.append({"Put": {"TableName": self._name, "Item": _virtual_item(connection)}})
        for connection in remove:
            key = _virtual_item_key(connection)
            writes.append({"Delete": {"TableName": self._name, "Key": key}})
        with _translated_errors():
            self._client.transact_write_items(TransactItems=writes)

    def remove_expired_virtual(self, connection: VirtualConnection, now: Instant) -> bool:
        removed = self._delete(
            Key=_virtual_item_key(connection),
            # A lease without a readable end was written by hand, and counts as over.
            ConditionExpression="attribute_exists(pk) AND NOT #ttl BETWEEN :ahead AND :end",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":ahead": _n(now + 1), ":end": _n(_END_OF_TIME - 1)},
        )
        return removed is not None

    def write_attention(
        self, before: Business, attention: Attention | None, *, since: Instant, counted: bool
    ) -> bool:
        if before.settings is None:
            return False
        guard, values = _version_guard(before.settings)
        guard += " AND attribute_exists(pk)"
        # A late run must not touch the mark of another episode.
        if before.settings.attention is None:
            guard += " AND NOT attention IN (:virtualOnly, :unreachable)"
            values[":virtualOnly"] = _s(Attention.VIRTUAL_ONLY)
            values[":unreachable"] = _s(Attention.UNREACHABLE)
        else:
            same, since_values = _still("attentionSince", before.settings.attention_since or 0)
            guard += f" AND attention = :old AND {same}"
            values |= {":old": _s(before.settings.attention), **since_values}
        if attention is None:
            change = "REMOVE " + ", ".join(_MARK)
        else:
            change = (
                "SET attention = :attention, attentionSince = :since, attentionCounted = :counted"
            )
            values[":attention"] = _s(attention)
            values[":since"] = _n(since)
            values[":counted"] = {"BOOL": counted}
        item = self._update(
            Key=_settings_item_key(before.business_id),
            UpdateExpression=change,
            ConditionExpression=guard,
            ExpressionAttributeValues=values,
        )
        return item is not None

    def list_attention(
        self, attention: Attention, *, limit: int, after: AttentionEntry | None = None
    ) -> Sequence[AttentionEntry]:
        request: dict[str, Any] = {
            "IndexName": ATTENTION_INDEX,
            "KeyConditionExpression": "attention = :attention",
            "ExpressionAttributeValues": {":attention": _s(attention)},
            "Limit": limit,
        }
        if after is not None:
            request["ExclusiveStartKey"] = {
                **_settings_item_key(after.business_id),
                "attention": _s(attention),
                "attentionSince": {"N": after.position or str(after.since)},
            }
        return [
            AttentionEntry(
                _business_id(item),
                _number(_readable(item), "attentionSince") or 0,
                position=item["attentionSince"]["N"],
            )
            for item in islice(self._query(**request), limit)
        ]

    def last_censuses(self) -> Sequence[Census]:
        items = self._query(
            KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": _s(_CENSUS)}
        )
        return [
            Census(
                worker=_number(item, "worker") or 0,
                workers=_number(item, "workers") or 0,
                real=_number(item, "realConnections") or 0,
                taken_at=_number(item, "takenAt") or 0,
            )
            for item in map(_readable, items)
        ]

    def record_census(self, census: Census) -> None:
        self._put(
            {
                "pk": _s(_CENSUS),
                "sk": _s(f"{census.worker}/{census.workers}"),
                "worker": _n(census.worker),
                "workers": _n(census.workers),
                "realConnections": _n(census.real),
                "takenAt": _n(census.taken_at),
            }
        )

    def add_ticket(self, digest: str, ticket: Ticket) -> None:
        self._put(
            {
                **_ticket_item_key(digest),
                "businessId": _s(ticket.business_id),
                "userId": _s(ticket.user_id),
                "ttl": _n(ticket.ttl),
            }
        )

    def take_ticket(self, digest: str, now: Instant) -> Ticket | None:
        item = self._delete(
            Key=_ticket_item_key(digest),
            ConditionExpression="#ttl > :now",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":now": _n(now)},
        )
        if item is None:
            return None
        return Ticket(
            business_id=BusinessId(item["businessId"]["S"]),
            user_id=UserId(item["userId"]["S"]),
            ttl=int(item["ttl"]["N"]),
        )

    def scan(
        self, segment: int, segments: int, meter: Callable[[float], None]
    ) -> Iterator[Business]:
        # A Scan returns the items of one partition key together, across pages, within one segment.
        items_of_segment = self._scan(segment, segments, meter)
        for pk, items in groupby(items_of_segment, key=lambda item: item["pk"]["S"]):
            if pk.startswith(_BUSINESS):
                yield _business(BusinessId(pk.removeprefix(_BUSINESS)), items)

    def _query(self, **request: Any) -> Iterator[Item]:
        while True:
            with _translated_errors():
                page = self._client.query(TableName=self._name, **request)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _scan(self, segment: int, segments: int, meter: Callable[[float], None]) -> Iterator[Item]:
        request: dict[str, Any] = {
            "Segment": segment,
            "TotalSegments": segments,
            "ReturnConsumedCapacity": "TOTAL",
        }
        while True:
            with _translated_errors():
                page = self._client.scan(TableName=self._name, **request)
            meter(page["ConsumedCapacity"]["CapacityUnits"])
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _update(self, *, return_values: Any = "UPDATED_NEW", **request: Any) -> Item | None:
        """Update one item; the new attributes, or None if the condition did not hold."""
        try:
            answer = self._single_write(
                lambda: self._client.update_item(
                    TableName=self._name, ReturnValues=return_values, **request
                )
            )
        except Conflict:
            return None
        return answer.get("Attributes", {})

    def _delete(self, **request: Any) -> Item | None:
        """Delete one item; returns it, or None if it was not there or the condition failed."""
        try:
            answer = self._single_write(
                lambda: self._client.delete_item(
                    TableName=self._name, ReturnValues="ALL_OLD", **request
                )
            )
        except Conflict:
            return None
        return answer.get("Attributes")

    def _put(self, item: Item) -> None:
        self._single_write(lambda: self._client.put_item(TableName=self._name, Item=item))

    def _single_write(self, write: Callable[[], _Answer]) -> _Answer:
        """Write one item; retry while a transaction holds it, which the SDK does not do.

        Raises `Conflict` if its condition does not hold, and `Unavailable` like all other methods.
        """
        for attempt in range(1, _ATTEMPTS):
            try:
                with _translated_errors():
                    return write()
            except _HeldByTransaction:
                self._backoff(attempt)
        with _translated_errors():
            return write()


class _HeldByTransaction(Unavailable):
    """A transaction holds the item. It says nothing about the condition of the write."""


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn what the SDK raises into `Conflict` or `Unavailable`; our own mistakes pass through."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "TransactionCanceledException":
            # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
            reasons = {r.get("Code") for r in error.response.get("CancellationReasons", ())}
            if reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
                raise Conflict("the business was changed at the same time") from error
            if "ValidationError" not in reasons:
                raise Unavailable("the table did not take the transaction") from error
            raise
        if code == "TransactionConflictException":
            raise _HeldByTransaction("the item is being changed by a transaction") from error
        if code in {"ConditionalCheckFailedException", "TransactionInProgressException"}:
            raise Conflict("the item was changed at the same time") from error
        if code in _TRANSIENT or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise Unavailable("the table did not answer") from error
        raise
    except ParamValidationError:
        raise
    except BotoCoreError as error:
        raise Unavailable("the table could not be reached") from error


_TRANSIENT: Final = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
}


def _version_guard(settings: Settings | None) -> tuple[str, dict[str, Any]]:
    if settings is None:
        return "attribute_not_exists(version)", {}
    return _still("version", settings.version)


def _still(name: str, read: int) -> tuple[str, dict[str, Any]]:
    """A condition that a number is still what was read; 0 stands for one that was not readable.

    The decimals of a number that was written by hand are ignored, as they are when it is read.
    """
    if read == 0:
        low, high = "1", str(_END_OF_TIME - 1)
    else:
        low, high = str(read), f"{read}.999999"
    condition = f"{name} BETWEEN :{name}Low AND :{name}High"
    return (
        f"NOT {condition}" if read == 0 else condition,
        {f":{name}Low": {"N": low}, f":{name}High": {"N": high}},
    )


def _s(text: str) -> dict[str, str]:
    return {"S": text}


def _n(number: int) -> dict[str, str]:
    return {"N": str(number)}


def _settings_item_key(business_id: BusinessId) -> dict[str, Any]:
    return {"pk": _s(business_key(business_id)), "sk": _s(_SETTINGS)}


def _real_item_key(business_id: BusinessId, connection_id: ConnectionId) -> dict[str, Any]:
    return {"pk": _s(business_key(business_id)), "sk": _s(real_key(connection_id))}


def _ticket_item_key(digest: str) -> dict[str, Any]:
    return {"pk": _s(_TICKET + digest), "sk": _s("TICKET")}


def _virtual_item_key(connection: VirtualConnection) -> dict[str, Any]:
    key = connection.odd_key or virtual_key(connection.business_id, connection.user_id)
    return {"pk": _s(business_key(connection.business_id)), "sk": _s(key)}


_MARK: Final = ("attention", "attentionSince", "attentionCounted")
"""The attributes that mark an episode."""


def _settings_attributes(settings: Settings) -> dict[str, Any]:
    """What a settings write sets. The marks of an episode are not in it: see `write_settings`."""
    attributes: dict[str, Any] = {
        "acceptingOrders": {"BOOL": settings.accepting_orders},
        "expectsSocket": {"BOOL": settings.expects_socket},
        "version": _n(settings.version),
        "updatedAt": _n(settings.updated_at),
        "updatedBy": _s(settings.updated_by),
    }
    if settings.paused_until is not None:
        attributes["pausedUntil"] = _n(settings.paused_until)
    if settings.pause_reason is not None:
        attributes["pauseReason"] = _s(settings.pause_reason)
    return attributes


def _virtual_item(connection: VirtualConnection) -> dict[str, Any]:
    return {
        **_virtual_item_key(connection),
        "userId": _s(connection.user_id),
        "isVirtualConnection": {"BOOL": True},
        "createdAt": _n(connection.created_at),
        "renewedAt": _n(connection.renewed_at),
        "ttl": _n(connection.ttl),
    }


def _business_id(item: Item) -> BusinessId:
    key: str = item["pk"]["S"]
    return BusinessId(key.removeprefix(_BUSINESS))


def _business(business_id: BusinessId, items: Iterator[Item]) -> Business:
    settings: Settings | None = None
    real: list[RealConnection] = []
    virtual: list[VirtualConnection] = []
    unreadable: list[str] = []
    mine = f"{_VIRTUAL}{business_id}#"

    def take(key: str, item: Item) -> bool:
        nonlocal settings
        if key.startswith(mine):
            virtual.append(_virtual(business_id, item))
        elif key.startswith(_CONNECTION) and not key.startswith(_VIRTUAL):
            real.append(_real(business_id, item))
        elif key == _SETTINGS:
            settings = _settings(item)
        else:
            return False
        return True

    for item in items:
        key: str = item["sk"]["S"]
        try:
            known = take(key, item)
        except (KeyError, TypeError, ValueError):
            known = False
            take(key, _readable(item))
        if not known:
            unreadable.append(key)
    return Business(business_id, settings, tuple(real), tuple(virtual), tuple(unreadable))


# Attributes that a hand-written item lacks, or that have a wrong type, are read as "never": one bad
# item must not stop the cleanup of a whole table, and the cleanup removes a connection that was
# never heard from.


def _settings(item: Item) -> Settings:
    attention = _text(item, "attention")
    return Settings(
        accepting_orders=_flag(item, "acceptingOrders", default=False),
        version=_number(item, "version") or 0,
        updated_at=_number(item, "updatedAt") or 0,
        updated_by=UserId(_text(item, "updatedBy") or ""),
        paused_until=_number(item, "pausedUntil"),
        pause_reason=_text(item, "pauseReason"),
        expects_socket=_flag(item, "expectsSocket", default=True),
        attention=Attention(attention) if attention else None,
        attention_since=_number(item, "attentionSince"),
        attention_counted=_flag(item, "attentionCounted", default=False),
    )


def _real(business_id: BusinessId, item: Item) -> RealConnection:
    key: str = item["sk"]["S"]
    return RealConnection(
        business_id=business_id,
        connection_id=ConnectionId(key.removeprefix(_CONNECTION)),
        user_id=UserId(_text(item, "userId") or ""),
        connected_at=_number(item, "connectedAt") or 0,
        last_seen_at=_number(item, "lastSeenAt") or 0,
        ttl=_number(item, "ttl") or _last_resort(item),
        closing_at=_number(item, "closingAt"),
        messages=_messages(item),
    )


# The messages of a connection are counted by the minute, in the write that each of them makes. An
# update expression cannot reset a counter on a condition, so each of ten minutes has a counter of
# its own, and a write removes the counters of the nine others.
#
# A client can stay silent until the turn of its old counter comes again: while we push to it, API
# Gateway does not close its socket as idle. So a counter starts at a number that grows with the
# minute. A leftover counter is below that, and counts as one message.
_COUNTERS: Final = tuple(f"sent{minute}" for minute in range(10))
_COUNTED_IN_A_MINUTE: Final = 1_000_000
"""More than anybody can send in a minute."""


def _counter(now: Instant) -> tuple[str, int]:
    """The counter of the minute of `now`, and the number at which it starts."""
    minute = now // 60
    return _COUNTERS[minute % len(_COUNTERS)], minute * _COUNTED_IN_A_MINUTE


def _messages(item: Item) -> int:
    """How many messages came in the minute of the last one; 0 if none came yet."""
    counter, start = _counter(_number(item, "lastSeenAt") or 0)
    if counter not in item:
        return 0
    counted = int(item[counter]["N"]) - start
    return counted if 0 < counted < _COUNTED_IN_A_MINUTE else 1


def _virtual(business_id: BusinessId, item: Item) -> VirtualConnection:
    key: str = item["sk"]["S"]
    encoded = key.rpartition("#")[2]
    user_id = decode_user_id(encoded)
    is_ours = _PLAIN.fullmatch(encoded) or key == virtual_key(business_id, user_id)
    return VirtualConnection(
        business_id=business_id,
        user_id=user_id,
        odd_key=None if is_ours else key,
        created_at=_number(item, "createdAt") or 0,
        renewed_at=_number(item, "renewedAt") or 0,
        ttl=_number(item, "ttl") or 0,
    )


def _last_resort(item: Item) -> Instant:
    """When a connection without a `ttl` is older than a socket can be."""
    known = _number(item, "connectedAt") or _number(item, "lastSeenAt")
    return known + MAX_CONNECTION_AGE + CONNECTION_AGE_MARGIN if known else 0


def _text(item: Item, name: str) -> str | None:
    return item[name]["S"] if name in item else None


def _number(item: Item, name: str) -> int | None:
    if name not in item:
        return None
    text = item[name]["N"]
    number = int(text) if text.isdecimal() else int(float(text))
    if not 0 <= number < _END_OF_TIME:
        raise ValueError(name)
    return number


def _flag(item: Item, name: str, *, default: bool) -> bool:
    return item[name]["BOOL"] if name in item else default


_END_OF_TIME: Final = 253_402_300_800
"""The year 10000: later instants cannot be written as a date."""

_READERS: Final[Mapping[str, Callable[[Item, str], object]]] = {
    **dict.fromkeys(("updatedBy", "pauseReason", "userId"), _text),
    **dict.fromkeys(
        ("acceptingOrders", "expectsSocket", "attentionCounted"),
        lambda item, name: _flag(item, name, default=False),
    ),
    **dict.fromkeys(
        (
            *("version", "updatedAt", "pausedUntil", "attentionSince", "connectedAt", "lastSeenAt"),
            *("closingAt", "createdAt", "renewedAt", "ttl", "worker", "workers"),
            *("realConnections", "takenAt"),
        ),
        _number,
    ),
    **dict.fromkeys(_COUNTERS, lambda item, name: int(item[name]["N"])),
    "attention": lambda item, name: Attention(item[name]["S"]),
}
"""How each attribute is read."""


def _readable(item: Item) -> Item:
    """An item without the attributes that cannot be read."""
    return {name: value for name, value in item.items() if _is_readable(item, name)}


def _is_readable(item: Item, name: str) -> bool:
    try:
        if name in _READERS:
            _READERS[name](item, name)
    except (KeyError, TypeError, ValueError):
        return False
    return True
