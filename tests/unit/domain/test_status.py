"""Whether a business is online, and why."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.domain.model import (
    Attention,
    Business,
    Episode,
    Pause,
    RealConnection,
    VirtualConnection,
)
from lambdas.domain.status import OverallStatus, ReasonCode, judge
from tests.builders import (
    CLOSED,
    NOW,
    OPEN,
    RULES,
    U1,
    at,
    business,
    hours,
    real,
    settings,
    virtual,
)


@pytest.mark.parametrize(
    ("accepting", "reals", "virtuals", "expected", "online"),
    [
        (True, 1, 0, "ONLINE", True),
        (True, 2, 3, "ONLINE", True),
        (True, 0, 1, "VIRTUAL_ONLY", True),
        (True, 0, 0, "UNREACHABLE", False),
        (False, 1, 0, "CONNECTED_NOT_ACCEPTING", False),
        (False, 1, 1, "CONNECTED_NOT_ACCEPTING", False),
        (False, 0, 1, "OFFLINE", False),
        (False, 0, 0, "OFFLINE", False),
        (None, 1, 1, "UNKNOWN", None),
        (None, 0, 0, "UNKNOWN", None),
    ],
)
def test_the_table_of_overall_statuses(
    accepting: bool | None, reals: int, virtuals: int, expected: str, online: bool | None
) -> None:
    connections: list[RealConnection | VirtualConnection] = [
        *(real(f"c{i}") for i in range(reals)),
        *(virtual(f"u{i}") for i in range(virtuals)),
    ]
    declared = None if accepting is None else settings(available=accepting)
    status = judge(business(*connections, declared=declared), NOW, RULES)
    assert (status.overall_status, status.online) == (expected, online)
    assert (status.real, status.virtual) == (reals, virtuals)


HOURS: dict[str, Any] = {"no hours": None, "open": OPEN, "closed": CLOSED}
PAUSES: dict[str, Pause | None] = {
    "no pause": None,
    "pause": Pause(NOW + 1, by=U1),
    "operator's pause": Pause(NOW + 1, by=U1, by_operator=True),
    "pause that is over": Pause(NOW, by=U1, by_operator=True),
}
_NOT_ACCEPTING = {
    # available, opening hours, pause: why orders are not accepted
    (True, "no hours", "no pause"): "",
    (True, "no hours", "pause"): "paused",
    (True, "no hours", "operator's pause"): "paused",
    (True, "no hours", "pause that is over"): "",
    (True, "open", "no pause"): "",
    (True, "open", "pause"): "paused",
    (True, "open", "operator's pause"): "paused",
    (True, "open", "pause that is over"): "",
    (True, "closed", "no pause"): "outside_opening_hours",
    (True, "closed", "pause"): "paused outside_opening_hours",
    (True, "closed", "operator's pause"): "paused outside_opening_hours",
    (True, "closed", "pause that is over"): "outside_opening_hours",
    (False, "no hours", "no pause"): "not_accepting_orders",
    (False, "no hours", "pause"): "not_accepting_orders paused",
    (False, "no hours", "operator's pause"): "not_accepting_orders paused",
    (False, "no hours", "pause that is over"): "not_accepting_orders",
    (False, "open", "no pause"): "not_accepting_orders",
    (False, "open", "pause"): "not_accepting_orders paused",
    (False, "open", "operator's pause"): "not_accepting_orders paused",
    (False, "open", "pause that is over"): "not_accepting_orders",
    (False, "closed", "no pause"): "not_accepting_orders outside_opening_hours",
    (False, "closed", "pause"): "not_accepting_orders paused outside_opening_hours",
    (False, "closed", "operator's pause"): "not_accepting_orders paused outside_opening_hours",
    (False, "closed", "pause that is over"): "not_accepting_orders outside_opening_hours",
}


@pytest.mark.parametrize(("reals", "virtuals"), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize(("available", "opening", "pause"), _NOT_ACCEPTING)
def test_orders_are_accepted_if_available_and_not_paused_and_within_opening_hours(
    available: bool, opening: str, pause: str, reals: int, virtuals: int
) -> None:
    declared = settings(available=available, opening_hours=HOURS[opening], pause=PAUSES[pause])
    connections: list[RealConnection | VirtualConnection] = [
        *[real()] * reals,
        *[virtual()] * virtuals,
    ]
    status = judge(business(*connections, declared=declared), NOW, RULES)
    why_not = _NOT_ACCEPTING[available, opening, pause].split()
    if why_not:
        expected = OverallStatus.CONNECTED_NOT_ACCEPTING if reals else OverallStatus.OFFLINE
        assert (status.overall_status, status.attention) == (expected, None)
    else:
        assert status.overall_status in ("ONLINE", "VIRTUAL_ONLY", "UNREACHABLE")
        assert (status.attention is None) is bool(reals)
    assert status.accepting_orders is (not why_not)
    codes = [reason.code.value for reason in status.reasons]
    assert codes[:-2] == (why_not or ["accepting_orders"])
    assert status.pause == (PAUSES[pause] if "paused" in why_not else None)


def test_opening_hours_are_judged_at_the_moment_of_the_read() -> None:
    shop = business(real(), declared=settings(opening_hours=hours(("09:00", "22:00"))))
    opens, closes = at("2027-01-15 09:00"), at("2027-01-15 22:00")
    expected = [
        # now, accepting orders, next change
        (opens - 1, False, opens),
        (opens, True, closes),
        (closes - 1, True, closes),
        (closes, False, opens + 86400),
    ]
    for now, accepting, change in expected:
        status = judge(shop, now, RULES)
        assert (status.accepting_orders, status.next_change_at) == (accepting, change)


@pytest.mark.parametrize(
    ("opening", "expected"),
    [
        (hours(("09:00", "22:00")), "until 2027-01-15T09:00:00Z (UTC)"),
        (CLOSED, "for more than 400 days (UTC)"),
    ],
)
def test_a_closed_business_says_until_when(opening: Any, expected: str) -> None:
    status = judge(business(declared=settings(opening_hours=opening)), NOW, RULES)
    assert status.reasons[0].detail == f"outside its opening hours {expected}"


@pytest.mark.parametrize("opening", [None, OPEN, CLOSED])
def test_hours_that_never_change_have_no_next_change(opening: Any) -> None:
    assert (
        judge(business(declared=settings(opening_hours=opening)), NOW, RULES).next_change_at is None
    )


def test_a_business_that_nobody_declared_has_no_hours_and_no_declarer() -> None:
    status = judge(business(), NOW, RULES)
    assert (status.next_change_at, status.declared_by, status.pause) == (None, None, None)


@pytest.mark.parametrize("available", [True, False])
def test_a_pause_says_who_until_when_and_why(available: bool) -> None:
    told = []
    for by_operator in (False, True):
        pause = Pause(NOW + 60, "busy", U1, by_operator)
        declared = settings(available=available, pause=pause)
        reasons = judge(business(declared=declared), NOW, RULES).reasons
        told += [r.detail for r in reasons if r.code is ReasonCode.PAUSED]
    assert told == [
        "paused by u1 until 2027-01-15T08:01:00Z: busy",
        "paused by u1, an operator, until 2027-01-15T08:01:00Z: busy",
    ]


def test_who_declared_it_is_not_who_changed_the_settings_last() -> None:
    declared = settings(declared_by="u1", updated_by="u2")
    assert judge(business(declared=declared), NOW, RULES).declared_by == "u1"


def test_attention_since_does_not_show_an_episode_from_before_the_business_was_closed() -> None:
    marked = settings(
        opening_hours=hours(("09:00", "22:00")),
        episode=Episode(Attention.UNREACHABLE, at("2027-01-15 21:50")),
    )
    shop = business(declared=marked)
    evening = judge(shop, at("2027-01-15 21:59"), RULES)
    assert evening.attention_since == at("2027-01-15 21:50")
    morning = judge(shop, at("2027-01-16 09:00"), RULES)
    assert (morning.attention, morning.attention_since) == (Attention.UNREACHABLE, None)


@pytest.mark.parametrize(
    ("connection", "counts"),
    [
        (real(seen=0), True),
        (real(seen=2 * 300 + 60), True),
        (real(seen=2 * 300 + 61), False),
        (real(expires_at=NOW), False),
        (real(expires_at=NOW + 1), True),
        (virtual(left=1), True),
        (virtual(left=0), False),
        (virtual(left=-86400), False),
    ],
)
def test_only_active_connections_count_whatever_is_still_stored(
    connection: RealConnection | VirtualConnection, counts: bool
) -> None:
    status = judge(business(connection, declared=settings()), NOW, RULES)
    assert status.online is counts


def test_a_pause_stops_accepting_and_ends_by_itself() -> None:
    paused = business(real(), declared=settings(pause=Pause(NOW, "busy")))
    before = judge(paused, NOW - 1, RULES)
    assert before.overall_status is OverallStatus.CONNECTED_NOT_ACCEPTING
    assert before.pause == Pause(NOW, "busy")
    assert before.reasons[0].code is ReasonCode.PAUSED
    assert "busy" in before.reasons[0].detail
    after = judge(paused, NOW, RULES)
    assert after.overall_status is OverallStatus.ONLINE
    assert after.pause is None


@pytest.mark.parametrize(
    ("connections", "changes", "expected"),
    [
        ([real()], {}, None),
        ([virtual()], {}, Attention.VIRTUAL_ONLY),
        ([], {}, Attention.UNREACHABLE),
        ([real(seen=700)], {}, Attention.UNREACHABLE),
        ([virtual()], {"expects_socket": False}, None),
        ([virtual()], {"available": False}, None),
        ([virtual()], {"pause": Pause(NOW + 1)}, None),
    ],
)
def test_needs_attention_when_orders_are_accepted_and_no_device_can_hear_them(
    connections: list[RealConnection | VirtualConnection],
    changes: dict[str, object],
    expected: Attention | None,
) -> None:
    status = judge(business(*connections, declared=settings(**changes)), NOW, RULES)
    assert status.attention is expected


def test_the_reasons_name_the_evidence() -> None:
    found = judge(business(real("c1", seen=700), virtual(left=-1), declared=settings()), NOW, RULES)
    assert [r.code for r in found.reasons] == [
        ReasonCode.ACCEPTING_ORDERS,
        ReasonCode.REAL_CONNECTION_SILENT,
        ReasonCode.VIRTUAL_CONNECTION_EXPIRED,
    ]
    assert "700 s ago" in found.reasons[1].detail
    assert found.last_seen_at == NOW - 700


_connections = st.lists(
    st.one_of(
        st.builds(
            real,
            st.text("abc123", min_size=1, max_size=4),
            seen=st.integers(-5, 9000),
            age=st.integers(0, 9000),
        ),
        st.builds(virtual, st.text("xyz", min_size=1, max_size=3), left=st.integers(-99999, 43200)),
    ),
    max_size=8,
)
_settings = st.none() | st.builds(
    settings,
    available=st.booleans(),
    expects_socket=st.booleans(),
    pause=st.none() | st.builds(Pause, st.integers(NOW - 100, NOW + 100)),
    opening_hours=st.sampled_from([None, OPEN, CLOSED, hours(("08:00", "09:00"))]),
)
_businesses = st.builds(lambda c, s: business(*c, declared=s), _connections, _settings)


@given(_businesses)
def test_online_means_exactly_that_orders_are_accepted_and_a_connection_is_active(
    found: Business,
) -> None:
    status = judge(found, NOW, RULES)
    if found.settings is None:
        assert status.online is None
        return
    reachable = status.real + status.virtual > 0
    assert status.online is (status.accepting_orders and reachable)
    if status.attention is not None:
        assert status.accepting_orders
        assert status.real == 0


@given(_businesses, st.randoms(use_true_random=False))
def test_the_status_does_not_depend_on_the_order_of_the_connections(
    found: Business, random: Random
) -> None:
    shuffled: list[RealConnection | VirtualConnection] = [*found.real, *found.virtual]
    random.shuffle(shuffled)
    again = business(*shuffled, declared=found.settings)
    assert judge(again, NOW, RULES) == judge(found, NOW, RULES)
