"""Calls that handle many sockets or businesses start nothing new when their time is up."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.model import (
    Attention,
    Business,
    Episode,
    Instant,
    RealConnection,
    VirtualConnection,
)
from lambdas.domain.socket_messages import SocketMessage
from lambdas.use_cases.operators import Operators
from lambdas.use_cases.parallel import read_in_parallel
from lambdas.use_cases.ports import SocketAnswer
from lambdas.use_cases.status import StatusReader
from tests.builders import (
    B1,
    NOW,
    RULES,
    FakeClock,
    business,
    clean_up,
    declare,
    in_time,
    make_cleanup,
    real,
    settings,
    virtual,
)
from tests.fakes import FakeSockets, MemoryStore

DEADLINE = 13
"""Seconds, of the 28 that a request has, after which nothing new is started."""
CALL = 4
"""Seconds that one call takes when the gateway hangs."""
STORE_CALL = 12
"""The same for the store: three attempts of up to four seconds."""


class HangingSockets(FakeSockets):
    """Every call takes its whole timeout and answers nothing."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.calls = 0
        self._lock = threading.Lock()

    def _hang(self) -> SocketAnswer:
        with self._lock:
            self.calls += 1
            self._clock.advance(CALL)
        return SocketAnswer.UNKNOWN

    def probe(self, connection_id: ConnectionId) -> SocketAnswer:
        return self._hang()

    def post(self, connection_id: ConnectionId, message: SocketMessage) -> SocketAnswer:
        return self._hang()

    def close(self, connection_id: ConnectionId) -> SocketAnswer:
        return self._hang()


def _until(clock: FakeClock) -> Callable[[], bool]:
    return lambda: clock() - NOW >= DEADLINE


def test_a_business_becomes_unavailable_even_if_its_sockets_cannot_be_closed_in_time(
    store: MemoryStore, clock: FakeClock
) -> None:
    store.seed(business(*(real(f"c{n}") for n in range(40)), declared=settings()))
    sockets = HangingSockets(clock)
    outcome = declare(store, False, sockets=sockets, clock=clock, out_of_time=_until(clock))
    assert outcome.sockets_remaining == 40
    assert not store.settings[B1].available
    # The calls of ten threads that were under way when the time was up are finished.
    assert sockets.calls <= DEADLINE // CALL + 1 + 10


def test_a_cleanup_of_one_business_that_is_out_of_time_is_incomplete(
    store: MemoryStore, clock: FakeClock
) -> None:
    store.seed(business(*(real(f"c{n}", seen=400) for n in range(10)), declared=settings()))
    sockets = HangingSockets(clock)
    cleanup = make_cleanup(store, sockets, clock)
    run = cleanup.cleanup_business_connections(B1, out_of_time=_until(clock))
    assert not run.complete
    assert sockets.calls == DEADLINE // CALL + 1


def test_no_more_sockets_are_closed_after_the_store_failed() -> None:
    class Failing(MemoryStore):
        asked = 0

        def remove_real(
            self, business_id: BusinessId, connection_id: ConnectionId
        ) -> RealConnection | None:
            self.asked += 1
            raise Unavailable("no answer")

    store = Failing()
    store.seed(business(*(real(f"c{n}") for n in range(40)), declared=settings()))
    sockets = FakeSockets(open={f"c{n}" for n in range(40)})
    outcome = declare(store, False, sockets=sockets)
    assert outcome.sockets_remaining == 40
    assert store.asked <= 10


def test_a_store_that_hangs_costs_a_cleanup_of_one_business_one_timeout() -> None:
    class Hanging(MemoryStore):
        asked = 0

        def _hang(self, *_: object, **__: object) -> Any:
            self.asked += 1
            raise Unavailable("no answer")

        load = last_censuses = _hang

    store = Hanging()
    with pytest.raises(Unavailable):
        make_cleanup(store).cleanup_business_connections(B1, out_of_time=in_time)
    assert store.asked == 1


class TestReads:
    IDS = tuple(BusinessId(f"b{n}") for n in range(100))

    def test_a_batch_and_a_list_read_nothing_when_there_is_no_time(
        self, store: MemoryStore, clock: FakeClock
    ) -> None:
        marks = {"episode": Episode(Attention.UNREACHABLE, NOW)}
        store.seed(*(business(business_id=b, declared=settings(**marks)) for b in self.IDS))
        reader = StatusReader(store, RULES, clock)
        with pytest.raises(Unavailable, match="in time"):
            reader.are_businesses_online(self.IDS, out_of_time=lambda: True)
        operators = Operators(store, FakeSockets(), RULES, clock)
        with pytest.raises(Unavailable, match="in time"):
            operators.list_attention(Attention.UNREACHABLE, limit=100, out_of_time=lambda: True)

    def test_nothing_more_is_read_after_the_first_failure(self) -> None:
        begun: list[Any] = []

        def read(business_id: BusinessId) -> Business:
            begun.append(business_id)
            raise Unavailable("no answer")

        with pytest.raises(Unavailable):
            read_in_parallel(read, self.IDS, threads=25, out_of_time=in_time)
        assert len(begun) <= 25

    def test_the_results_are_in_the_order_of_the_keys(self) -> None:
        assert read_in_parallel(str.upper, ["a", "b"], threads=2, out_of_time=in_time) == ["A", "B"]


class TestSlowStore:
    def test_a_cleanup_of_one_business_stops_while_virtual_connections_hang(
        self, clock: FakeClock
    ) -> None:
        class Hanging(MemoryStore):
            def remove_expired_virtual(self, connection: VirtualConnection, now: Instant) -> bool:
                clock.advance(STORE_CALL)
                raise Unavailable("no answer")

        store = Hanging()
        store.seed(business(*(virtual(f"u{n}", left=-1) for n in range(40)), declared=settings()))
        cleanup = make_cleanup(store, clock=clock)
        with suppress(Unavailable):
            cleanup.cleanup_business_connections(B1, out_of_time=_until(clock))
        assert clock() - NOW <= DEADLINE + STORE_CALL

    def test_a_run_stops_while_the_store_hangs(self) -> None:
        begun = []

        class Hanging(MemoryStore):
            def remove_expired_virtual(self, connection: VirtualConnection, now: Instant) -> bool:
                begun.append(connection)
                raise Unavailable("no answer")

        store = Hanging()
        leases = (virtual(f"u{n}", left=-1) for n in range(40))
        store.seed(business(*leases, declared=settings(expects_socket=False)))
        seen = iter([False])  # time is up once the business was read
        clean_up(store, out_of_time=lambda: next(seen, True))
        assert len(begun) <= 1

    def test_a_cleanup_of_one_business_stops_while_the_store_is_slow(
        self, clock: FakeClock
    ) -> None:
        class Slow(MemoryStore):
            """Everything succeeds, but only at its second or third attempt."""

            def last_censuses(self) -> Any:
                clock.advance(9)
                return super().last_censuses()

            def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
                clock.advance(8)
                return super().load(business_id)

            def mark_episode(self, before: Business, episode: Episode | None) -> bool:
                clock.advance(8)
                return super().mark_episode(before, episode)

        store = Slow()
        store.seed(business(declared=settings()))
        cleanup = make_cleanup(store, clock=clock)
        with suppress(Unavailable):
            cleanup.cleanup_business_connections(B1, out_of_time=_until(clock))
        assert clock() - NOW <= 28
