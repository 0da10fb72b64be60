"""Whether a business is online, and why."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.domain.model import Attention, Business, RealConnection, VirtualConnection
from lambdas.domain.status import OverallStatus, ReasonCode, judge
from tests.builders import NOW, RULES, business, real, settings, virtual


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
    paused = business(real(), declared=settings(paused_until=NOW, pause_reason="busy"))
    before = judge(paused, NOW - 1, RULES)
    assert before.overall_status is OverallStatus.CONNECTED_NOT_ACCEPTING
    assert before.paused_until == NOW
    assert before.reasons[0].code is ReasonCode.PAUSED
    assert "busy" in before.reasons[0].detail
    after = judge(paused, NOW, RULES)
    assert after.overall_status is OverallStatus.ONLINE
    assert after.paused_until is None


@pytest.mark.parametrize(
    ("connections", "changes", "expected"),
    [
        ([real()], {}, None),
        ([virtual()], {}, Attention.VIRTUAL_ONLY),
        ([], {}, Attention.UNREACHABLE),
        ([real(seen=700)], {}, Attention.UNREACHABLE),
        ([virtual()], {"expects_socket": False}, None),
        ([virtual()], {"available": False}, None),
        ([virtual()], {"paused_until": NOW + 1}, None),
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
    paused_until=st.none() | st.integers(NOW - 100, NOW + 100),
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
