"""What the domain expects of a store. The suite runs on the fake and on real DynamoDB APIs."""

import base64
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from lambdas.adapters.table import Table
from lambdas.domain.errors import Conflict, InvalidValue, Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId, DeviceId, UserId
from lambdas.domain.model import ActingAs, Attention, Census, Episode, Pause, Ticket
from lambdas.domain.rules import CLAIM_HOLDS
from lambdas.handlers import cursors
from lambdas.use_cases.ports import Store
from tests.builders import (
    B1,
    CLOSED,
    NOW,
    OPEN,
    U1,
    business,
    hours,
    real,
    settings,
    virtual,
)
from tests.dynamodb import create_table
from tests.fakes import MemoryStore

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

B2 = BusinessId("b2")
C1 = ConnectionId("c1")


ENGINES = ["memory", "ministack"]
if "DYNAMODB_LOCAL_URL" in os.environ:
    ENGINES.append("dynamodb_local")


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore()
    client: DynamoDBClient = request.getfixturevalue(request.param)
    return Table(client, create_table(client))


def test_an_unknown_business_is_empty(store: Store) -> None:
    assert store.load(B1) == business()
    assert store.load(B1, consistent=False) == business()


def test_everything_that_is_written_is_read_back(store: Store) -> None:
    store.write_settings(business(), settings(expects_socket=False), put=[virtual("auth0|7~#%")])
    store.add_real(real("O9oRTfeAoAMCK6g=", user_agent="Till/4.2 (Android 14)"))
    store.add_real(real("VIRTUAL", user_id=UserId("auth0|8")))
    expected = business(
        real("O9oRTfeAoAMCK6g=", user_agent="Till/4.2 (Android 14)"),
        real("VIRTUAL", user_id=UserId("auth0|8")),
        virtual("auth0|7~#%"),
        declared=settings(expects_socket=False),
    )
    assert store.load(B1) == expected
    assert store.load(B2) == business(business_id=B2)


def test_a_connection_finds_its_business(store: Store) -> None:
    store.add_real(real("c2", business_id=B2))
    assert store.find_business(ConnectionId("c2")) == B2
    assert store.find_business(C1) is None


def test_removing_returns_what_was_there(store: Store) -> None:
    stored = real("c1", user_agent="Till/4.2", device_id=DeviceId("till-1"), ping_interval=300)
    store.add_real(stored)
    assert store.remove_real(B1, C1) == stored
    assert store.remove_real(B1, C1) is None
    assert store.load(B1) == business()


class TestRefresh:
    def test_updates_what_is_there(self, store: Store) -> None:
        store.add_real(real("c1", seen=100, user_agent="Till/4.2"))
        heard = store.refresh_real(B1, C1, NOW)
        assert heard == real(
            "c1",
            seen=0,
            connected_at=NOW - 1800,
            expires_at=NOW - 1800 + 7800,
            messages=1,
            user_agent="Till/4.2",
        )
        assert store.load(B1).real == (heard,)

    def test_keeps_the_ping_interval_unless_there_is_a_new_one(self, store: Store) -> None:
        store.add_real(real("c1", ping_interval=300))
        assert _told(store, None) == 300
        assert _told(store, 60) == 60
        assert _told(store, None) == 60

    def test_creates_nothing(self, store: Store) -> None:
        assert store.refresh_real(B1, C1, NOW) is None
        assert store.load(B1) == business()

    def test_is_refused_while_a_claim_holds(self, store: Store) -> None:
        store.add_real(real("c1", seen=700))
        assert store.claim_real(real("c1", seen=700), NOW)
        assert store.refresh_real(B1, C1, NOW + CLAIM_HOLDS - 1) is None
        heard = store.refresh_real(B1, C1, NOW + CLAIM_HOLDS)
        assert heard is not None
        assert heard.closing_at is None


