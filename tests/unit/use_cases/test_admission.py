"""Which new sockets are let in, and which others make room for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bad_networks import NETWORKS, Devices, simulate
from lambdas.domain.errors import TooManyConnections, Unavailable
from lambdas.domain.identifiers import ConnectionId, DeviceId
from lambdas.domain.model import (
    AnnouncedRemoval,
    Cause,
    LastTransition,
    OverallStatus,
    RealConnection,
)
from lambdas.use_cases.admission import Admission
from tests.builders import B1, NOW, RULES, U1, FakeClock, business, real
from tests.fakes import FakeSockets, MemoryStore

C1 = ConnectionId("c1")
NEW = ConnectionId("new")


@pytest.fixture
def admission(store: MemoryStore, sockets: FakeSockets, clock: FakeClock) -> Admission:
    return Admission(store, sockets, RULES, clock)


def test_a_connection_outlives_the_two_hours_of_its_socket(
    admission: Admission, store: MemoryStore
) -> None:
    admission.connect(B1, U1, C1)
    assert store.real[B1, C1].expires_at > NOW + 2 * 3600


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Till/4.2 (Android 14)", "Till/4.2 (Android 14)"),
        (" \tTill/4.2\r\n", "Till/4.2"),
        ("Käse\x00/1\n2\x7f", "K?se?/1?2?"),
        ("x" * 250, "x" * 200),
        ("x" * 199 + " y", "x" * 199),
        ("", None),
        (" \t ", None),
        (None, None),
    ],
)
def test_a_connection_keeps_the_printable_beginning_of_its_user_agent(
    admission: Admission, store: MemoryStore, sent: str | None, kept: str | None
) -> None:
    admission.connect(B1, U1, C1, user_agent=sent)
    assert store.real[B1, C1].user_agent == kept


@given(st.text(max_size=300))
def test_whatever_a_client_calls_itself_is_kept_short_and_in_printable_ascii(sent: str) -> None:
    admission = Admission(MemoryStore(), FakeSockets(), RULES, FakeClock())
    kept = admission.connect(B1, U1, C1, user_agent=sent).connection.user_agent
    assert kept is None or (
        1 <= len(kept) <= 200 and kept.isascii() and kept.isprintable() and kept == kept.strip()
    )


def test_one_more_than_the_limit_is_refused(admission: Admission, store: MemoryStore) -> None:
    store.seed(business(*(real(f"c{i}") for i in range(50))))
    with pytest.raises(TooManyConnections, match="50"):
        admission.connect(B1, U1, ConnectionId("new"))
    assert len(store.real) == 50


def _seed(
    store: MemoryStore, sockets: FakeSockets, *connections: RealConnection
) -> list[ConnectionId]:
    """Store connections whose sockets are open, and return their ids."""
    store.seed(business(*connections))
    ids = [connection.connection_id for connection in connections]
    sockets.open |= set(ids)
    return ids


def _till(
    number: int, *, seen: int = 0, age: int = 1800, socket: str | None = None
) -> RealConnection:
    device = DeviceId(f"till-{number}")
    return real(socket or f"c{number}", seen=seen, age=age, device_id=device)


@pytest.mark.parametrize("device_id", [None, DeviceId("till-new")])
def test_at_the_limit_a_newcomer_replaces_the_device_that_missed_a_ping_and_was_silent_longest(
    admission: Admission,
    store: MemoryStore,
    sockets: FakeSockets,
    device_id: DeviceId | None,
) -> None:
    _seed(store, sockets, *(_till(i, seen=290 + i) for i in range(50)))
    store.last_transitions[B1] = LastTransition(
        *(1, NOW - 900, OverallStatus.ONLINE, None, Cause.DEVICE_CONNECTED, None, {}, 1)
    )
    admitted = admission.connect(B1, U1, NEW, device_id=device_id)
    assert store.last_transitions[B1].removal == AnnouncedRemoval(
        ConnectionId("c49"), Cause.SILENCE, None, NOW
    )
    assert [c.device_id for c in admitted.replaced] == ["till-49"]
    assert len(store.real) == 50
    assert (B1, "c49") not in store.real
    assert "c49" not in sockets.open
    assert (B1, NEW) in store.real


def test_at_the_limit_nobody_is_replaced_who_has_pinged_in_time(
    admission: Admission, store: MemoryStore, sockets: FakeSockets
) -> None:
    ids = _seed(store, sockets, *(_till(i, seen=300) for i in range(50)))
    with pytest.raises(TooManyConnections):
        admission.connect(B1, U1, NEW, device_id=DeviceId("till-new"))
    assert {*ids} == sockets.open == {c for _, c in store.real}


def test_at_the_limit_a_device_is_not_replaced_for_its_older_socket(
    admission: Admission, store: MemoryStore, sockets: FakeSockets
) -> None:
    _seed(
        *(store, sockets, _till(0, seen=400, socket="old"), _till(0, seen=10)),
        *(_till(i, seen=100) for i in range(1, 50)),
    )
    with pytest.raises(TooManyConnections):
        admission.connect(B1, U1, NEW, device_id=DeviceId("till-new"))
    assert (B1, "old") in store.real


def test_a_device_is_replaced_with_all_its_sockets(
    admission: Admission, store: MemoryStore, sockets: FakeSockets
) -> None:
    _seed(
        *(store, sockets, _till(0, seen=400, socket="old"), _till(0, seen=350)),
        *(_till(i, seen=100) for i in range(1, 50)),
    )
    admitted = admission.connect(B1, U1, NEW, device_id=DeviceId("till-new"))
    assert [c.connection_id for c in admitted.replaced] == ["old", "c0"]


def test_a_device_that_pings_while_it_is_replaced_stays_and_the_next_one_goes(
    admission: Admission, store: MemoryStore, sockets: FakeSockets
) -> None:
    _seed(store, sockets, *(_till(i, seen=301 + i) for i in range(50)))
    read = store.load(B1)
    store.refresh_real(B1, ConnectionId("c49"), NOW)
    store.load = lambda business_id, *, consistent=True: read  # type: ignore[method-assign]
    admitted = admission.connect(B1, U1, NEW)
    assert [c.connection_id for c in admitted.replaced] == ["c48"]
    assert "c49" in sockets.open


def test_nobody_gets_in_if_the_gateway_cannot_close_the_sockets_in_the_way(
    admission: Admission, store: MemoryStore, sockets: FakeSockets
) -> None:
    sockets.unknown |= {*_seed(store, sockets, *(_till(i, seen=400) for i in range(50)))}
    with pytest.raises(TooManyConnections):
        admission.connect(B1, U1, NEW)
    assert len(store.real) == 50


def test_a_named_device_is_not_kept_out_by_sockets_without_a_name(
    admission: Admission, store: MemoryStore, sockets: FakeSockets
) -> None:
    ids = _seed(store, sockets, *(real(f"c{i}", seen=10) for i in range(50)))
    assert not admission.connect(B1, U1, NEW, device_id=DeviceId("till-1")).replaced
    assert sockets.open == {*ids}


def test_a_device_that_connects_again_needs_no_room(
    admission: Admission, store: MemoryStore, sockets: FakeSockets
) -> None:
    _seed(store, sockets, *(_till(i) for i in range(50)))
    assert not admission.connect(B1, U1, NEW, device_id=DeviceId("till-7")).replaced
    assert len(store.real) == 51


def test_a_device_holds_two_sockets_and_its_third_replaces_the_one_silent_longest(
    admission: Admission, store: MemoryStore, sockets: FakeSockets
) -> None:
    _seed(store, sockets, _till(1, seen=90), _till(1, seen=50, socket="c2"), _till(3))
    admitted = admission.connect(B1, U1, NEW, device_id=DeviceId("till-1"))
    assert [c.connection_id for c in admitted.replaced] == ["c1"]
    assert {c for _, c in store.real} == {"c2", "c3", "new"}
    assert sockets.open == {"c2", "c3"}


def test_a_young_socket_of_a_device_is_left_alone(admission: Admission, store: MemoryStore) -> None:
    # The gateway might not know it yet, and would call it gone.
    store.seed(business(_till(1, age=59), _till(1, age=30, socket="c2")))
    assert not admission.connect(B1, U1, NEW, device_id=DeviceId("till-1")).replaced
    assert len(store.real) == 3


def test_a_socket_that_cannot_be_closed_keeps_no_device_out(
    admission: Admission, store: MemoryStore, sockets: FakeSockets
) -> None:
    sockets.unknown |= {*_seed(store, sockets, _till(1, seen=90), _till(1, seen=50, socket="c2"))}
    assert not admission.connect(B1, U1, NEW, device_id=DeviceId("till-1")).replaced
    assert len(store.real) == 3


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_connection_whose_write_is_uncertain_is_taken_back(
    admission: Admission, store: MemoryStore, is_stored: bool
) -> None:
    def fail(connection: RealConnection) -> None:
        if is_stored:
            MemoryStore.add_real(store, connection)
        raise Unavailable("the answer is lost")

    store.add_real = fail  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        admission.connect(B1, U1, NEW)
    assert not store.real


@pytest.mark.parametrize("groups", NETWORKS.values(), ids=NETWORKS)
def test_no_device_that_names_itself_is_refused_because_of_dead_sockets(
    groups: list[Devices],
) -> None:
    result = simulate(*groups)
    assert result.handshakes > 500
    assert result.refused == 0
