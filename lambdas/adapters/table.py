"""The DynamoDB table: the only place that makes its requests and knows its errors.

Everything about one business is one item collection, so its whole status is one Query.
`lambdas.adapters.items` knows what is in the items.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from lambdas.adapters import items
from lambdas.adapters.items import Attributes, Item, number, text
from lambdas.adapters.pacing import wait_with_jitter
from lambdas.domain.errors import Conflict, Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.instants import END_OF_TIME
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
from lambdas.domain.rules import CLAIM_HOLDS, CLOCK_SKEW
from lambdas.table_schema import (
    ATTENTION,
    ATTENTION_INDEX,
    ATTENTION_SINCE,
    BUSINESS_PREFIX,
    CENSUS_KEY,
    CONNECTION_ID,
    CONNECTION_INDEX,
    PARTITION_KEY,
    TTL,
)
from lambdas.use_cases.ports import AttentionEntry
from lambdas.use_cases.retrying import Backoff

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef, UpdateTypeDef

_ATTEMPTS: Final = 6
"""How often a single write is tried while transactions hold its item."""

_MAX_TRANSACTION: Final = 100
"""Items of one transaction.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

_EXISTS: Final = f"attribute_exists({PARTITION_KEY})"

_Answer = TypeVar("_Answer")


class Table:
    """`lambdas.use_cases.ports.Store` on DynamoDB.

    `backoff` waits before a single write is tried again after it met a transaction.
    """

    def __init__(
        self, client: "DynamoDBClient", name: str, *, backoff: Backoff = wait_with_jitter
    ) -> None:
        self._client = client
        self._name = name
        self._backoff = backoff
        self._read_units = 0.0
        self._lock = threading.Lock()

    def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
        found = self._query(
            KeyConditionExpression=f"{PARTITION_KEY} = :pk",
            ExpressionAttributeValues={":pk": items.business_key(business_id)},
            ConsistentRead=consistent,
        )
        return items.read_business(business_id, found)

    def find_business(self, connection_id: ConnectionId) -> BusinessId | None:
        found = self._query(
            IndexName=CONNECTION_INDEX,
            KeyConditionExpression=f"{CONNECTION_ID} = :id",
            ExpressionAttributeValues={":id": text(connection_id)},
        )
        return next((items.read_business_id(item) for item in found), None)

    def add_real(self, connection: RealConnection) -> None:
        self._put(items.real_item(connection))

    def remove_real(
        self, business_id: BusinessId, connection_id: ConnectionId
    ) -> RealConnection | None:
        item = self._delete(Key=items.real_key(business_id, connection_id))
        return None if item is None else items.read_real(business_id, item)

    def refresh_real(
        self,
        business_id: BusinessId,
        connection_id: ConnectionId,
        now: Instant,
        *,
        ping_interval: int | None = None,
    ) -> RealConnection | None:
        counter, start = items.message_counter(now)
        others = ", ".join(name for name in items.MESSAGE_COUNTERS if name != counter)
        request: dict[str, Any] = {
            "Key": items.real_key(business_id, connection_id),
            # A claim that is not a current time was written by hand, and does not hold.
            "ConditionExpression": f"{_EXISTS} AND NOT closingAt BETWEEN :claimed AND :latest",
            "return_values": "ALL_NEW",
        }
        values = {
            ":now": number(now),
            ":claimed": number(now - CLAIM_HOLDS + 1),
            ":latest": number(now + CLOCK_SKEW),
        }
        change = "SET lastSeenAt = :now"
        if ping_interval is not None:
            change += ", pingInterval = :pingInterval"
            values[":pingInterval"] = number(ping_interval)
        try:
            item = self._update(
                **request,
                UpdateExpression=(
                    f"{change}, {counter} = if_not_exists({counter}, :start) + :one"
                    f" REMOVE closingAt, {others}"
                ),
                ExpressionAttributeValues={**values, ":start": number(start), ":one": number(1)},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            # Somebody overwrote the counter with something that is not a number.
            item = self._update(
                **request,
                UpdateExpression=f"{change}, {counter} = :first REMOVE closingAt, {others}",
                ExpressionAttributeValues={**values, ":first": number(start + 1)},
            )
        return None if item is None else items.read_real(business_id, item)

    def claim_real(self, connection: RealConnection, now: Instant) -> bool:
        not_heard_from, values = _unchanged("lastSeenAt", connection.last_seen_at)
        item = self._update(
            Key=items.real_key(connection.business_id, connection.connection_id),
            UpdateExpression="SET closingAt = :now",
            ConditionExpression=f"{_EXISTS} AND {not_heard_from}",
            ExpressionAttributeValues={":now": number(now), **values},
        )
        return item is not None

    def write_settings(
        self,
        before: Business,
        settings: Settings,
        *,
        put: Sequence[VirtualConnection] = (),
        remove: Sequence[VirtualConnection] = (),
        clear_episode: bool = False,
    ) -> None:
        same_version, values = _same_version(before.settings)
        attributes = items.settings_attributes(settings)
        mark = items.EPISODE_ATTRIBUTES if clear_episode else ()
        optional = (*items.OPTIONAL_SETTINGS, *mark)
        absent = [name for name in optional if name not in attributes]
        update: UpdateTypeDef = {
            "TableName": self._name,
            "Key": items.settings_key(before.business_id),
            "UpdateExpression": (
                "SET " + ", ".join(f"{name} = :{name}" for name in attributes)
                + (" REMOVE " + ", ".join(absent) if absent else "")
            ),
            "ConditionExpression": same_version,
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
            item = items.virtual_item(connection)
            writes.append({"Put": {"TableName": self._name, "Item": item}})
        # What ends last is removed last. Until then, the status of the business stays the same.
        removed = sorted(remove, key=lambda connection: connection.expires_at)
        surplus = max(0, len(writes) + len(removed) - _MAX_TRANSACTION)
        for start in range(0, surplus, _MAX_TRANSACTION):
            chunk = removed[start : min(start + _MAX_TRANSACTION, surplus)]
            self._transact([self._removal_if_unchanged(connection) for connection in chunk])
        for connection in removed[surplus:]:
            key = items.virtual_key(connection)
            writes.append({"Delete": {"TableName": self._name, "Key": key}})
        self._transact(writes)

    def _removal_if_unchanged(self, connection: VirtualConnection) -> "TransactWriteItemTypeDef":
        """Remove a virtual connection, unless its user renewed it since it was read."""
        not_renewed, values = _unchanged("renewedAt", connection.renewed_at)
        return {
            "Delete": {
                "TableName": self._name,
                "Key": items.virtual_key(connection),
                "ConditionExpression": f"attribute_not_exists({PARTITION_KEY}) OR {not_renewed}",
                "ExpressionAttributeValues": values,
            }
        }

    def _transact(self, writes: "list[TransactWriteItemTypeDef]") -> None:
        with translated_errors():
            self._client.transact_write_items(TransactItems=writes)

    def announce_removal(self, business_id: BusinessId, removal: AnnouncedRemoval) -> None:
        self._update(
            Key=items.last_transition_key(business_id),
            UpdateExpression="SET removal = :removal",
            ConditionExpression=_EXISTS,
            ExpressionAttributeValues={":removal": items.removal_attribute(removal)},
        )

    def note_unchanged(self, business_id: BusinessId, sequence: int, now: Instant) -> None:
        self._update(
            Key=items.last_transition_key(business_id),
            UpdateExpression=f"SET {items.UNCHANGED_AT} = :now",
            ConditionExpression="#sequence = :sequence",
            ExpressionAttributeNames={"#sequence": "sequence"},
            ExpressionAttributeValues={":now": number(now), ":sequence": number(sequence)},
        )

    def remove_expired_virtual(self, connection: VirtualConnection, now: Instant) -> bool:
        removed = self._delete(
            Key=items.virtual_key(connection),
            # A lease without a readable end was written by hand, and counts as over.
            ConditionExpression=f"{_EXISTS} AND NOT #ttl BETWEEN :ahead AND :end",
            ExpressionAttributeNames={"#ttl": TTL},
            ExpressionAttributeValues={
                ":ahead": number(now + 1),
                ":end": number(END_OF_TIME - 1),
            },
        )
        return removed is not None

    def mark_episode(self, before: Business, episode: Episode | None) -> bool:
        if before.settings is None:
            return False
        same_version, values = _same_version(before.settings)
        same_episode, episode_values = _same_episode(before.settings.episode)
        values |= episode_values
        if episode is None:
            change = "REMOVE " + ", ".join(items.EPISODE_ATTRIBUTES)
        else:
            mark = items.episode_attributes(episode)
            change = "SET " + ", ".join(f"{name} = :{name}" for name in mark)
            values |= {f":{name}": value for name, value in mark.items()}
        item = self._update(
            Key=items.settings_key(before.business_id),
            UpdateExpression=change,
            ConditionExpression=f"{same_version} AND {_EXISTS} AND {same_episode}",
            ExpressionAttributeValues=values,
        )
        return item is not None

    def list_attention(
        self, attention: Attention, *, limit: int, after: AttentionEntry | None = None
    ) -> Sequence[AttentionEntry]:
        request: dict[str, Any] = {
            "IndexName": ATTENTION_INDEX,
            "KeyConditionExpression": f"{ATTENTION} = :attention",
            "ExpressionAttributeValues": {":attention": text(attention)},
            "Limit": limit,
        }
        if after is not None:
            request["ExclusiveStartKey"] = {
                **items.settings_key(after.business_id),
                ATTENTION: text(attention),
                ATTENTION_SINCE: {"N": after.position or str(after.since)},
            }
        return [items.read_attention_entry(item) for item in islice(self._query(**request), limit)]

    def last_censuses(self) -> Sequence[Census]:
        found = self._query(
            KeyConditionExpression=f"{PARTITION_KEY} = :pk",
            ExpressionAttributeValues={":pk": text(CENSUS_KEY)},
        )
        return [items.read_census(item) for item in found]

    def record_census(self, census: Census) -> None:
        self._put(items.census_item(census))

    def add_ticket(self, digest: str, ticket: Ticket) -> None:
        self._put(items.ticket_item(digest, ticket))

    def take_ticket(self, digest: str, now: Instant) -> Ticket | None:
        item = self._delete(
            Key=items.ticket_key(digest),
            ConditionExpression="#ttl > :now",
            ExpressionAttributeNames={"#ttl": TTL},
            ExpressionAttributeValues={":now": number(now)},
        )
        return None if item is None else items.read_ticket(item)

    def walk(self, part: int, parts: int) -> Iterator[Business]:
        # Within a segment, a Scan returns the items of one partition key one after the other, also
        # across pages.
        for key, found in groupby(
            self._scan(part, parts), key=lambda item: item[PARTITION_KEY]["S"]
        ):
            if key.startswith(BUSINESS_PREFIX):
                yield items.read_business(BusinessId(key.removeprefix(BUSINESS_PREFIX)), found)

    def pop_read_units(self) -> float:
        """The read request units that `walk` has consumed since the last call of this method."""
        with self._lock:
            units, self._read_units = self._read_units, 0.0
        return units

    def _query(self, **request: Any) -> Iterator[Item]:
        while True:
            with translated_errors():
                page = self._client.query(TableName=self._name, **request)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _scan(self, segment: int, segments: int) -> Iterator[Item]:
        request: dict[str, Any] = {
            "Segment": segment,
            "TotalSegments": segments,
            "ReturnConsumedCapacity": "TOTAL",
        }
        while True:
            with translated_errors():
                page = self._client.scan(TableName=self._name, **request)
            with self._lock:  # several threads scan at the same time
                self._read_units += page["ConsumedCapacity"]["CapacityUnits"]
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _update(self, *, return_values: Any = "UPDATED_NEW", **request: Any) -> Item | None:
        """Update one item and return its new attributes; None if the condition did not hold."""
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
        """Delete one item and return it; None if it was not there or the condition did not hold."""
        try:
            answer = self._single_write(
                lambda: self._client.delete_item(
                    TableName=self._name, ReturnValues="ALL_OLD", **request
                )
            )
        except Conflict:
            return None
        return answer.get("Attributes")

    def _put(self, item: Attributes) -> None:
        self._single_write(lambda: self._client.put_item(TableName=self._name, Item=item))

    def _single_write(self, write: Callable[[], _Answer]) -> _Answer:
        """Write one item. Try again while a transaction holds it, which the SDK does not do.

        Raises `Conflict` if the condition of the write does not hold, and `Unavailable`.
        """
        for attempt in range(1, _ATTEMPTS):
            try:
                with translated_errors():
                    return write()
            except _HeldByTransaction:
                self._backoff(attempt)
        with translated_errors():
            return write()


# Conditions, each with the values that it needs.

_Condition = tuple[str, dict[str, Any]]


def _same_version(settings: Settings | None) -> _Condition:
    if settings is None:
        return "attribute_not_exists(version)", {}
    return _unchanged("version", settings.version)


def _same_episode(episode: Episode | None) -> _Condition:
    """The mark is still the one that was read: a late run must not touch another episode's."""
    if episode is None:
        condition = f"NOT {ATTENTION} IN (:virtualOnly, :unreachable)"
        return condition, {
            ":virtualOnly": text(Attention.VIRTUAL_ONLY),
            ":unreachable": text(Attention.UNREACHABLE),
        }
    same_since, values = _unchanged(ATTENTION_SINCE, episode.since or 0)
    condition = f"{ATTENTION} = :old AND {same_since}"
    return condition, {":old": text(episode.attention), **values}


def _unchanged(name: str, read: int) -> _Condition:
    """A number is still what was read. 0 stands for one that could not be read.

    The decimals of a number that was written by hand are ignored, as they are when it is read.
    """
    if read == 0:
        low, high = "1", str(END_OF_TIME - 1)
    else:
        low, high = str(read), f"{read}.999999"
    condition = f"{name} BETWEEN :{name}Low AND :{name}High"
    return (
        f"NOT {condition}" if read == 0 else condition,
        {f":{name}Low": {"N": low}, f":{name}High": {"N": high}},
    )


# Errors.


class _HeldByTransaction(Unavailable):
    """A transaction holds the item. This does not tell whether the write's condition holds."""


_TRANSIENT: Final = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
}


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what the SDK raises into `Conflict` or `Unavailable`, but let our own mistakes pass."""
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
                raise Unavailable("the table did not accept the transaction") from error
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