class TestMessagesOfAMinute:
    def test_are_counted_from_one_in_each_minute(self, store: Store) -> None:
        store.add_real(real("c1"))
        assert store.load(B1).real[0].messages == 0
        minute = NOW - NOW % 60
        assert [_heard(store, minute + second) for second in (0, 30, 59)] == [1, 2, 3]
        assert [_heard(store, minute + second) for second in (60, 61)] == [1, 2]

    def test_of_two_minutes_are_never_added_up_however_far_apart(self, store: Store) -> None:
        for gap in range(1, 25):
            store.add_real(real("c1"))
            later = NOW + gap * 60
            assert [_heard(store, NOW) for _ in range(3)] == [1, 2, 3]
            # A minute of an earlier round may be counted too low, but never too high.
            assert all(_heard(store, later) <= sent for sent in (1, 2, 3))
            assert _heard(store, later + 60) == 1

    def test_are_not_counted_too_high_if_clocks_differ(self, store: Store) -> None:
        store.add_real(real("c1"))
        minute = NOW - NOW % 60
        for second in (59, 60, 59, 60, 59, 60):
            assert _heard(store, minute + second) == 1

    def test_that_come_at_the_same_time_are_all_counted(self, store: Store) -> None:
        store.add_real(real("c1"))
        with ThreadPoolExecutor(8) as pool:
            counted = list(pool.map(lambda _: _heard(store, NOW), range(24)))
        assert sorted(counted) == list(range(1, 25))


def _told(store: Store, ping_interval: int | None) -> int | None:
    store.refresh_real(B1, C1, NOW, ping_interval=ping_interval)
    return store.load(B1).real[0].ping_interval


def _heard(store: Store, now: int) -> int:
    connection = store.refresh_real(B1, C1, now)
    assert connection is not None
    return connection.messages


class TestClaim:
    def test_is_lost_to_a_client_that_was_heard_from(self, store: Store) -> None:
        store.add_real(real("c1", seen=700))
        store.refresh_real(B1, C1, NOW)
        assert not store.claim_real(real("c1", seen=700), NOW)
        assert store.load(B1).real[0].closing_at is None

    def test_creates_nothing(self, store: Store) -> None:
        assert not store.claim_real(real("c1"), NOW)
        assert store.load(B1) == business()

    def test_can_be_taken_again(self, store: Store) -> None:
        store.add_real(real("c1", seen=700))
        assert store.claim_real(real("c1", seen=700), NOW)
        assert store.claim_real(real("c1", seen=700), NOW + 300)
        assert store.load(B1).real[0].closing_at == NOW + 300


