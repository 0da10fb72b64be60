"""Declaring a business available or unavailable."""

import threading

import pytest

from lambdas.domain.errors import Conflict, TooManyCalls, TooManyConnections
from lambdas.domain.identifiers import UserId
from lambdas.domain.model import Attention, Episode, Pause
from lambdas.domain.socket_messages import AvailabilityChanged
from lambdas.domain.status import OverallStatus
from lambdas.use_cases.availability import Availability
from tests.builders import (
    B1,
    CLOSED,
    NOW,
    RULES,
    U1,
    FakeClock,
    business,
    declare,
    in_time,
    real,
    settings,
    virtual,
)
from tests.fakes import FakeSockets, MemoryStore, failing_store

U2 = UserId("u2")


def test_available_opens_an_unknown_business_with_a_lease(store: MemoryStore) -> None:
    outcome = declare(store, True)
    assert outcome.status.overall_status is OverallStatus.VIRTUAL_ONLY
    assert outcome.lease_until == NOW + RULES.virtual_lease
    stored = store.load(B1)
    assert stored.settings == settings(updated_at=NOW)
    assert [c.expires_at for c in stored.virtual] == [NOW + RULES.virtual_lease]


def test_a_second_call_renews_only_the_lease_of_that_user(
    store: MemoryStore, clock: FakeClock
) -> None:
    declare(store, True, clock=clock)
    declare(store, True, user_id=U2, clock=clock)
    clock.advance(100)
    declare(store, True, clock=clock)
    mine, other = store.load(B1).virtual
    assert (mine.created_at, mine.renewed_at) == (NOW, NOW + 100)
    assert (other.created_at, other.renewed_at) == (NOW, NOW)


def test_unavailable_removes_every_virtual_connection_and_closes_every_socket(
    store: MemoryStore, sockets: FakeSockets
) -> None:
    store.seed(
        business(real("c1"), real("c2"), virtual("u1"), virtual("u2", left=-1), declared=settings())
    )
    sockets.open |= {"c1", "c2"}
    outcome = declare(store, False, sockets=sockets)
    assert outcome.status.overall_status is OverallStatus.OFFLINE
    assert outcome.sockets_remaining == 0
    assert outcome.lease_until is None
    assert store.load(B1) == business(declared=settings(available=False, version=2, updated_at=NOW))
    assert not sockets.open
    message = AvailabilityChanged(B1, available=False, at=NOW)
    assert sorted(sockets.sent, key=str) == [("c1", message), ("c2", message)]


def test_a_socket_that_cannot_be_closed_stays_and_is_counted(
    store: MemoryStore, sockets: FakeSockets
) -> None:
    store.seed(business(real("c1"), real("c2"), declared=settings()))
    sockets.open |= {"c1", "c2"}
    sockets.unknown.add("c2")
    outcome = declare(store, False, sockets=sockets)
    assert outcome.sockets_remaining == 1
    assert outcome.status.overall_status is OverallStatus.CONNECTED_NOT_ACCEPTING
    assert [c.connection_id for c in store.load(B1).real] == ["c2"]


def test_no_connection_younger_than_a_minute_is_removed_because_its_socket_seems_gone(
    store: MemoryStore,
) -> None:
    store.seed(business(real("young", age=59), real("old", age=60), declared=settings()))
    outcome = declare(store, False)
    assert [c.connection_id for c in store.load(B1).real] == ["young"]
    assert outcome.sockets_remaining == 1


@pytest.mark.parametrize("available", [True, False])
def test_an_availability_call_ends_pause_and_attention(store: MemoryStore, available: bool) -> None:
    store.seed(
        business(
            declared=settings(
                pause=Pause(NOW + 600, "busy"),
                expects_socket=False,
                episode=Episode(Attention.UNREACHABLE, NOW - 10, reported=True),
            )
        )
    )
    outcome = declare(store, available)
    assert outcome.status.accepting_orders is available
    assert store.settings[B1] == settings(
        available=available, version=2, updated_at=NOW, expects_socket=False
    )


@pytest.mark.parametrize("available", [True, False])
def test_an_availability_call_does_not_end_an_operators_pause_and_says_so(
    store: MemoryStore, clock: FakeClock, available: bool
) -> None:
    pause = Pause(NOW + 600, "no device since noon", UserId("o1"), by_operator=True)
    store.seed(business(virtual(), declared=settings(available=not available, pause=pause)))
    status = declare(store, available, clock=clock).status
    assert not status.accepting_orders
    assert status.pause == pause
    assert any("o1" in r.detail and "no device since noon" in r.detail for r in status.reasons)
    assert store.settings[B1] == settings(
        available=available, version=2, updated_at=NOW, pause=pause
    )
    # What was declared is kept for afterwards.
    clock.advance(600)
    assert store.settings[B1].accepts_orders(clock()) is available


def test_available_does_not_override_opening_hours_and_still_gives_a_lease(
    store: MemoryStore,
) -> None:
    store.seed(business(declared=settings(available=False, opening_hours=CLOSED)))
    outcome = declare(store, True)
    assert outcome.status.overall_status is OverallStatus.OFFLINE
    assert outcome.lease_until == NOW + RULES.virtual_lease
    assert store.settings[B1].available


def test_who_declared_it_last_is_in_the_answer(store: MemoryStore) -> None:
    for user in (U1, U2):
        assert declare(store, True, user_id=user).status.declared_by == user


def test_the_ninety_first_virtual_connection_is_refused_and_nothing_is_written(
    store: MemoryStore,
) -> None:
    full = business(*(virtual(f"u{i}") for i in range(90)), declared=settings())
    store.seed(full)
    with pytest.raises(TooManyConnections, match="90"):
        declare(store, True, user_id=UserId("one-more"))
    assert len(store.virtual) == 90
    assert store.settings[B1] == full.settings
    assert declare(store, True, user_id=UserId("u89")).lease_until


def test_expired_virtual_connections_are_removed_when_there_is_no_room(store: MemoryStore) -> None:
    store.seed(business(*(virtual(f"u{i}", left=-i) for i in range(90)), declared=settings()))
    declare(store, True, user_id=UserId("one-more"))
    assert list(store.virtual) == [(B1, "one-more")]


def test_a_call_gives_up_after_six_conflicts(clock: FakeClock) -> None:
    contended = failing_store(Conflict("always"), "write_settings")
    waits: list[int] = []
    availability = Availability(contended, FakeSockets(), RULES, clock, waits.append)
    with pytest.raises(TooManyCalls, match="at the same time"):
        availability.set_business_availability(B1, U1, True, out_of_time=in_time)
    assert waits == [1, 2, 3, 4, 5]


def test_racing_calls_end_as_if_one_had_come_after_the_other(store: MemoryStore) -> None:
    for _ in range(50):
        barrier = threading.Barrier(2)

        def call(available: bool, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            declare(store, available)

        threads = [threading.Thread(target=call, args=(available,)) for available in (True, False)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = store.load(B1)
        assert after.settings is not None
        assert bool(after.virtual) is after.settings.available


def test_the_answer_is_the_status_after_the_write(store: MemoryStore) -> None:
    store.seed(business(real("c1"), virtual("u2"), declared=settings(available=False)))
    status = declare(store, True).status
    assert (status.real, status.virtual) == (1, 2)
    assert status.overall_status is OverallStatus.ONLINE
