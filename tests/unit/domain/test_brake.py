"""The brake refuses mass removals and nothing else."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lambdas.domain.brake import BRAKE_FLOOR, Brake
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.model import Census, Instant, RealConnection
from lambdas.use_cases.cleanup import CENSUS_HOLDS, Share, real_in_last_census
from lambdas.use_cases.ports import SocketAnswer
from tests.builders import B1, NOW, business, clean_up, devices, in_time, make_cleanup, real
from tests.fakes import FakeSockets, MemoryStore, failing_store


def _census(real: int, *, worker: int = 0, workers: int = 1, age: int = 300) -> Census:
    return Census(worker=worker, workers=workers, real=real, taken_at=NOW - age)


class TestLimit:
    def test_is_a_tenth_of_the_last_census_in_each_run(
        self, store: MemoryStore, sockets: FakeSockets
    ) -> None:
        """300 of 2,000 are dead: the first run removes 200, the second one the rest."""
        store.seed(*devices(range(300), seen=700), *devices(range(300, 2000), seen=0))
        sockets.open |= {connection_id for _, connection_id in store.real}
        store.record_census(_census(2000))
        runs = [clean_up(store, sockets) for _ in range(3)]
        assert [run.report.silent for run in runs] == [200, 100, 0]
        assert [run.report.refused for run in runs] == [100, 0, 0]
        assert [run.refused_because is not None for run in runs] == [True, False, False]

    def test_does_not_depend_on_how_early_the_dead_connections_are_read(
        self, store: MemoryStore
    ) -> None:
        crowded = BusinessId("a-first")
        dead = [real(f"d{n}", business_id=crowded, seen=400) for n in range(45)]
        store.seed(business(*dead, business_id=crowded), *devices(range(1499), seen=0))
        store.record_census(_census(1544))
        report = clean_up(store).report
        assert (report.gone, report.refused) == (45, 0)

    def test_depends_on_what_the_run_has_seen_if_there_is_no_census(
        self, store: MemoryStore, sockets: FakeSockets
    ) -> None:
        store.seed(*devices(range(1000), seen=0), *devices(range(1000, 1500), seen=700))
        sockets.open |= {connection_id for _, connection_id in store.real}
        found = clean_up(store, sockets)
        assert BRAKE_FLOOR <= found.report.silent <= 150
        assert found.report.refused == 500 - found.report.silent
        assert len(sockets.open) == 1500 - found.report.silent
        assert not any(c.closing_at for c in store.real.values())

    def test_a_complete_run_records_its_census_for_the_next_run(self, store: MemoryStore) -> None:
        store.seed(*devices(range(30), seen=0))
        clean_up(store, dry_run=True)
        assert not store.censuses
        clean_up(store, share=Share(1, 3))
        (census,) = store.last_censuses()
        assert (census.worker, census.workers) == (1, 3)
        clean_up(store)
        assert Census(worker=0, workers=1, real=30, taken_at=NOW) in store.last_censuses()

    def test_an_incomplete_run_records_no_census(self, store: MemoryStore) -> None:
        store.seed(*devices(range(30), seen=0))
        assert not clean_up(store, out_of_time=lambda: True).complete
        assert not store.censuses

    @pytest.mark.parametrize(
        ("censuses", "share", "expected"),
        [
            pytest.param([], Share(), 0, id="never"),
            pytest.param([_census(7)], Share(), 7, id="one worker"),
            pytest.param([_census(7, age=CENSUS_HOLDS)], Share(), 0, id="too old"),
            pytest.param([_census(7, age=-3600)], Share(), 0, id="of the future"),
            pytest.param(
                [_census(7, worker=0, workers=2), _census(8, worker=1, workers=2)],
                Share(1, 2),
                8,
                id="of its own share",
            ),
            pytest.param([_census(7)], Share(1, 2), 0, id="the number of workers was changed"),
            pytest.param(
                [_census(7, worker=0, workers=2), _census(8, worker=1, workers=2)],
                None,
                15,
                id="of all",
            ),
            pytest.param(
                [_census(99, age=900), _census(7, worker=0, workers=2)], None, 7, id="the newer"
            ),
        ],
    )
    def test_real_connections_in_the_last_census(
        self, censuses: list[Census], share: Share | None, expected: int
    ) -> None:
        assert real_in_last_census(censuses, share, NOW) == expected

    def test_is_a_share_of_the_whole_marketplace_even_for_one_business(
        self, store: MemoryStore
    ) -> None:
        store.seed(business(*(real(f"c{n}", seen=400) for n in range(45))))
        store.record_census(_census(1000))
        cleanup = make_cleanup(store)
        report = cleanup.cleanup_business_connections(B1, out_of_time=in_time).report
        assert (report.gone, report.refused) == (45, 0)


class TestOnlyRemovalsCount:
    def test_an_outage_of_the_gateway_after_some_closes_refuses_nothing(
        self, store: MemoryStore
    ) -> None:
        class OutAfterFive(FakeSockets):
            closed = 0
            lock = threading.Lock()

            def close(self, connection_id: ConnectionId) -> SocketAnswer:
                with self.lock:
                    if self.closed == 5:
                        return SocketAnswer.UNKNOWN
                    self.closed += 1
                return super().close(connection_id)

        store.seed(*devices(range(65), seen=700))
        sockets = OutAfterFive(open={connection_id for _, connection_id in store.real})
        found = clean_up(store, sockets)
        assert (found.report.silent, found.report.unknown) == (5, 60)
        assert (found.report.refused, found.refused_because) == (0, None)

    @pytest.mark.parametrize("seen", [400, 700])
    def test_a_store_that_accepts_no_writes_refuses_nothing(self, seen: int) -> None:
        writes = ("claim_real", "remove_real", "record_census")
        store = failing_store(Unavailable("no writes"), *writes)
        store.seed(*devices(range(60), seen=seen))
        found = clean_up(store)
        assert (found.report.failed, found.report.refused) == (60, 0)
        assert (found.report.silent, found.report.gone) == (0, 0)
        assert found.complete

    def test_a_connection_that_was_heard_from_in_time_frees_its_slot(self) -> None:
        class PingedMeanwhile(MemoryStore):
            def claim_real(self, connection: RealConnection, now: Instant) -> bool:
                return False

        store = PingedMeanwhile()
        store.seed(*devices(range(60), seen=700))
        found = clean_up(store)
        assert (found.report.silent, found.report.refused) == (0, 0)

    def test_two_runs_at_once_report_each_removal_once(self, store: MemoryStore) -> None:
        both = threading.Barrier(2)

        class Together(FakeSockets):
            """Makes both runs probe each socket before either of them removes it."""

            def probe(self, connection_id: ConnectionId) -> SocketAnswer:
                both.wait(timeout=10)
                return super().probe(connection_id)

        store.seed(business(*(real(f"c{n}", seen=400) for n in range(10))))
        cleanup = make_cleanup(store, Together())
        with ThreadPoolExecutor(max_workers=2) as pool:
            runs = [
                pool.submit(cleanup.cleanup_business_connections, B1, out_of_time=in_time)
                for _ in range(2)
            ]
        assert sum(run.result().report.gone for run in runs) == 10
        assert not store.real


class TestRemovalSlots:
    def test_a_refusal_is_explained_in_numbers(self) -> None:
        brake = Brake(forced=False)
        brake.last_census = 150
        brake.add_seen(300)
        for _ in range(30):
            with brake.removal_slot() as slot:
                assert slot is not None
                slot.used = True
        assert brake.refused_because is None
        with brake.removal_slot() as slot:
            assert slot is None
        assert brake.refused_because == (
            "30 real connections were removed, and a run may remove at most 30: 20, or one in 10"
            " of the 150 that the last census counted or the 300 seen so far"
        )

    def test_a_removal_waits_for_those_under_way_and_gets_the_slot_of_one_that_failed(self) -> None:
        brake = Brake(forced=False)
        brake.last_census = 0
        under_way = [brake.removal_slot() for _ in range(BRAKE_FLOOR)]
        slots = [each.__enter__() for each in under_way]

        def one_more() -> bool:
            with brake.removal_slot() as slot:
                return slot is not None

        with ThreadPoolExecutor(max_workers=1) as pool:
            waiting = pool.submit(one_more)
            for slot in slots[1:]:
                assert slot is not None
                slot.used = True
            for each in under_way:
                each.__exit__(None, None, None)
            assert waiting.result(timeout=10)
        assert brake.refused_because is None

    def test_no_more_are_used_than_the_limit_however_many_try_at_once(self) -> None:
        brake = Brake(forced=False)
        brake.last_census = 300

        def remove(_: int) -> bool:
            with brake.removal_slot() as slot:
                if slot is None:
                    return False
                slot.used = True
                return True

        with ThreadPoolExecutor(max_workers=16) as pool:
            assert sum(pool.map(remove, range(500))) == 30


class Closing(FakeSockets):
    """Counts the open sockets that were closed."""

    def __init__(self, store: MemoryStore, *, disconnects: bool) -> None:
        super().__init__(open={f"c{n}" for n in range(100)})
        self.store, self.disconnects = store, disconnects

    def close(self, connection_id: ConnectionId) -> SocketAnswer:
        answer = super().close(connection_id)
        if self.disconnects:  # the gateway reports it, and that is quicker than this run
            self.store.remove_real(BusinessId(f"b{int(connection_id[1:]):05}"), connection_id)
        return answer


class TestClosedSocketsCount:
    def test_if_the_disconnect_event_removed_the_connection_first(self, store: MemoryStore) -> None:
        store.seed(*devices(range(100), seen=700))
        sockets = Closing(store, disconnects=True)
        clean_up(store, sockets)
        assert 100 - len(sockets.open) <= BRAKE_FLOOR

    @pytest.mark.parametrize("error", [Unavailable("no answer"), PermissionError("DeleteItem")])
    def test_if_the_connection_could_not_be_removed(self, error: Exception) -> None:
        store = failing_store(error, "remove_real")
        store.seed(*devices(range(100), seen=700))
        sockets = Closing(store, disconnects=False)
        clean_up(store, sockets)
        assert 100 - len(sockets.open) <= BRAKE_FLOOR

    def test_if_the_answer_to_the_removal_was_lost(self) -> None:
        class LostAnswers(MemoryStore):
            def remove_real(
                self, business_id: BusinessId, connection_id: ConnectionId
            ) -> RealConnection | None:
                super().remove_real(business_id, connection_id)
                # The SDK repeats the delete, which finds nothing.
                return super().remove_real(business_id, connection_id)

        store = LostAnswers()
        store.seed(*devices(range(100), seen=700))
        clean_up(store)
        assert 100 - len(store.real) <= BRAKE_FLOOR


class TestMarketplace:
    """A run must not be able to close it."""

    def test_a_wrong_endpoint_that_says_gone_to_everything_is_stopped(
        self, store: MemoryStore
    ) -> None:
        store.seed(*devices(range(500), seen=400))
        report = clean_up(store).report
        assert report.gone == 500 - len(store.real)
        assert 20 <= report.gone <= 50
        assert report.refused == 500 - report.gone
        assert report.active_real == len(store.real)

    def test_an_operator_can_force_what_the_brake_refused(self, store: MemoryStore) -> None:
        store.seed(*devices(range(100), seen=400))
        report = clean_up(store, force=True).report
        assert (report.gone, report.refused) == (100, 0)
        assert not store.real

    def test_a_small_one_may_lose_twenty_devices(self, store: MemoryStore) -> None:
        store.seed(*devices(range(20), seen=400))
        assert clean_up(store).report.refused == 0
        assert not store.real
