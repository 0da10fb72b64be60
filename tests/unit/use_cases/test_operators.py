"""What operators do."""

from typing import Any

import pytest

from lambdas.domain.errors import NotFound, Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.model import Attention, Business, Episode
from lambdas.use_cases.operators import Operators
from tests.builders import (
    B1,
    CLOSED,
    NOW,
    RULES,
    U1,
    FakeClock,
    business,
    hours,
    in_time,
    real,
    settings,
    virtual,
)
from tests.fakes import FakeSockets, MemoryStore

C1 = ConnectionId("c1")


@pytest.fixture
def operators(store: MemoryStore, sockets: FakeSockets) -> Operators:
    return Operators(store, sockets, RULES, FakeClock(NOW))


def _marked(name: str, *, since: int, device: bool = False, **declared: Any) -> Business:
    business_id = BusinessId(name)
    connections = [virtual(business_id=business_id)]
    devices = [real(name, business_id=business_id)] if device else []
    marked = settings(episode=Episode(Attention.VIRTUAL_ONLY, since), **declared)
    return business(*connections, *devices, declared=marked, business_id=business_id)


def test_the_longest_comes_first_and_each_is_judged_again(
    operators: Operators, store: MemoryStore
) -> None:
    store.seed(
        _marked("later", since=NOW - 10),
        _marked("first", since=NOW - 99),
        _marked("well-again", since=NOW - 50, device=True),
    )
    page = operators.list_attention(Attention.VIRTUAL_ONLY, limit=10, out_of_time=in_time)
    assert [entry.business_id for entry, _ in page.businesses] == ["first", "later"]
    assert page.after is None


def test_a_business_is_not_listed_with_an_episode_that_its_opening_hours_ended(
    operators: Operators, store: MemoryStore
) -> None:
    opened = NOW - 60
    daily = hours(("07:59", "22:00"))
    old: dict[str, Any] = {"updated_at": 0, "opening_hours": daily}
    store.seed(
        _marked("closed", since=NOW - 60, updated_at=0, opening_hours=CLOSED),
        _marked("reopened", since=opened - 1, **old),
        _marked("open", since=opened, **old),
    )
    page = operators.list_attention(Attention.VIRTUAL_ONLY, limit=10, out_of_time=in_time)
    assert [entry.business_id for entry, _ in page.businesses] == ["open"]


def test_pages_follow_each_other_without_gap_or_repetition(
    operators: Operators, store: MemoryStore
) -> None:
    store.seed(*(_marked(f"b{i}", since=NOW - i // 2) for i in range(7)))
    seen: list[str] = []
    after = None
    while True:
        page = operators.list_attention(
            Attention.VIRTUAL_ONLY, limit=3, out_of_time=in_time, after=after
        )
        seen += [entry.business_id for entry, _ in page.businesses]
        after = page.after
        if after is None:
            break
    assert sorted(seen) == [f"b{i}" for i in range(7)]
    assert len(seen) == 7


def test_closing_a_connection_closes_its_socket_and_no_other(
    operators: Operators, store: MemoryStore, sockets: FakeSockets
) -> None:
    store.seed(business(real("c1"), real("c2")))
    sockets.open |= {"c1", "c2"}
    operators.close_connection(B1, C1, U1)
    assert sockets.open == {"c2"}
    assert [c.connection_id for c in store.load(B1).real] == ["c2"]


def test_a_connection_of_another_business_is_not_found(
    operators: Operators, store: MemoryStore, sockets: FakeSockets
) -> None:
    store.seed(business(real("c1", business_id=BusinessId("b2")), business_id=BusinessId("b2")))
    sockets.open.add("c1")
    with pytest.raises(NotFound):
        operators.close_connection(B1, C1, U1)
    assert sockets.open == {"c1"}


def test_a_socket_that_could_not_be_closed_keeps_its_connection(
    operators: Operators, store: MemoryStore, sockets: FakeSockets
) -> None:
    store.seed(business(real("c1")))
    sockets.unknown.add("c1")
    with pytest.raises(Unavailable):
        operators.close_connection(B1, C1, U1)
    assert len(store.real) == 1
