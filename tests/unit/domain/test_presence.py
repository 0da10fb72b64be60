"""The life of a real connection, as the events tell it."""

import pytest

from lambdas.domain.errors import TooManyConnections
from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.presence import Presence
from lambdas.domain.rules import reconnect_at
from tests.builders import B1, NOW, RULES, U1, FakeClock, business, real, settings
from tests.fakes import MemoryStore

C1 = ConnectionId("c1")


@pytest.fixture
def presence(store: MemoryStore, clock: FakeClock) -> Presence:
    return Presence(store, RULES, clock)


def test_a_connection_outlives_the_two_hours_of_its_socket(
    presence: Presence, store: MemoryStore
) -> None:
    presence.connect(B1, U1, C1)
    assert store.real[B1, C1].ttl > NOW + 2 * 3600


def test_one_more_than_the_cap_is_refused(presence: Presence, store: MemoryStore) -> None:
    store.seed(business(*(real(f"c{i}") for i in range(50))))
    with pytest.raises(TooManyConnections, match="50"):
        presence.connect(B1, U1, ConnectionId("new"))
    assert len(store.real) == 50


def test_ghosts_lock_no_business_out(presence: Presence, store: MemoryStore) -> None:
    store.seed(business(*(real(f"c{i}", seen=700) for i in range(50))))
    presence.connect(B1, U1, ConnectionId("new"))
    assert (B1, ConnectionId("new")) in store.real


def test_a_sign_of_life_keeps_the_connection_active(
    presence: Presence, store: MemoryStore, clock: FakeClock
) -> None:
    presence.connect(B1, U1, C1)
    clock.advance(500)
    heard = presence.heard_from(B1, C1)
    assert heard is not None
    assert heard.last_seen_at == NOW + 500
    assert heard.connected_at == NOW


def test_a_removed_connection_is_never_brought_back(presence: Presence, store: MemoryStore) -> None:
    assert presence.heard_from(B1, C1) is None
    assert not store.real


def test_a_claimed_connection_is_not_refreshed_until_the_claim_is_over(
    presence: Presence, store: MemoryStore, clock: FakeClock
) -> None:
    store.seed(business(real("c1", seen=700, closing_at=NOW)))
    clock.advance(59)
    assert presence.heard_from(B1, C1) is None
    clock.advance(1)
    heard = presence.heard_from(B1, C1)
    assert heard is not None
    assert heard.closing_at is None


def test_events_that_do_not_say_the_business_are_looked_up(
    presence: Presence, store: MemoryStore
) -> None:
    presence.connect(B1, U1, C1)
    assert presence.heard_from(None, C1) is not None
    assert presence.disconnect(None, C1)
    assert not store.real
    assert presence.heard_from(None, C1) is None
    assert not presence.disconnect(None, C1)


def test_disconnecting_leaves_the_settings_alone(presence: Presence, store: MemoryStore) -> None:
    store.seed(business(real("c1"), declared=settings()))
    presence.disconnect(B1, C1)
    assert store.load(B1) == business(declared=settings())


def test_a_fleet_that_connected_at_once_is_told_to_reconnect_at_different_times() -> None:
    moments = [reconnect_at(real(f"connection-{i}", age=0)) for i in range(1000)]
    assert all(NOW + 95 * 60 < moment <= NOW + 115 * 60 for moment in moments)
    assert max(moments.count(moment) for moment in set(moments)) < 10
