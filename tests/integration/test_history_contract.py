"""What the domain expects of the history. The suite runs on the fake and on real DynamoDB APIs."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from lambdas.adapters.history import HistoryTable
from lambdas.adapters.table import Table
from lambdas.domain.errors import Conflict
from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId
from lambdas.domain.model import (
    AnnouncedRemoval,
    Attention,
    Cause,
    LastTransition,
    OverallStatus,
)
from lambdas.domain.status import ReasonCode
from lambdas.domain.transitions import Transition
from lambdas.table_schema import LAST_TRANSITION_KEY
from lambdas.use_cases.ports import History, Store
from tests.builders import B1, NOW, U1, FakeClock, business, settings, transition
from tests.dynamodb import create_history_table, create_table
from tests.fakes import MemoryHistory, MemoryStore

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

B2 = BusinessId("b2")
DAY = 24 * 60 * 60

FIRST = transition()
"""A transition without anything that it can lack."""

SECOND = transition(
    sequence=2,
    at=NOW + 60,
    before=OverallStatus.ONLINE,
    after=OverallStatus.VIRTUAL_ONLY,
    attention=Attention.VIRTUAL_ONLY,
    cause=Cause.OPERATOR,
    by=UserId("auth0|7~#%"),
    reasons=(ReasonCode.ACCEPTING_ORDERS, ReasonCode.NO_REAL_CONNECTION),
    since=NOW,
    seconds={OverallStatus.ONLINE: 60, OverallStatus.OFFLINE: 0},
)
"""A transition with everything."""


@dataclass
class Tables:
    """A history, and the store of the businesses whose transitions it keeps."""

    store: Store
    history: History
    client: "DynamoDBClient | None" = None
    names: tuple[str, str] = ("", "")

    def keep(self, *transitions: Transition) -> None:
        for each in transitions:
            self.history.commit(each, settings_version=7)


ENGINES = ["memory", "ministack"]
if "DYNAMODB_LOCAL_URL" in os.environ:
    ENGINES.append("dynamodb_local")


@pytest.fixture(params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    if request.param == "memory":
        memory = MemoryStore()
        return Tables(memory, MemoryHistory(memory))
    return _on_dynamodb(request.getfixturevalue(request.param))


def _on_dynamodb(client: "DynamoDBClient") -> Tables:
    table, name = create_table(client), create_history_table(client)
    clock = FakeClock(NOW + 99)
    history = HistoryTable(client, table=table, history=name, keep_seconds=90 * DAY, clock=clock)
    return Tables(Table(client, table), history, client, (table, name))


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND,)])
def test_a_transition_is_read_back_and_is_the_last_one(
    tables: Tables, order: tuple[Transition, ...]
) -> None:
    tables.store.write_settings(business(), settings())
    tables.keep(*order)
    assert tables.history.list_between(B1, NOW, NOW + 60, limit=9) == [*reversed(order)]
    expected = LastTransition(
        sequence=2,
        at=NOW + 60,
        after=OverallStatus.VIRTUAL_ONLY,
        attention=Attention.VIRTUAL_ONLY,
        cause=Cause.OPERATOR,
        by=UserId("auth0|7~#%"),
        seconds={OverallStatus.ONLINE: 60, OverallStatus.OFFLINE: 0},
        settings_version=7,
    )
    assert tables.store.load(B1) == replace(business(declared=settings()), last_transition=expected)
    assert [each.last_transition for each in tables.store.walk(0, 1)] == [expected]


def test_the_last_transition_loses_what_the_next_one_lacks_except_an_announcement(
    tables: Tables,
) -> None:
    tables.keep(FIRST, SECOND)
    announced = AnnouncedRemoval(ConnectionId("c1"), Cause.CLEANUP, None, NOW)
    tables.store.announce_removal(B1, announced)
    third = replace(FIRST, sequence=3, at=NOW + 61)
    tables.history.commit(third, settings_version=None)
    assert tables.store.load(B1).last_transition == LastTransition(
        sequence=3,
        at=NOW + 61,
        after=OverallStatus.ONLINE,
        attention=None,
        cause=Cause.UNKNOWN,
        by=None,
        seconds={},
        settings_version=None,
        removal=announced,
    )


@pytest.mark.parametrize("sequence", [1, 2])
def test_a_sequence_that_was_recorded_is_refused_and_nothing_is_written(
    tables: Tables, sequence: int
) -> None:
    tables.keep(FIRST, SECOND)
    before = tables.store.load(B1)
    late = replace(SECOND, sequence=sequence, at=NOW + 99)
    with pytest.raises(Conflict):
        tables.history.commit(late, settings_version=8)
    assert tables.store.load(B1) == before
    assert tables.history.list_between(B1, 0, NOW + 99, limit=9) == [SECOND, FIRST]


def test_of_racing_transitions_one_is_recorded(tables: Tables) -> None:
    tables.keep(FIRST)
    together = threading.Barrier(8)

    def commit(number: int) -> bool:
        together.wait()
        try:
            tables.history.commit(replace(SECOND, by=UserId(str(number))), settings_version=1)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(commit, range(8))) == 1
    assert len(tables.history.list_between(B1, 0, NOW + 99, limit=9)) == 2


def test_an_announced_removal_is_kept_with_the_last_transition(tables: Tables) -> None:
    announced = AnnouncedRemoval(ConnectionId("O9oRTfeAoAMCK6g="), Cause.OPERATOR, U1, NOW)
    tables.store.announce_removal(B1, announced)
    assert tables.store.load(B1) == business(), "there is no last transition to keep it with"
    tables.keep(FIRST)
    tables.store.announce_removal(B1, replace(announced, by=None))
    tables.store.announce_removal(B1, announced)
    last = tables.store.load(B1).last_transition
    assert last is not None
    assert (last.sequence, last.removal) == (1, announced)


def test_that_a_business_is_unchanged_is_noted_until_the_next_transition(tables: Tables) -> None:
    tables.store.note_unchanged(B1, 1, NOW)
    assert tables.store.load(B1) == business(), "there is no last transition to note it with"
    tables.keep(FIRST)
    tables.store.note_unchanged(B1, 1, NOW + 5)
    for sequence in (0, 2):
        tables.store.note_unchanged(B1, sequence, NOW + 9)
    last = tables.store.load(B1).last_transition
    assert last is not None
    assert (last.unchanged_at, last.judged_at) == (NOW + 5, NOW + 5)
    tables.keep(SECOND)
    last = tables.store.load(B1).last_transition
    assert last is not None
    assert (last.unchanged_at, last.judged_at) == (None, NOW + 60)


def test_the_nearest_transitions_of_a_moment(tables: Tables) -> None:
    history = tables.history
    assert (history.last_until(B1, NOW), history.last_until(B1)) == (None, None)
    assert history.first_after(B1, NOW) is None
    tables.keep(FIRST, SECOND, replace(SECOND, sequence=3))
    tables.keep(replace(FIRST, business_id=B2))
    third = replace(SECOND, sequence=3)
    assert history.last_until(B1, NOW - 1) is None
    assert history.last_until(B1, NOW) == FIRST
    assert history.last_until(B1, NOW + 59) == FIRST
    assert history.last_until(B1, NOW + 60) == third
    assert history.last_until(B1) == third
    assert history.first_after(B1, NOW - 1) == FIRST
    assert history.first_after(B1, NOW) == SECOND
    assert history.first_after(B1, NOW + 60) is None


def test_a_window_is_read_in_pages_newest_first(tables: Tables) -> None:
    # Several in each second, as many as make the sequence longer by a digit.
    kept = [replace(FIRST, sequence=n, at=NOW + n // 5) for n in range(1, 24)]
    tables.keep(*kept)

    def page(**more: Any) -> list[int]:
        return [t.sequence for t in tables.history.list_between(B1, limit=4, **more)]

    inside = [t.sequence for t in reversed(kept) if NOW + 1 <= t.at <= NOW + 3]
    assert inside == [*range(19, 4, -1)]
    assert page(start=NOW + 1, end=NOW + 3) == inside[:4]
    assert page(start=NOW + 1, end=NOW + 3, before=(NOW + 3, 16)) == [15, 14, 13, 12]
    assert page(start=NOW + 1, end=NOW + 3, before=(NOW + 1, 7)) == [6, 5]
    # Positions outside of the window, and one that was never recorded.
    assert page(start=NOW + 1, end=NOW + 3, before=(NOW + 9, 99)) == inside[:4]
    assert page(start=NOW + 1, end=NOW + 3, before=(NOW, 4)) == []
    assert page(start=NOW + 1, end=NOW + 3, before=(NOW + 2, 999)) == [14, 13, 12, 11]
    assert page(start=-5, end=NOW) == [4, 3, 2, 1]


@pytest.fixture(params=ENGINES[1:])
def real_tables(request: pytest.FixtureRequest) -> Tables:
    """Only real DynamoDB APIs, for what can be in an item and not in an object."""
    return _on_dynamodb(request.getfixturevalue(request.param))


DAMAGE: dict[str, dict[str, Any]] = {
    "sequence": {"S": "two"},
    "at": {"BOOL": True},
    "to": {"S": "OPEN"},
    "cause": {"N": "1"},
    "seconds": {"S": "{}"},
}


def _damage(tables: Tables, attribute: str, value: dict[str, Any]) -> None:
    """Overwrite an attribute of the last transition, as somebody might by hand."""
    client, (table, _) = tables.client, tables.names
    assert client is not None
    client.update_item(
        TableName=table,
        Key={"pk": {"S": "BUSINESS#b1"}, "sk": {"S": LAST_TRANSITION_KEY}},
        UpdateExpression="SET #a = :a",
        ExpressionAttributeNames={"#a": attribute},
        ExpressionAttributeValues={":a": value},
    )


@pytest.mark.parametrize("attribute", DAMAGE)
def test_a_damaged_last_transition_is_named_and_replaced(
    real_tables: Tables, attribute: str
) -> None:
    real_tables.keep(FIRST, SECOND)
    _damage(real_tables, attribute, DAMAGE[attribute])
    found = real_tables.store.load(B1)
    assert (found.last_transition, found.unreadable) == (None, (LAST_TRANSITION_KEY,))
    real_tables.keep(replace(SECOND, sequence=3))
    assert real_tables.store.load(B1).unreadable == ()


@pytest.mark.parametrize("damaged", [{"M": {}}, {"S": "c1"}])
def test_a_damaged_announcement_announces_nothing(
    real_tables: Tables, damaged: dict[str, Any]
) -> None:
    real_tables.keep(FIRST)
    _damage(real_tables, "removal", damaged)
    found = real_tables.store.load(B1)
    assert found.last_transition is not None
    assert (found.last_transition.removal, found.unreadable) == (None, ())


def test_codes_that_only_a_newer_build_knows_are_read_as_unknown(real_tables: Tables) -> None:
    """It was rolled back. If its transitions could not be read, their sequences would be taken for
    free, and no further transition could be recorded.
    """
    real_tables.keep(FIRST, SECOND)
    client, names = real_tables.client, real_tables.names
    assert client is not None
    newer: dict[str, Any] = {
        ":cause": {"S": "solar_flare"},
        ":reasons": {"L": [{"S": "x"}, {"S": "paused"}]},
    }
    for table, key in zip(names, (LAST_TRANSITION_KEY, f"{NOW + 60:012}#{2:012}"), strict=True):
        client.update_item(
            TableName=table,
            Key={"pk": {"S": "BUSINESS#b1"}, "sk": {"S": key}},
            UpdateExpression="SET cause = :cause, reasons = :reasons",
            ExpressionAttributeValues=newer,
        )
    found = real_tables.store.load(B1)
    assert found.unreadable == ()
    assert found.last_transition is not None
    assert (found.last_transition.sequence, found.last_transition.cause) == (2, Cause.UNKNOWN)
    expected = replace(SECOND, cause=Cause.UNKNOWN, reasons=(ReasonCode.PAUSED,))
    assert real_tables.history.last_until(B1) == expected


def test_what_is_no_transition_is_skipped(real_tables: Tables) -> None:
    real_tables.keep(FIRST, SECOND)
    client, (_, history) = real_tables.client, real_tables.names
    assert client is not None
    key = {"pk": {"S": "BUSINESS#b1"}, "sk": {"S": f"{NOW + 30:012}#{9:012}"}}
    client.put_item(TableName=history, Item={**key, "at": {"S": "noon"}})
    assert real_tables.history.list_between(B1, NOW, NOW + 99, limit=2) == [SECOND, FIRST]
    assert real_tables.history.last_until(B1, NOW + 59) == FIRST
    assert real_tables.history.first_after(B1, NOW) == SECOND


def test_a_transition_is_deleted_for_its_age(real_tables: Tables) -> None:
    real_tables.keep(FIRST)
    client, (_, history) = real_tables.client, real_tables.names
    assert client is not None
    (item,) = client.scan(TableName=history)["Items"]
    assert item["ttl"] == {"N": str(NOW + 90 * DAY)}


def test_a_transition_that_is_past_its_age_is_not_read_even_if_it_is_still_there(
    real_tables: Tables,
) -> None:
    """DynamoDB deletes them in no order: a newer one may be gone already."""
    old = replace(FIRST, at=NOW - 90 * DAY)
    real_tables.keep(old, replace(SECOND, since=old.at))
    assert real_tables.history.last_until(B1, NOW - 80 * DAY) is None
    assert real_tables.history.first_after(B1, NOW - 99 * DAY) == replace(SECOND, since=old.at)
    assert len(real_tables.history.list_between(B1, NOW - 99 * DAY, NOW + 99, limit=9)) == 1
