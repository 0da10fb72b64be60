"""A sample of the schedules, played again on real tables: they end as they do in memory.

Runs where `DYNAMODB_LOCAL_URL` names a running DynamoDB Local, as in `make soak`.
"""

import os
from collections.abc import Iterator
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Final

import pytest

from lambdas.adapters.history import HistoryTable
from lambdas.adapters.table import Table
from tests.builders import B1, FakeClock, business
from tests.dynamodb import create_history_table, create_table, dynamodb_local_client
from tests.interleavings.explorer import explore
from tests.interleavings.operations import OPERATIONS, together
from tests.interleavings.play import Play
from tests.interleavings.states import STATES
from tests.interleavings.world import World

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.skipif(
    "DYNAMODB_LOCAL_URL" not in os.environ, reason="needs DynamoDB Local: make soak"
)

IN_MEMORY_ONLY: Final = {"expiry by TTL"}
"""DynamoDB Local removes what has expired when it likes."""

PAIRS: Final = tuple(
    combinations_with_replacement([name for name in OPERATIONS if name not in IN_MEMORY_ONLY], 2)
)
ONE_IN: Final = 11
"""Of how many pairs one is played again, and of how many of its ends."""


@pytest.fixture(scope="module")
def client() -> "DynamoDBClient":
    return dynamodb_local_client()


@pytest.fixture
def tables(client: "DynamoDBClient") -> Iterator["Tables"]:
    tables = Tables(client)
    yield tables
    tables.delete()


class Tables:
    """The two tables, and worlds that are kept in them."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self._client = client
        self._table = create_table(client)
        self._history = create_history_table(client)

    def delete(self) -> None:
        for name in (self._table, self._history):
            self._client.delete_table(TableName=name)

    def _clear(self) -> None:
        for name in (self._table, self._history):
            for page in self._client.get_paginator("scan").paginate(TableName=name):
                for item in page["Items"]:
                    key = {"pk": item["pk"], "sk": item["sk"]}
                    self._client.delete_item(TableName=name, Key=key)

    def hold(self, memory: World) -> World:
        """The same world, with the store in these tables."""
        self._clear()
        table = Table(self._client, self._table)
        history = HistoryTable(
            self._client,
            table=self._table,
            history=self._history,
            keep_seconds=90 * 86_400,
            clock=memory.clock,
        )
        world = World(table, history)
        world.clock = FakeClock(memory.clock.now)
        world.sockets, world.opening = memory.sockets, memory.opening
        stored = memory.memory.load(B1)
        if stored.settings is not None:
            table.write_settings(business(), stored.settings, put=stored.virtual)
            table.mark_episode(table.load(B1), stored.settings.episode)
        for connection in stored.real:
            table.add_real(connection)
        for digest, ticket in memory.memory.tickets.items():
            table.add_ticket(digest, ticket)
        for transition in memory.recorded.transitions:
            last = stored.last_transition
            version = last.settings_version if last else None
            history.commit(transition, settings_version=version)
        return world


@pytest.mark.parametrize("state", STATES)
def test_schedules_end_on_real_tables_as_they_end_in_memory(state: str, tables: Tables) -> None:
    begin = STATES[state]
    played = 0
    for names in PAIRS[list(STATES).index(state) :: ONE_IN]:
        operations = together(*names)
        asks_clock = "time passes" in names
        for schedule in explore(begin, operations).ends[::ONE_IN]:
            ends = []
            for world in (begin(), tables.hold(begin())):
                world.clock_is_asked = asks_clock
                play = Play(world)
                play.begin(*operations)
                for choice in schedule:
                    play.take(choice)
                ends.append(play.result())
            assert ends[0] == ends[1], f"{names}: {schedule}"
            played += 1
    print(f"{state}: {played} schedules on DynamoDB Local")  # noqa: T201 - for make soak
