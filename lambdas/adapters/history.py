"""The history: a DynamoDB table of its own, so that the cleanup's Scan does not read it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from lambdas.adapters import items
from lambdas.adapters.items import number, text
from lambdas.adapters.table import translated_errors
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.instants import END_OF_TIME
from lambdas.domain.model import Clock, Instant
from lambdas.domain.transitions import Position, Transition
from lambdas.table_schema import PARTITION_KEY, SORT_KEY

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_BEFORE_ALL: Final = items.transition_sort_key(0)
_AFTER_ALL: Final = items.transition_sort_key(END_OF_TIME)


class HistoryTable:
    """`lambdas.use_cases.ports.History` on DynamoDB.

    `table` has the businesses and their last transitions, `history` all transitions. Those are
    deleted after `keep_seconds`. DynamoDB does that late and in no order, so older ones are not
    read: the ones between them may be missing.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        *,
        table: str,
        history: str,
        keep_seconds: int,
        clock: Clock,
    ) -> None:
        self._client = client
        self._table = table
        self._history = history
        self._keep_seconds = keep_seconds
        self._clock = clock

    def commit(self, transition: Transition, *, settings_version: int | None) -> None:
        attributes = items.last_transition_attributes(transition, settings_version)
        absent = [name for name in items.OPTIONAL_OF_LAST_TRANSITION if name not in attributes]
        with translated_errors():
            self._client.transact_write_items(
                TransactItems=[
                    {
                        "Put": {
                            "TableName": self._history,
                            "Item": items.transition_item(transition, self._keep_seconds),
                        }
                    },
                    {
                        "Update": {
                            "TableName": self._table,
                            "Key": items.last_transition_key(transition.business_id),
                            "UpdateExpression": (
                                "SET " + ", ".join(f"#{name} = :{name}" for name in attributes)
                                + " REMOVE " + ", ".join(f"#{name}" for name in absent)
                            ),
                            # Also true if there is no sequence, or none that can be read.
                            "ConditionExpression": "NOT #sequence >= :sequence",
                            # Some of the names are reserved words.
                            "ExpressionAttributeNames": {
                                f"#{name}": name for name in (*attributes, *absent)
                            },
                            "ExpressionAttributeValues": {
                                f":{name}": value for name, value in attributes.items()
                            },
                        }
                    },
                ]
            )  # fmt: skip

    def last_until(
        self, business_id: BusinessId, moment: Instant | None = None
    ) -> Transition | None:
        latest = _AFTER_ALL if moment is None else items.transition_sort_key(moment + 1)
        return next(self._query(business_id, _BEFORE_ALL, latest, limit=1, newest_first=True), None)

    def first_after(self, business_id: BusinessId, moment: Instant) -> Transition | None:
        earliest = items.transition_sort_key(moment + 1)
        found = self._query(business_id, earliest, _AFTER_ALL, limit=1, newest_first=False)
        return next(found, None)

    def list_between(
        self,
        business_id: BusinessId,
        start: Instant,
        end: Instant,
        *,
        limit: int,
        before: Position | None = None,
    ) -> Sequence[Transition]:
        earliest, latest = items.transition_sort_key(start), items.transition_sort_key(end + 1)
        if before is not None:
            at, sequence = before
            latest = min(latest, items.transition_sort_key(at, sequence - 1))
        found = self._query(business_id, earliest, latest, limit=limit, newest_first=True)
        return list(islice(found, limit))

    def walk(
        self, start: Instant, end: Instant, business_id: BusinessId | None = None
    ) -> Iterator[Transition]:
        """Yield the transitions between two moments, both included, of one business or of all.

        Those of one business come in order. For all, it reads the whole table.
        """
        if business_id is None:
            yield from self._scan(start, end)
            return
        earliest, latest = items.transition_sort_key(start), items.transition_sort_key(end + 1)
        yield from self._query(business_id, earliest, latest, limit=None, newest_first=False)

    def _scan(self, start: Instant, end: Instant) -> Iterator[Transition]:
        request: dict[str, Any] = {
            "FilterExpression": "#at BETWEEN :start AND :end",
            "ExpressionAttributeNames": {"#at": "at"},
            "ExpressionAttributeValues": {":start": number(start), ":end": number(end)},
        }
        yield from _read_pages(self._client.scan, TableName=self._history, **request)

    def _query(
        self,
        business_id: BusinessId,
        earliest: str,
        latest: str,
        *,
        limit: int | None,
        newest_first: bool,
    ) -> Iterator[Transition]:
        """Yield the transitions between two sort keys."""
        earliest = max(earliest, items.transition_sort_key(self._clock() - self._keep_seconds))
        if latest < earliest:
            return
        request: dict[str, Any] = {
            "TableName": self._history,
            "KeyConditionExpression": (
                f"{PARTITION_KEY} = :pk AND {SORT_KEY} BETWEEN :earliest AND :latest"
            ),
            "ExpressionAttributeValues": {
                ":pk": items.business_key(business_id),
                ":earliest": text(earliest),
                ":latest": text(latest),
            },
            "ConsistentRead": True,
            "ScanIndexForward": not newest_first,
            **({} if limit is None else {"Limit": limit}),
        }
        yield from _read_pages(self._client.query, **request)


def _read_pages(read: Callable[..., Any], **request: Any) -> Iterator[Transition]:
    """Yield the transitions of all pages of an answer, and skip what is not a transition."""
    while True:
        with translated_errors():
            page = read(**request)
        for item in page["Items"]:
            with suppress(ValueError):
                yield items.read_transition(item)
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