class TestAvailability:
    def test_is_written_completely_or_not_at_all(self, store: Store) -> None:
        store.write_settings(business(), settings(), put=[virtual("u1"), virtual("u2")])
        late = business()
        with pytest.raises(Conflict):
            store.write_settings(late, settings(), put=[virtual("u3")])
        with pytest.raises(Conflict):
            store.write_settings(late, settings(version=2), remove=[virtual("u1")])
        assert store.load(B1) == business(virtual("u1"), virtual("u2"), declared=settings())

    def test_ninety_virtual_connections_go_in_one_transaction(self, store: Store) -> None:
        many = [virtual(f"u{i:02}") for i in range(90)]
        store.write_settings(business(), settings(), put=many)
        full = store.load(B1)
        assert full.virtual == tuple(many)
        store.write_settings(full, settings(version=2), remove=full.virtual)
        assert store.load(B1) == business(declared=settings(version=2))

    def test_all_virtual_connections_go_however_many_somebody_stored(self, store: Store) -> None:
        before = full = business()
        for part in range(3):
            some = [virtual(f"u{part}{i:02}", left=100 * part + i) for i in range(90)]
            before, full = full, business(*full.virtual, *some, declared=settings(version=part + 1))
            store.write_settings(before, settings(version=part + 1), put=some)
        assert store.load(B1) == full
        # A user renews the lease that ends first, after the others were read.
        renewed = virtual("u000")
        store.write_settings(full, settings(version=4), put=[renewed])
        with pytest.raises(Conflict):
            store.write_settings(full, settings(version=4, available=False), remove=full.virtual)
        stored = store.load(B1)
        assert stored.settings == settings(version=4)
        assert renewed in stored.virtual
        assert full.virtual[-1] in stored.virtual
        store.write_settings(stored, settings(version=5), remove=stored.virtual)
        assert store.load(B1) == business(declared=settings(version=5))

    def test_keeps_the_mark_of_an_episode_even_if_it_was_set_meanwhile(self, store: Store) -> None:
        store.write_settings(business(), settings())
        before = store.load(B1)
        store.mark_episode(before, Episode(Attention.UNREACHABLE, NOW, reported=True))
        store.write_settings(before, settings(version=2), put=[virtual()])
        assert store.load(B1).settings == settings(
            version=2, episode=Episode(Attention.UNREACHABLE, NOW, reported=True)
        )

    def test_clears_the_mark_of_an_episode_when_it_is_told_to(self, store: Store) -> None:
        store.write_settings(business(), settings())
        before = store.load(B1)
        store.mark_episode(before, Episode(Attention.UNREACHABLE, NOW, reported=True))
        store.write_settings(before, settings(version=2), clear_episode=True)
        assert store.load(B1).settings == settings(version=2)

    def test_of_many_writers_that_read_the_same_version_one_succeeds(self, store: Store) -> None:
        store.write_settings(business(), settings())
        before = store.load(B1)
        outcomes: list[str] = []

        def write(user: str) -> None:
            declared = settings(version=2, updated_by=UserId(user))
            try:
                store.write_settings(before, declared, put=[virtual(user)])
                outcomes.append(user)
            except (Conflict, Unavailable):
                pass

        threads = [threading.Thread(target=write, args=(f"u{i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 1
        assert [c.user_id for c in store.load(B1).virtual] == outcomes


class TestExpiry:
    def test_removes_a_lease_that_is_over(self, store: Store) -> None:
        store.write_settings(business(), settings(), put=[virtual(left=0)])
        assert store.remove_expired_virtual(virtual(left=0), NOW)
        assert not store.load(B1).virtual

    def test_keeps_a_lease_that_was_renewed(self, store: Store) -> None:
        store.write_settings(business(), settings(), put=[virtual(left=10)])
        assert not store.remove_expired_virtual(virtual(left=-1), NOW)
        assert store.load(B1).virtual == (virtual(left=10),)

    def test_returns_false_if_there_is_nothing(self, store: Store) -> None:
        assert not store.remove_expired_virtual(virtual(left=-1), NOW)


class TestAttention:
    def test_is_set_changed_and_cleared_without_a_new_version(self, store: Store) -> None:
        store.write_settings(business(), settings())
        for episode in (
            Episode(Attention.VIRTUAL_ONLY, NOW),
            Episode(Attention.UNREACHABLE, NOW, reported=True),
        ):
            assert store.mark_episode(store.load(B1), episode)
            assert store.load(B1).settings == settings(episode=episode)
        assert store.mark_episode(store.load(B1), None)
        assert store.load(B1).settings == settings()

    def test_is_not_written_if_the_settings_changed(self, store: Store) -> None:
        store.write_settings(business(), settings())
        before = store.load(B1)
        store.write_settings(before, settings(version=2))
        assert not store.mark_episode(before, Episode(Attention.UNREACHABLE, NOW))
        assert store.load(B1).settings == settings(version=2)

    def test_of_two_runs_only_one_begins_an_episode(self, store: Store) -> None:
        store.write_settings(business(), settings())
        read = store.load(B1)
        assert store.mark_episode(read, Episode(Attention.UNREACHABLE, NOW))
        assert not store.mark_episode(read, Episode(Attention.UNREACHABLE, NOW + 1))

    @pytest.mark.parametrize("episode", [None, Episode(Attention.UNREACHABLE, NOW, reported=True)])
    def test_a_late_run_does_not_touch_the_mark_of_another_episode(
        self, store: Store, episode: Episode | None
    ) -> None:
        store.write_settings(business(), settings())
        store.mark_episode(store.load(B1), Episode(Attention.UNREACHABLE, NOW, reported=True))
        late = store.load(B1)
        store.mark_episode(late, None)
        store.mark_episode(store.load(B1), Episode(Attention.UNREACHABLE, NOW + 60))
        assert not store.mark_episode(late, episode)
        assert store.load(B1).settings == settings(episode=Episode(Attention.UNREACHABLE, NOW + 60))

    def test_creates_no_settings(self, store: Store) -> None:
        for gone in (business(), business(declared=settings())):
            assert not store.mark_episode(gone, Episode(Attention.UNREACHABLE, NOW))
        assert store.load(B1) == business()


@pytest.mark.parametrize("parts", [1, 4])
def test_walking_all_parts_yields_every_business_once_and_whole(store: Store, parts: int) -> None:
    expected = {}
    for number in range(20):
        business_id = BusinessId(f"b{number:02}")
        lease = virtual(business_id=business_id)
        store.write_settings(
            business(business_id=business_id), settings(version=number + 1), put=[lease]
        )
        devices = [real(f"c{number}-{i}", business_id=business_id) for i in range(3)]
        for device in devices:
            store.add_real(device)
        expected[business_id] = business(
            *devices, lease, declared=settings(version=number + 1), business_id=business_id
        )
    seen = [found for part in range(parts) for found in store.walk(part, parts)]
    assert len(seen) == 20
    assert {found.business_id: found for found in seen} == expected


def test_similar_user_ids_have_different_keys(store: Store) -> None:
    leases = [virtual(user) for user in ("a", "a~", "a#b", "a%7E", "a/b", "A", "á", "a%C3")]
    leases.append(virtual("é" * 127))
    store.write_settings(business(), settings(updated_by=U1), put=leases)
    stored = store.load(B1).virtual
    assert sorted(stored, key=str) == sorted(leases, key=str)


def test_a_pause_is_written_without_touching_connections_and_cleared_again(store: Store) -> None:
    store.write_settings(business(), settings(), put=[virtual()])
    paused = settings(version=2, pause=Pause(NOW + 60, "busy"))
    store.write_settings(store.load(B1), paused)
    assert store.load(B1) == business(virtual(), declared=paused)
    store.write_settings(store.load(B1), settings(version=3))
    assert store.load(B1) == business(virtual(), declared=settings(version=3))
    with pytest.raises(Conflict):
        store.write_settings(business(declared=settings(version=2)), settings(version=3))


FULL_DAY = [(f"{n:02}:07", f"{n:02}:53") for n in range(10)]
ALL_OPTIONAL: dict[str, Any] = {
    "updated_as": ActingAs.BACKEND,
    "declared_by": UserId("auth0|7~#%"),
    "pause": Pause(NOW + 60, "no device since noon, “ring” them", UserId("o1"), by_operator=True),
    "opening_hours": hours(
        *FULL_DAY,
        zone="America/Argentina/ComodRivadavia",
        exceptions={f"2{n:03}-01-01": [list(each) for each in FULL_DAY] for n in range(100)},
    ),
}
"""Every attribute that the settings can lack, and the largest opening hours."""


@pytest.mark.parametrize("leases", [0, 1], ids=["one write", "a transaction"])
@pytest.mark.parametrize("name", ALL_OPTIONAL)
def test_each_optional_setting_is_written_read_back_and_removed(
    store: Store, name: str, leases: int
) -> None:
    absent = {**dict.fromkeys(ALL_OPTIONAL), "updated_as": ActingAs.MEMBER}
    lease = [virtual()] * leases
    with_all = settings(**ALL_OPTIONAL)
    store.write_settings(business(), with_all, put=lease)
    assert store.load(B1).settings == with_all
    with_one = settings(version=2, **{**absent, name: ALL_OPTIONAL[name]})
    store.write_settings(store.load(B1), with_one, put=lease)
    assert store.load(B1).settings == with_one
    without = settings(version=3, **absent)
    store.write_settings(store.load(B1), without, put=lease)
    assert store.load(B1).settings == without


@pytest.mark.parametrize("opening", [OPEN, CLOSED, hours(("22:00", "04:00"), zone="Asia/Tokyo")])
def test_opening_hours_are_kept_with_the_mark_of_an_episode(store: Store, opening: Any) -> None:
    store.write_settings(business(), settings(opening_hours=opening))
    store.mark_episode(store.load(B1), Episode(Attention.UNREACHABLE, NOW))
    assert store.load(B1).settings == settings(
        opening_hours=opening, episode=Episode(Attention.UNREACHABLE, NOW)
    )
    assert [found.settings for found in store.walk(0, 1)] == [store.load(B1).settings]


class TestCensus:
    def test_the_last_one_of_each_worker_is_kept(self, store: Store) -> None:
        assert list(store.last_censuses()) == []
        store.record_census(Census(worker=0, workers=2, real=7, taken_at=NOW))
        store.record_census(Census(worker=1, workers=2, real=8, taken_at=NOW))
        store.record_census(Census(worker=0, workers=2, real=9, taken_at=NOW + 300))
        assert sorted(census.real for census in store.last_censuses()) == [8, 9]
        assert list(store.walk(0, 1)) == []


class TestTickets:
    def test_one_is_taken_once(self, store: Store) -> None:
        ticket = Ticket(B1, UserId("auth0|7"), expires_at=NOW + 60)
        store.add_ticket("digest", ticket)
        assert store.take_ticket("digest", NOW) == ticket
        assert store.take_ticket("digest", NOW) is None

    def test_an_expired_one_is_not_taken_though_it_is_still_stored(self, store: Store) -> None:
        store.add_ticket("digest", Ticket(B1, U1, expires_at=NOW))
        assert store.take_ticket("digest", NOW) is None

    def test_an_unknown_one_is_none(self, store: Store) -> None:
        assert store.take_ticket("digest", NOW) is None

    def test_of_many_that_try_at_once_exactly_one_gets_it(self, store: Store) -> None:
        for number in range(5):
            digest = f"digest-{number}"
            store.add_ticket(digest, Ticket(B1, U1, expires_at=NOW + 60))
            with ThreadPoolExecutor(max_workers=8) as pool:
                taken = list(pool.map(lambda _, d=digest: store.take_ticket(d, NOW), range(8)))
            assert len([ticket for ticket in taken if ticket]) == 1

    def test_a_walk_does_not_yield_them(self, store: Store) -> None:
        store.add_ticket("digest", Ticket(B1, U1, expires_at=NOW + 60))
        assert list(store.walk(0, 1)) == []


class TestAttentionList:
    def test_lists_the_longest_first_page_by_page(self, store: Store) -> None:
        for number in range(5):
            business_id = BusinessId(f"b{number}")
            store.write_settings(business(business_id=business_id), settings())
            episode = Episode(Attention.VIRTUAL_ONLY, NOW - number)
            store.mark_episode(store.load(business_id), episode)
        first = store.list_attention(Attention.VIRTUAL_ONLY, limit=3)
        assert [entry.business_id for entry in first] == ["b4", "b3", "b2"]
        rest = store.list_attention(Attention.VIRTUAL_ONLY, limit=3, after=first[-1])
        assert [(e.business_id, e.since) for e in rest] == [("b1", NOW - 1), ("b0", NOW)]
        assert not store.list_attention(Attention.UNREACHABLE, limit=3)

    def test_leaves_out_businesses_that_need_it_no_longer(self, store: Store) -> None:
        store.write_settings(business(), settings())
        store.mark_episode(store.load(B1), Episode(Attention.UNREACHABLE, NOW, reported=True))
        store.mark_episode(store.load(B1), None)
        assert not store.list_attention(Attention.UNREACHABLE, limit=3)


_NUMBERS = st.from_regex(r"\A-?[0-9]{1,45}(\.[0-9]{1,45})?(E[+-]?[0-9]{1,4})?\Z") | st.builds(
    "{}{}".format, st.sampled_from(["1E+", "-9.9E+", "1E-", "1E"]), st.integers(120, 140)
)


@settings_of_hypothesis(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("9" * 39)
@example("1E+126")
@example("1E-131")
@example("1E+99")
@given(_NUMBERS)
def test_a_forged_cursor_is_refused_or_answered(store: Store, position: str) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps([position, "b1"]).encode()).decode()
    try:
        after = cursors.decode(cursor)
    except InvalidValue:
        return
    assert store.list_attention(Attention.UNREACHABLE, limit=5, after=after) == []
