"""The cleanup: what it removes, what it keeps, and what it counts."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from lambdas.domain.cleanup_report import CleanupReport
from lambdas.domain.errors import Conflict, Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.model import Attention, Business, Episode, Instant, RealConnection
from lambdas.use_cases.attention import AttentionReport
from lambdas.use_cases.circuit_breaker import OUTAGE_AFTER
from lambdas.use_cases.cleanup import Share
from lambdas.use_cases.cleanup_run import MAX_NAMED
from lambdas.use_cases.ports import SocketAnswer
from tests.builders import (
    B1,
    NOW,
    RULES,
    FakeClock,
    business,
    clean_up,
    devices,
    in_time,
    make_cleanup,
    real,
    settings,
    virtual,
)
from tests.fakes import FakeSockets, MemoryStore, failing_store


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
    clean_up(store, sockets)
    assert ("c1" in _stored(store)) is stays
    assert bool(sockets.probed) is probed
    assert ("c1" in sockets.open) is (is_open and stays)


def test_nothing_is_removed_if_the_gateway_cannot_tell(
    store: MemoryStore, sockets: FakeSockets
) -> None:
    store.seed(business(real("quiet", seen=400), real("silent", seen=700), declared=settings()))
    sockets.unknown |= {"quiet", "silent"}
    report = clean_up(store, sockets).report
    assert _stored(store) == {"quiet", "silent"}
    assert (report.unknown, report.gone, report.silent) == (2, 0, 0)


def test_a_ping_that_comes_in_before_the_claim_wins(sockets: FakeSockets) -> None:
    class PingedMeanwhile(MemoryStore):
        def claim_real(self, connection: RealConnection, now: Instant) -> bool:
            self.refresh_real(connection.business_id, connection.connection_id, now)
            return super().claim_real(connection, now)

    store = PingedMeanwhile()
    store.seed(business(real("c1", seen=700), declared=settings()))
    sockets.open.add("c1")
    assert clean_up(store, sockets).report.silent == 0
    assert "c1" in sockets.open
    assert _stored(store) == {"c1"}


def test_a_connection_that_sent_nothing_since_its_handshake_is_probed_after_a_minute(
    store: MemoryStore,
) -> None:
    # Its handshake may have failed after it was stored.
    store.seed(business(real("failed", seen=60, age=60), real("new", seen=59, age=59)))
    report = clean_up(store).report
    assert (report.probed, report.gone, report.too_young) == (1, 1, 1)
    assert [connection for _, connection in store.real] == ["new"]


def test_an_expired_virtual_connection_is_removed_unless_it_was_renewed_meanwhile(
    store: MemoryStore,
) -> None:
    stale_view = business(virtual("renewed", left=-1), virtual("expired", left=-1))
    store.seed(stale_view, business(virtual("renewed", left=100)))
    stale_walk = iter([stale_view])
    store.walk = lambda part, parts: stale_walk if part == 0 else iter(())  # type: ignore[method-assign] # a late view
    report = clean_up(store).report
    assert [user for _, user in store.virtual] == ["renewed"]
    assert report.expired == 1


def test_the_report_counts_what_is_stored_done_and_active(
    store: MemoryStore, sockets: FakeSockets
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
    found = clean_up(store, sockets)
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
        closed=1,
    )


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    store: MemoryStore, sockets: FakeSockets
) -> None:
    before = business(
        real("gone", seen=400), real("silent", seen=700), virtual(left=-1), declared=settings()
    )
    store.seed(before)
    sockets.open.add("silent")
    report = clean_up(store, sockets, dry_run=True).report
    assert (report.gone, report.silent, report.expired) == (1, 1, 1)
    assert store.load(B1) == before
    assert sockets.open == {"silent"}


def test_a_run_names_the_connections_that_it_removed_and_why(
    store: MemoryStore, sockets: FakeSockets
) -> None:
    gone = real("gone", seen=400, user_agent="Till/4.2")
    silent = real("silent", seen=700, user_agent="Till/4.1")
    store.seed(business(gone, silent, real("alive"), real("unsure", seen=400)))
    sockets.unknown.add("unsure")
    assert clean_up(store, sockets, dry_run=True).removed == ()
    removed = clean_up(store, sockets).removed
    assert sorted(removed, key=str) == [(gone, "gone"), (silent, "silent")]
    assert clean_up(store, sockets).removed == ()


def test_a_run_names_at_most_500_of_the_connections_that_it_removed(store: MemoryStore) -> None:
    store.seed(*devices(range(MAX_NAMED + 50), seen=400))
    found = clean_up(store, force=True)
    assert found.report.gone == MAX_NAMED + 50
    # The threads of a run do not wait for each other to add one more.
    assert MAX_NAMED <= len(found.removed) < MAX_NAMED + 50


class TestAttention:
    """Which businesses need attention, since when, and when they are reported."""

    def test_is_reported_once_after_the_grace_period(
        self, store: MemoryStore, clock: FakeClock
    ) -> None:
        store.seed(business(virtual(left=99999), declared=settings()))
        first = clean_up(store, clock=clock).report
        assert store.settings[B1].episode == Episode(Attention.VIRTUAL_ONLY, NOW)
        assert (first.virtual_only, first.attention_entered) == (0, 0)
        clock.advance(RULES.attention_grace)
        second = clean_up(store, clock=clock).report
        assert (second.virtual_only, second.attention_entered) == (1, 1)
        assert clean_up(store, clock=clock).attention_reports == (
            AttentionReport(B1, Attention.VIRTUAL_ONLY, RULES.attention_grace),
        )
        clock.advance(60)
        third = clean_up(store, clock=clock).report
        assert (third.virtual_only, third.attention_entered) == (1, 0)

    def test_continues_when_the_lease_ends(self, store: MemoryStore, clock: FakeClock) -> None:
        store.seed(business(virtual(left=400), declared=settings()))
        clean_up(store, clock=clock)
        clock.advance(400)
        report = clean_up(store, clock=clock).report
        assert (report.virtual_only, report.unreachable, report.attention_entered) == (0, 1, 1)
        assert store.settings[B1].episode == Episode(Attention.UNREACHABLE, NOW, reported=True)

    def test_ends_when_a_device_is_back_and_can_begin_again(
        self, store: MemoryStore, clock: FakeClock
    ) -> None:
        store.seed(business(virtual(left=99999), declared=settings()))
        clean_up(store, clock=clock)
        clock.advance(RULES.attention_grace)
        clean_up(store, clock=clock)
        store.add_real(real("c1", now=clock.now))
        assert clean_up(store, clock=clock).report.virtual_only == 0
        assert store.settings[B1].episode is None
        store.remove_real(B1, ConnectionId("c1"))
        clean_up(store, clock=clock)
        clock.advance(RULES.attention_grace)
        assert clean_up(store, clock=clock).report.attention_entered == 1

    def test_never_changes_the_version_and_never_creates_settings(self, store: MemoryStore) -> None:
        store.seed(business(virtual(), declared=settings(version=7)))
        store.seed(
            business(virtual(business_id=BusinessId("unknown")), business_id=BusinessId("unknown"))
        )
        clean_up(store)
        assert store.settings[B1].version == 7
        assert list(store.settings) == [B1]

    def test_is_marked_only_after_the_business_was_read_again(self, store: MemoryStore) -> None:
        late_view = business(virtual(), declared=settings())
        store.seed(late_view, business(real("c1")))
        store.walk = lambda part, parts: iter([late_view] if part == 0 else [])  # type: ignore[method-assign] # late
        assert clean_up(store).report.active_real == 1
        assert store.settings[B1].episode is None


def test_a_run_that_is_out_of_time_stops_and_is_incomplete(store: MemoryStore) -> None:
    store.seed(*devices(range(10), seen=0))
    asked = count(1)
    run = clean_up(store, out_of_time=lambda: next(asked) > 4)
    assert not run.complete
    assert run.report.businesses == 4


def test_a_connection_that_cannot_be_removed_stops_nothing_and_the_run_is_complete() -> None:
    class Failing(MemoryStore):
        def remove_real(
            self, business_id: BusinessId, connection_id: ConnectionId
        ) -> RealConnection | None:
            if connection_id == "c1":
                raise Unavailable("this one")
            return super().remove_real(business_id, connection_id)

    store = Failing()
    store.seed(*devices(range(3), seen=400))
    run = clean_up(store)
    assert run.complete
    assert (run.report.failed, run.report.gone, run.report.refused) == (1, 2, 0)
    assert _stored(store) == {"c1"}


def test_a_cleanup_of_one_business_leaves_the_others_alone(store: MemoryStore) -> None:
    store.seed(
        business(real("c1", seen=400), virtual(left=-1), declared=settings()),
        *devices([2], seen=400),
    )
    run = make_cleanup(store).cleanup_business_connections(B1, out_of_time=in_time)
    assert (run.report.businesses, run.report.gone, run.report.expired) == (1, 1, 1)
    assert _stored(store) == {"c2"}


def test_every_call_of_the_gateway_is_paced(store: MemoryStore) -> None:
    calls: list[str] = []

    class Recorded(FakeSockets):
        def probe(self, connection_id: ConnectionId) -> SocketAnswer:
            calls.append("probe")
            return super().probe(connection_id)

        def close(self, connection_id: ConnectionId) -> SocketAnswer:
            calls.append("close")
            return super().close(connection_id)

    store.seed(business(real("c1", seen=400), real("c2", seen=700)))
    cleanup = make_cleanup(store, Recorded(), pace_calls=lambda: calls.append("pace"))
    cleanup.cleanup_all_connections(out_of_time=in_time)
    assert calls == ["pace", "probe", "pace", "close"]


class TestOutage:
    """A gateway that cannot tell anything: nothing is removed, and little time is lost."""

    def test_removes_nothing_counts_everything_and_stops_asking(
        self, store: MemoryStore, sockets: FakeSockets
    ) -> None:
        store.seed(*devices(range(0, 400, 2), seen=700), *devices(range(1, 400, 2), seen=400))
        sockets.unknown |= _stored(store)
        found = clean_up(store, sockets)
        assert found.complete
        assert len(store.real) == 400
        assert (found.report.unknown, found.report.gone, found.report.silent) == (400, 0, 0)
        assert len(sockets.probed) <= OUTAGE_AFTER + 16

    def test_claims_no_connection_that_cannot_be_closed(
        self, store: MemoryStore, sockets: FakeSockets
    ) -> None:
        store.seed(*devices(range(400), seen=700))
        sockets.unknown |= _stored(store)
        clean_up(store, sockets, force=True)
        claimed = [c for c in store.real.values() if c.closing_at is not None]
        assert len(claimed) <= OUTAGE_AFTER + 16

    def test_a_few_failures_among_answers_are_not_an_outage(
        self, store: MemoryStore, sockets: FakeSockets
    ) -> None:
        store.seed(*devices(range(400), seen=400))
        sockets.open |= _stored(store)
        sockets.unknown |= {f"c{i}" for i in range(0, 400, 3)}
        assert clean_up(store, sockets).report.unknown == 134
        assert len(sockets.probed) == 400


def test_workers_share_the_store_without_gap_or_overlap(store: MemoryStore) -> None:
    store.seed(*devices(range(100), seen=0))
    reports = [clean_up(store, share=Share(worker, 3)).report for worker in range(3)]
    assert sum(report.businesses for report in reports) == 100
    assert sum(report.active_real for report in reports) == 100


def test_two_runs_at_once_do_no_harm_and_count_each_removal_once(
    store: MemoryStore, sockets: FakeSockets
) -> None:
    leased = (BusinessId(f"leased-{n}") for n in range(20))
    store.seed(
        *devices(range(100), seen=0),
        *(business(virtual(business_id=b, left=-1), business_id=b) for b in leased),
    )
    sockets.open |= _stored(store)
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = [pool.submit(clean_up, store, sockets) for _ in range(2)]
    assert sum(run.result().report.expired for run in runs) == 20
    assert len(store.real) == 100
    assert not store.virtual


def test_memory_does_not_grow_with_the_store() -> None:
    held: set[int] = set()
    most = 0

    class Streaming(MemoryStore):
        def walk(self, part: int, parts: int) -> Iterator[Business]:
            nonlocal most
            for number in range(part, 4000, parts):
                held.add(number)
                most = max(most, len(held))
                yield from devices([number], seen=400)

    class Answering(FakeSockets):
        def probe(self, connection_id: ConnectionId) -> SocketAnswer:
            held.discard(int(connection_id.removeprefix("c")))
            return SocketAnswer.OK

    assert clean_up(Streaming(), Answering()).report.probed == 4000
    assert most <= 100


class TestUnexpectedErrors:
    @pytest.mark.parametrize("error", [Conflict("in progress"), PermissionError("PutItem")])
    def test_a_census_that_cannot_be_recorded_loses_no_report(self, error: Exception) -> None:
        store = failing_store(error, "record_census")
        store.seed(business(virtual(left=-1), declared=settings()))
        assert clean_up(store).report.expired == 1

    def test_a_census_that_cannot_be_read_stops_no_run(self) -> None:
        store = failing_store(PermissionError("Query on CENSUS"), "last_censuses")
        reports: list[AttentionReport] = []
        mark = {"episode": Episode(Attention.UNREACHABLE, NOW - 400)}
        store.seed(business(declared=settings(**mark)))
        assert clean_up(store, reports=reports).error is not None
        assert len(reports) == 1
