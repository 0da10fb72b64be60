"""The cleanup: what it removes, what it keeps, and what it counts."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lambdas.domain.attention import AttentionReport
from lambdas.domain.brake import OUTAGE_AFTER
from lambdas.domain.cleanup import MAX_NAMED, CleanupReport, CleanupRun, Share
from lambdas.domain.errors import Conflict, Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.model import Attention, Business, Census, Instant, RealConnection
from lambdas.domain.ports import SocketAnswer
from tests.builders import (
    B1,
    NOW,
    RULES,
    FakeClock,
    business,
    in_time,
    make_cleanup,
    real,
    settings,
    virtual,
)
from tests.fakes import FakeSockets, MemoryStore

Run = Callable[..., CleanupRun]


@pytest.fixture
def run(store: MemoryStore, sockets: FakeSockets, clock: FakeClock) -> Run:
    cleanup = make_cleanup(store, sockets, clock)

    def run(*, dry_run: bool = False, force: bool = False) -> CleanupRun:
        return cleanup.cleanup_all_connections(
            out_of_time=lambda: False, dry_run=dry_run, force=force
        )

    return run


def _stored(store: MemoryStore) -> set[str]:
    return {connection_id for _, connection_id in store.real}


@pytest.mark.parametrize(
    ("connection", "is_open", "stays", "probed"),
    [
        pytest.param(real("c1", age=59, seen=59), False, True, False, id="young"),
        pytest.param(real("c1", seen=300), False, True, False, id="seen within a ping interval"),
        pytest.param(real("c1", seen=301), True, True, True, id="quiet, socket open"),
        pytest.param(real("c1", seen=301), False, False, True, id="quiet, socket gone"),
        pytest.param(real("c1", seen=660), True, True, True, id="at the end of the grace"),
        pytest.param(real("c1", seen=661), True, False, False, id="silent, half open"),
        pytest.param(real("c1", seen=661), False, False, False, id="silent, socket gone"),
        pytest.param(real("c1", expires_at=NOW), True, False, False, id="older than a socket gets"),
    ],
)
def test_what_becomes_of_a_real_connection(
    run: Run,
    store: MemoryStore,
    sockets: FakeSockets,
    connection: RealConnection,
    is_open: bool,
    stays: bool,
    probed: bool,
) -> None:
    store.seed(business(connection, declared=settings(expects_socket=False)))
    if is_open:
        sockets.open.add("c1")
    run()
    assert ("c1" in _stored(store)) is stays
    assert bool(sockets.probed) is probed
    assert ("c1" in sockets.open) is (is_open and stays)


def test_nothing_is_removed_if_the_gateway_cannot_tell(
    run: Run, store: MemoryStore, sockets: FakeSockets
) -> None:
    store.seed(business(real("quiet", seen=400), real("silent", seen=700), declared=settings()))
    sockets.unknown |= {"quiet", "silent"}
    report = run().report
    assert _stored(store) == {"quiet", "silent"}
    assert (report.unknown, report.gone, report.silent) == (2, 0, 0)


def test_a_ping_that_comes_in_before_the_claim_wins(
    store: MemoryStore, sockets: FakeSockets, clock: FakeClock
) -> None:
    class PingedMeanwhile(MemoryStore):
        def claim_real(self, connection: RealConnection, now: Instant) -> bool:
            self.refresh_real(connection.business_id, connection.connection_id, now)
            return super().claim_real(connection, now)

    store = PingedMeanwhile()
    store.seed(business(real("c1", seen=700), declared=settings()))
    sockets.open.add("c1")
    cleanup = make_cleanup(store, sockets, clock)
    run = cleanup.cleanup_all_connections(out_of_time=lambda: False)
    assert run.report.silent == 0
    assert "c1" in sockets.open
    assert _stored(store) == {"c1"}


def test_an_expired_virtual_connection_is_removed_unless_it_was_renewed_meanwhile(
    store: MemoryStore, sockets: FakeSockets, clock: FakeClock
) -> None:
    stale_view = business(virtual("renewed", left=-1), virtual("expired", left=-1))
    store.seed(stale_view, business(virtual("renewed", left=100)))
    cleanup = make_cleanup(store, sockets, clock)
    stale_walk = iter([stale_view])
    store.walk = lambda part, parts: stale_walk if part == 0 else iter(())  # type: ignore[method-assign] # a late view
    report = cleanup.cleanup_all_connections(out_of_time=lambda: False).report
    assert [user for _, user in store.virtual] == ["renewed"]
    assert report.expired == 1


def test_the_report_counts_what_is_stored_done_and_active(
    run: Run, store: MemoryStore, sockets: FakeSockets
) -> None:
    sockets.open |= {"a1", "a2", "d1"}
    store.seed(
        business(real("a1"), real("a2", seen=400), business_id=B1, declared=settings()),
        business(virtual("u1", business_id=BusinessId("b2")), business_id=BusinessId("b2")),
        business(
            real("d1", seen=700, business_id=BusinessId("b3")),
            real("d2", age=10, business_id=BusinessId("b3")),
            business_id=BusinessId("b3"),
            declared=settings(available=False),
        ),
    )
    found = run()
    assert found.complete
    assert found.report == CleanupReport(
        businesses=3,
        real=4,
        virtual=1,
        probed=1,
        silent=1,
        too_young=1,
        active_real=3,
        active_virtual=1,
        online=1,
    )


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    run: Run, store: MemoryStore, sockets: FakeSockets
) -> None:
    before = business(
        real("gone", seen=400), real("silent", seen=700), virtual(left=-1), declared=settings()
    )
    store.seed(before)
    sockets.open.add("silent")
    report = run(dry_run=True).report
    assert (report.gone, report.silent, report.expired) == (1, 1, 1)
    assert store.load(B1) == before
    assert sockets.open == {"silent"}


def test_a_run_names_the_connections_that_it_removed_and_why(
    run: Run, store: MemoryStore, sockets: FakeSockets
) -> None:
    gone = real("gone", seen=400, user_agent="Till/4.2")
    silent = real("silent", seen=700, user_agent="Till/4.1")
    store.seed(business(gone, silent, real("alive"), real("unsure", seen=400)))
    sockets.unknown.add("unsure")
    assert run(dry_run=True).removed == ()
    assert sorted(run().removed, key=str) == [(gone, "gone"), (silent, "silent")]
    assert run().removed == ()


def test_a_run_names_at_most_500_of_the_connections_that_it_removed(
    run: Run, store: MemoryStore
) -> None:
    store.seed(*(_one_device(i, seen=400) for i in range(MAX_NAMED + 50)))
    found = run(force=True)
    assert found.report.gone == MAX_NAMED + 50
    # The threads of a run do not wait for each other to add one more.
    assert MAX_NAMED <= len(found.removed) < MAX_NAMED + 50


class TestBrake:
    """A run must not be able to close the marketplace."""

    def test_a_wrong_endpoint_that_says_gone_to_everything_is_stopped(
        self, run: Run, store: MemoryStore
    ) -> None:
        store.seed(*(_one_device(i, seen=400) for i in range(500)))
        report = run().report
        assert report.gone == len(range(500)) - len(store.real)
        assert 20 <= report.gone <= 50
        assert report.refused == 500 - report.gone
        assert report.active_real == len(store.real)

    def test_clients_that_all_stopped_pinging_are_not_all_closed(
        self, run: Run, store: MemoryStore, sockets: FakeSockets
    ) -> None:
        store.seed(*(_one_device(i, seen=700) for i in range(500)))
        sockets.open |= _stored(store)
        report = run().report
        assert 20 <= report.silent <= 50
        assert len(sockets.open) == 500 - report.silent
        assert not any(c.closing_at for c in store.real.values())

    def test_an_operator_can_force_what_the_brake_refused(
        self, run: Run, store: MemoryStore
    ) -> None:
        store.seed(*(_one_device(i, seen=400) for i in range(100)))
        report = run(force=True).report
        assert (report.gone, report.refused) == (100, 0)
        assert not store.real

    def test_a_small_marketplace_may_lose_twenty(self, run: Run, store: MemoryStore) -> None:
        store.seed(*(_one_device(i, seen=400) for i in range(20)))
        assert run().report.refused == 0
        assert not store.real


def _one_device(number: int, *, seen: int) -> Business:
    business_id = BusinessId(f"b{number}")
    device = real(f"c{number}", business_id=business_id, seen=seen)
    return business(device, business_id=business_id)


class TestAttention:
    """Which businesses need attention, since when, and when they are reported."""

    def test_is_reported_once_after_the_grace_period(
        self, run: Run, store: MemoryStore, clock: FakeClock
    ) -> None:
        store.seed(business(virtual(left=99999), declared=settings()))
        first = run().report
        assert store.settings[B1].attention is Attention.VIRTUAL_ONLY
        assert store.settings[B1].attention_since == NOW
        assert (first.virtual_only, first.attention_entered) == (0, 0)
        clock.advance(RULES.attention_grace)
        second = run().report
        assert (second.virtual_only, second.attention_entered) == (1, 1)
        assert run().attention_reports == (
            AttentionReport(B1, Attention.VIRTUAL_ONLY, RULES.attention_grace),
        )
        clock.advance(60)
        third = run().report
        assert (third.virtual_only, third.attention_entered) == (1, 0)

    def test_continues_when_the_lease_ends(
        self, run: Run, store: MemoryStore, clock: FakeClock
    ) -> None:
        store.seed(business(virtual(left=400), declared=settings()))
        run()
        clock.advance(400)
        report = run().report
        assert (report.virtual_only, report.unreachable, report.attention_entered) == (0, 1, 1)
        assert store.settings[B1].attention is Attention.UNREACHABLE
        assert store.settings[B1].attention_since == NOW

    def test_ends_when_a_device_is_back_and_can_begin_again(
        self, run: Run, store: MemoryStore, clock: FakeClock
    ) -> None:
        store.seed(business(virtual(left=99999), declared=settings()))
        run()
        clock.advance(RULES.attention_grace)
        run()
        store.add_real(real("c1", now=clock.now))
        assert run().report.virtual_only == 0
        assert store.settings[B1].attention is None
        assert store.settings[B1].attention_since is None
        store.remove_real(B1, ConnectionId("c1"))
        run()
        clock.advance(RULES.attention_grace)
        assert run().report.attention_entered == 1

    def test_never_changes_the_version_and_never_creates_settings(
        self, run: Run, store: MemoryStore
    ) -> None:
        store.seed(business(virtual(), declared=settings(version=7)))
        store.seed(
            business(virtual(business_id=BusinessId("unknown")), business_id=BusinessId("unknown"))
        )
        run()
        assert store.settings[B1].version == 7
        assert list(store.settings) == [B1]

    def test_is_marked_only_after_the_business_was_read_again(
        self, store: MemoryStore, sockets: FakeSockets, clock: FakeClock
    ) -> None:
        late_view = business(virtual(), declared=settings())
        store.seed(late_view, business(real("c1")))
        store.walk = lambda part, parts: iter([late_view] if part == 0 else [])  # type: ignore[method-assign] # late
        cleanup = make_cleanup(store, sockets, clock)
        report = cleanup.cleanup_all_connections(out_of_time=lambda: False).report
        assert store.settings[B1].attention is None
        assert report.active_real == 1


def test_a_run_that_is_out_of_time_stops_and_is_incomplete(
    store: MemoryStore, sockets: FakeSockets, clock: FakeClock
) -> None:
    store.seed(*(_one_device(i, seen=0) for i in range(10)))
    seen = 0

    def out_of_time() -> bool:
        nonlocal seen
        seen += 1
        return seen > 4

    cleanup = make_cleanup(store, sockets, clock)
    run = cleanup.cleanup_all_connections(out_of_time=out_of_time)
    assert not run.complete
    assert run.report.businesses == 4


def test_a_connection_that_cannot_be_removed_stops_nothing_and_the_run_is_complete(
    sockets: FakeSockets, clock: FakeClock
) -> None:
    class Failing(MemoryStore):
        def remove_real(
            self, business_id: BusinessId, connection_id: ConnectionId
        ) -> RealConnection | None:
            if connection_id == "c1":
                raise Unavailable("this one")
            return super().remove_real(business_id, connection_id)

    store = Failing()
    store.seed(*(_one_device(i, seen=400) for i in range(3)))
    cleanup = make_cleanup(store, sockets, clock)
    run = cleanup.cleanup_all_connections(out_of_time=lambda: False)
    assert run.complete
    assert (run.report.failed, run.report.gone, run.report.refused) == (1, 2, 0)
    assert _stored(store) == {"c1"}


def test_a_cleanup_of_one_business_leaves_the_others_alone(
    store: MemoryStore, sockets: FakeSockets, clock: FakeClock
) -> None:
    store.seed(
        business(real("c1", seen=400), virtual(left=-1), declared=settings()),
        _one_device(2, seen=400),
    )
    cleanup = make_cleanup(store, sockets, clock)
    run = cleanup.cleanup_business_connections(B1, out_of_time=lambda: False)
    assert (run.report.businesses, run.report.gone, run.report.expired) == (1, 1, 1)
    assert _stored(store) == {"c2"}


def test_every_call_of_the_gateway_is_paced(store: MemoryStore, clock: FakeClock) -> None:
    calls: list[str] = []

    class Recorded(FakeSockets):
        def probe(self, connection_id: ConnectionId) -> SocketAnswer:
            calls.append("probe")
            return super().probe(connection_id)

        def close(self, connection_id: ConnectionId) -> SocketAnswer:
            calls.append("close")
            return super().close(connection_id)

    store.seed(business(real("c1", seen=400), real("c2", seen=700)))
    cleanup = make_cleanup(store, Recorded(), clock, pace_calls=lambda: calls.append("pace"))
    cleanup.cleanup_all_connections(out_of_time=lambda: False)
    assert calls == ["pace", "probe", "pace", "close"]


class TestOutage:
    """A gateway that cannot tell anything: nothing is removed, and little time is lost."""

    def test_removes_nothing_counts_everything_and_stops_asking(
        self, run: Run, store: MemoryStore, sockets: FakeSockets
    ) -> None:
        store.seed(*(_one_device(i, seen=400 if i % 2 else 700) for i in range(400)))
        sockets.unknown |= _stored(store)
        found = run()
        assert found.complete
        assert len(store.real) == 400
        assert (found.report.unknown, found.report.gone, found.report.silent) == (400, 0, 0)
        assert len(sockets.probed) <= OUTAGE_AFTER + 16

    def test_claims_no_connection_that_cannot_be_closed(
        self, run: Run, store: MemoryStore, sockets: FakeSockets
    ) -> None:
        store.seed(*(_one_device(i, seen=700) for i in range(400)))
        sockets.unknown |= _stored(store)
        run(force=True)
        claimed = [c for c in store.real.values() if c.closing_at is not None]
        assert len(claimed) <= OUTAGE_AFTER + 16

    def test_a_few_failures_among_answers_are_not_an_outage(
        self, run: Run, store: MemoryStore, sockets: FakeSockets
    ) -> None:
        store.seed(*(_one_device(i, seen=400) for i in range(400)))
        sockets.open |= _stored(store)
        sockets.unknown |= {f"c{i}" for i in range(0, 400, 3)}
        assert run().report.unknown == 134
        assert len(sockets.probed) == 400


def test_workers_share_the_store_without_gap_or_overlap(
    store: MemoryStore, sockets: FakeSockets, clock: FakeClock
) -> None:
    store.seed(*(_one_device(i, seen=0) for i in range(100)))
    cleanup = make_cleanup(store, sockets, clock)
    reports = [
        cleanup.cleanup_all_connections(out_of_time=lambda: False, share=Share(w, 3)).report
        for w in range(3)
    ]
    assert sum(report.businesses for report in reports) == 100
    assert sum(report.active_real for report in reports) == 100


def test_two_runs_at_once_do_no_harm_and_count_each_removal_once(
    store: MemoryStore, sockets: FakeSockets, clock: FakeClock
) -> None:
    store.seed(
        *(_one_device(i, seen=0) for i in range(100)),
        *(business(virtual(business_id=b, left=-1), business_id=b) for b in _ids(100, 120)),
    )
    sockets.open |= _stored(store)
    cleanup = make_cleanup(store, sockets, clock)
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = [
            pool.submit(cleanup.cleanup_all_connections, out_of_time=lambda: False)
            for _ in range(2)
        ]
    assert sum(run.result().report.expired for run in runs) == 20
    assert len(store.real) == 100
    assert not store.virtual


def test_memory_does_not_grow_with_the_store(sockets: FakeSockets, clock: FakeClock) -> None:
    held: set[int] = set()
    most = 0

    class Streaming(MemoryStore):
        def walk(self, part: int, parts: int) -> Iterator[Business]:
            nonlocal most
            for number in range(part, 4000, parts):
                held.add(number)
                most = max(most, len(held))
                yield _one_device(number, seen=400)

    class Answering(FakeSockets):
        def probe(self, connection_id: ConnectionId) -> SocketAnswer:
            held.discard(int(connection_id.removeprefix("c")))
            return SocketAnswer.OK

    cleanup = make_cleanup(Streaming(), Answering(), clock)
    report = cleanup.cleanup_all_connections(out_of_time=lambda: False).report
    assert report.probed == 4000
    assert most <= 100


def _ids(first: int, last: int) -> list[BusinessId]:
    return [BusinessId(f"b{number}") for number in range(first, last)]


class TestUnexpectedErrors:
    @pytest.mark.parametrize("error", [Conflict("in progress"), PermissionError("PutItem")])
    def test_a_census_that_cannot_be_recorded_loses_no_report(
        self, clock: FakeClock, error: Exception
    ) -> None:
        class Full(MemoryStore):
            def record_census(self, census: Census) -> None:
                raise error

        store = Full()
        store.seed(business(virtual(left=-1), declared=settings()))
        run = make_cleanup(store, FakeSockets(), clock).cleanup_all_connections(out_of_time=in_time)
        assert run.report.expired == 1

    def test_a_census_that_cannot_be_read_stops_no_run(self, clock: FakeClock) -> None:
        class Unread(MemoryStore):
            def last_censuses(self) -> Any:
                raise PermissionError("Query on CENSUS")

        store = Unread()
        reports: list[AttentionReport] = []
        mark = {"attention": Attention.UNREACHABLE, "attention_since": NOW - 400}
        store.seed(business(declared=settings(**mark)))
        run = make_cleanup(
            store, FakeSockets(), clock, report_attention=reports.append
        ).cleanup_all_connections(out_of_time=in_time)
        assert run.error is not None
        assert len(reports) == 1
