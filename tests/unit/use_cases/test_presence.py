"""The life of a real connection, from event to event."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.rules import reconnect_at, sends_too_much
from lambdas.use_cases.admission import Admission
from lambdas.use_cases.presence import Presence
from tests.builders import B1, NOW, RULES, U1, FakeClock, business, real
from tests.fakes import FakeSockets, MemoryStore

C1 = ConnectionId("c1")


@pytest.fixture
def presence(store: MemoryStore, clock: FakeClock) -> Presence:
    return Presence(store, RULES, clock)


def test_a_message_of_the_client_keeps_the_connection_active(
    presence: Presence, store: MemoryStore, clock: FakeClock
) -> None:
    store.seed(business(real(seen=0)))
    clock.advance(500)
    heard = presence.heard_from(B1, C1)
    assert heard is not None
    assert heard.last_seen_at == NOW + 500
    assert heard.connected_at == NOW - 1800


@pytest.mark.parametrize(("told", "then"), [(300, 60), (60, 300)])
def test_a_client_is_judged_by_the_ping_interval_that_it_was_told(
    store: MemoryStore, clock: FakeClock, told: int, then: int
) -> None:
    before, after = (replace(RULES, ping_interval=interval) for interval in (told, then))
    connection = Admission(store, FakeSockets(), before, clock).connect(B1, U1, C1).connection
    assert after.active_until(connection) == before.active_until(connection)
    assert after.missed_ping(connection, NOW + told + 1)
    assert not after.missed_ping(connection, NOW + told)

    heard = Presence(store, after, clock).heard_from(B1, C1)  # not a ping: its answer tells nothing
    assert heard is not None
    assert after.active_until(heard) == before.active_until(heard)

    pinged = Presence(store, after, clock).heard_from(B1, C1, is_ping=True)
    assert pinged is not None
    assert after.active_until(pinged) == NOW + after.silent_after + 1
    assert before.active_until(pinged) == NOW + after.silent_after + 1


def test_a_connection_without_a_told_interval_is_judged_by_the_one_of_the_environment() -> None:
    assert RULES.active_until(real(seen=0)) == NOW + RULES.silent_after + 1


def test_one_client_may_send_sixty_messages_within_a_minute(
    presence: Presence, store: MemoryStore, clock: FakeClock
) -> None:
    store.seed(business(real()))
    assert [_too_much(presence) for _ in range(62)] == [False] * 60 + [True] * 2
    clock.advance(60)
    assert not _too_much(presence)


# For 12 minutes, a ping every 5 seconds and a status message every 20 seconds.
SENT = [*range(0, 720, 5), *range(0, 720, 20)]
LATE_AND_REPEATED = st.tuples(st.integers(0, 60), st.booleans())


@given(st.lists(LATE_AND_REPEATED, min_size=len(SENT), max_size=len(SENT)))
@example([(60 if at // 60 % 2 == 0 else 0, True) for at in SENT])
def test_a_busy_client_never_sends_too_much_however_late_and_often_its_messages_arrive(
    deliveries: list[tuple[int, bool]],
) -> None:
    clock = FakeClock()
    store = MemoryStore()
    store.seed(business(real()))
    presence = Presence(store, RULES, clock)
    arrivals = [
        at + late
        for at, (late, repeated) in zip(SENT, deliveries, strict=True)
        for _ in range(1 + repeated)
    ]
    for arrival in sorted(arrivals):
        clock.now = NOW + arrival
        assert not _too_much(presence)


def _too_much(presence: Presence) -> bool:
    connection = presence.heard_from(B1, C1)
    assert connection is not None
    return sends_too_much(connection)


def test_the_business_is_looked_up_if_an_event_does_not_name_it(
    presence: Presence, store: MemoryStore
) -> None:
    connected = real(user_agent="Till/4.2")
    store.seed(business(connected))
    heard = presence.heard_from(None, C1)
    assert heard == replace(connected, messages=1)
    assert presence.disconnect(None, C1) == heard
    assert not store.real
    assert presence.heard_from(None, C1) is None
    assert presence.disconnect(None, C1) is None


def test_clients_that_connected_at_the_same_time_reconnect_at_different_times() -> None:
    moments = [reconnect_at(real(f"connection-{i}", age=0)) for i in range(1000)]
    assert all(NOW + 95 * 60 < moment <= NOW + 115 * 60 for moment in moments)
    assert max(moments.count(moment) for moment in set(moments)) < 10
