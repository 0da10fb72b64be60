"""One bad item stops nothing: what can be read of it counts, what can be repaired is repaired."""

from typing import TYPE_CHECKING, Any

import pytest

from lambdas.adapters.table import Table
from lambdas.domain.attention import AttentionReport
from lambdas.domain.availability import Availability
from lambdas.domain.cleanup import CleanupRun
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.model import Attention
from tests.builders import (
    B1,
    NOW,
    RULES,
    U1,
    FakeClock,
    business,
    in_time,
    make_cleanup,
    real,
    settings,
    virtual,
)
from tests.dynamodb import create_table
from tests.fakes import FakeSockets
from tests.integration.test_store_contract import ENGINES

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

B2 = BusinessId("b2")
S1 = {"S": "text"}

SETTINGS = {
    "sk": {"S": "BUSINESS"},
    "acceptingOrders": {"BOOL": True},
    "expectsSocket": {"BOOL": False},
    "version": {"N": "1"},
    "updatedAt": {"N": str(NOW)},
    "updatedBy": {"S": "u1"},
}
REAL = {
    "sk": {"S": "CONNECTION#c1"},
    "connectionId": {"S": "c1"},
    "userId": {"S": "u1"},
    "isVirtualConnection": {"BOOL": False},
    "connectedAt": {"N": str(NOW - 1800)},
    "lastSeenAt": {"N": str(NOW)},
    "ttl": {"N": str(NOW + 6000)},
}
VIRTUAL = {
    "sk": {"S": f"CONNECTION#VIRTUAL#{B1}#u1"},
    "userId": {"S": "u1"},
    "isVirtualConnection": {"BOOL": True},
    "createdAt": {"N": str(NOW)},
    "renewedAt": {"N": str(NOW)},
    "ttl": {"N": str(NOW + 6000)},
}


class Stored:
    """A table with items that were written by hand."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self.client = client
        self.name = create_table(client)
        self.table = Table(client, self.name)
        self.sockets = FakeSockets(open={"c1"})

    def put(self, item: dict[str, Any], **changes: Any) -> None:
        """Write an item of b1 with some attributes changed or, with None, left out."""
        merged = {"pk": {"S": f"BUSINESS#{B1}"}, **item, **changes}
        self.client.put_item(
            TableName=self.name, Item={name: v for name, v in merged.items() if v is not None}
        )

    def clean_up(self) -> CleanupRun:
        return make_cleanup(self.table, self.sockets, FakeClock()).cleanup_all_connections(
            out_of_time=in_time
        )

    def sort_keys(self) -> set[str]:
        items = self.client.scan(TableName=self.name, ConsistentRead=True)["Items"]
        return {item["sk"]["S"] for item in items if item["pk"]["S"] == f"BUSINESS#{B1}"}


@pytest.fixture(params=[engine for engine in ENGINES if engine != "memory"])
def stored(request: pytest.FixtureRequest) -> Stored:
    return Stored(request.getfixturevalue(request.param))


@pytest.mark.parametrize(
    ("item", "changes"),
    [
        (SETTINGS, {"acceptingOrders": S1}),
        (SETTINGS, {"version": S1}),
        (SETTINGS, {"updatedAt": {"N": "-1.5"}}),
        (SETTINGS, {"updatedBy": {"N": "1"}}),
        (SETTINGS, {"pausedUntil": {"BOOL": True}}),
        (SETTINGS, {"pausedUntil": {"N": "99999999999999999999"}}),
        (SETTINGS, {"attention": {"S": "a kind that a later version knows"}}),
        (SETTINGS, {"attentionReported": S1}),
        (REAL, {"lastSeenAt": S1}),
        (REAL, {"connectedAt": {"N": "-1"}}),
        (REAL, {"ttl": {"NULL": True}}),
        (REAL, {"userId": {"L": []}}),
        (REAL, {"userAgent": {"N": "1"}}),
        (REAL, {"lastSeenAt": {"N": "60"}, "sent1": S1}),
        (VIRTUAL, {"ttl": S1}),
        (VIRTUAL, {"renewedAt": {"M": {}}}),
        ({"sk": {"S": "SOMETHING#ELSE"}}, {}),
        (VIRTUAL, {"sk": {"S": "CONNECTION#VIRTUAL#another-business#u1"}}),
    ],
)
def test_an_item_that_cannot_be_read_is_counted_and_named_and_all_others_are_handled(
    stored: Stored, item: dict[str, Any], changes: dict[str, Any]
) -> None:
    stored.put(item, **changes)
    gone = real("gone", business_id=B2, seen=400)
    stored.table.add_real(gone)
    stored.table.write_settings(
        business(business_id=B2), settings(), put=[virtual(business_id=B2, left=-1)]
    )
    run = stored.clean_up()
    assert run.complete
    assert run.error is None
    assert (run.report.businesses, run.report.gone, run.report.expired) >= (2, 1, 1)
    key = {**item, **changes}["sk"]["S"]
    assert (run.report.unreadable, run.unreadable) == (1, ((B1, key),))
    assert stored.table.load(B2).real == ()


@pytest.mark.parametrize("ttl", [None, S1])
def test_a_virtual_connection_without_an_end_is_removed(
    stored: Stored, ttl: dict[str, str] | None
) -> None:
    stored.put(VIRTUAL, ttl=ttl)
    assert stored.clean_up().report.expired == 1
    assert stored.sort_keys() == set()


@pytest.mark.parametrize("seen", [None, S1])
def test_a_real_connection_that_does_not_say_when_it_was_heard_from_is_closed(
    stored: Stored, seen: dict[str, str] | None
) -> None:
    stored.put(REAL, lastSeenAt=seen)
    assert stored.clean_up().report.silent == 1
    assert stored.sort_keys() == set()
    assert not stored.sockets.open


def test_a_connection_whose_user_agent_cannot_be_read_is_removed_like_any_other(
    stored: Stored,
) -> None:
    stored.put(REAL, userAgent={"N": "1"})
    removed = stored.table.remove_real(B1, ConnectionId("c1"))
    assert removed is not None
    assert (removed.user_id, removed.user_agent) == (U1, None)
    assert stored.sort_keys() == set()


def test_a_ping_of_a_connection_with_wrong_attributes_is_accepted(stored: Stored) -> None:
    stored.put(REAL, userId={"N": "1"}, connectedAt=S1, lastSeenAt=S1)
    heard = stored.table.refresh_real(B1, ConnectionId("c1"), NOW)
    assert heard is not None
    assert heard.last_seen_at == NOW


@pytest.mark.parametrize(
    "mark",
    [
        {"attention": {"S": "unreachable"}, "attentionSince": {"N": "1"}},
        {"attention": {"S": "unreachable"}},
        {
            "attention": {"S": "unreachable"},
            "attentionSince": {"N": "1"},
            "attentionReported": S1,
        },
    ],
)
def test_an_incomplete_mark_is_cleared_when_the_need_is_over(
    stored: Stored, mark: dict[str, Any]
) -> None:
    stored.put(SETTINGS, **mark)
    stored.clean_up()
    item = stored.client.get_item(
        TableName=stored.name,
        Key={"pk": {"S": f"BUSINESS#{B1}"}, "sk": {"S": "BUSINESS"}},
    )["Item"]
    assert not {name for name in item if name.startswith("attention")}


def test_a_mark_of_an_unknown_kind_is_replaced(stored: Stored) -> None:
    stored.put(SETTINGS, expectsSocket={"BOOL": True}, attention={"S": "of a later version"})
    stored.clean_up()
    found = stored.table.load(B1).settings
    assert found is not None
    assert (found.attention, found.attention_since) == (Attention.UNREACHABLE, NOW)


@pytest.mark.parametrize("version", [None, S1, {"N": "0"}])
def test_a_business_without_a_version_can_be_declared_again(
    stored: Stored, version: dict[str, str] | None
) -> None:
    stored.put(SETTINGS, version=version, updatedBy={"N": "7"})
    calls = Availability(stored.table, stored.sockets, RULES, FakeClock(), lambda attempt: None)
    calls.set_business_availability(B1, U1, True, out_of_time=in_time)
    found = stored.table.load(B1)
    assert found.unreadable == ()
    assert found.settings is not None
    assert (found.settings.version, found.settings.updated_by) == (1, U1)


# Numbers that DynamoDB accepts, but that are not what we store.

NUMBERS = [{"N": "1.5"}, {"N": "-1"}, {"N": str(NOW * 1000)}, {"N": "1E+30"}]
"""A fraction, a time before the epoch, milliseconds, and nonsense."""


@pytest.mark.parametrize("since", NUMBERS)
def test_a_business_whose_mark_has_a_wrong_time_is_reported(stored: Stored, since: Any) -> None:
    stored.put(
        SETTINGS, expectsSocket={"BOOL": True}, attention={"S": "unreachable"}, attentionSince=since
    )
    clock = FakeClock()
    reports: list[AttentionReport] = []
    cleanup = make_cleanup(stored.table, stored.sockets, clock, report_attention=reports.append)
    for _ in range(3):
        cleanup.cleanup_all_connections(out_of_time=in_time)
        clock.advance(300)
    assert len(reports) == 1


@pytest.mark.parametrize("since", NUMBERS)
def test_a_mark_with_a_wrong_time_is_cleared_when_the_need_is_over(
    stored: Stored,
    since: Any,
) -> None:
    stored.put(SETTINGS, attention={"S": "unreachable"}, attentionSince=since)
    stored.clean_up()
    found = stored.table.load(B1).settings
    assert found is not None
    assert found.attention is None


@pytest.mark.parametrize("since", [{"N": str(NOW * 1000)}, {"N": "1.5"}])
def test_the_attention_list_ends_even_if_an_entry_has_a_wrong_time(
    stored: Stored, since: Any
) -> None:
    stored.put(SETTINGS, attention={"S": "unreachable"}, attentionSince=since)
    after, pages = None, 0
    while pages < 5:
        entries = stored.table.list_attention(Attention.UNREACHABLE, limit=1, after=after)
        if not entries:
            break
        after, pages = entries[-1], pages + 1
    assert pages == 1


@pytest.mark.parametrize("version", [*NUMBERS, {"SS": ["1"]}, {"BOOL": True}, {"NULL": True}])
@pytest.mark.parametrize("available", [True, False])
def test_a_business_with_a_wrong_version_can_be_declared_again(
    stored: Stored,
    version: Any,
    available: bool,
) -> None:
    stored.put(SETTINGS, version=version)
    calls = Availability(stored.table, stored.sockets, RULES, FakeClock(), lambda attempt: None)
    calls.set_business_availability(B1, U1, available, out_of_time=in_time)


@pytest.mark.parametrize("version", [{"N": "1.5"}, {"N": str(NOW * 1000)}])
def test_a_business_with_a_wrong_version_is_marked(stored: Stored, version: Any) -> None:
    stored.put(SETTINGS, version=version, expectsSocket={"BOOL": True})
    stored.clean_up()
    found = stored.table.load(B1).settings
    assert found is not None
    assert found.attention is Attention.UNREACHABLE


@pytest.mark.parametrize("seen", NUMBERS)
def test_a_connection_with_a_wrong_last_seen_at_is_closed(stored: Stored, seen: Any) -> None:
    stored.put(REAL, lastSeenAt=seen)
    stored.clean_up()
    assert stored.sort_keys() == set()


@pytest.mark.parametrize("ttl", NUMBERS)
def test_a_lease_with_a_wrong_end_is_removed(stored: Stored, ttl: Any) -> None:
    stored.put(VIRTUAL, ttl=ttl)
    stored.clean_up()
    assert stored.sort_keys() == set()


@pytest.mark.parametrize("closing", [{"S": "text"}, {"BOOL": True}, {"NULL": True}, *NUMBERS])
def test_a_ping_of_a_connection_with_a_wrong_claim_is_accepted(
    stored: Stored, closing: Any
) -> None:
    stored.put(REAL, closingAt=closing)
    assert stored.table.refresh_real(B1, ConnectionId("c1"), NOW) is not None


@pytest.mark.parametrize("counter", [{"S": "text"}, {"NULL": True}, {"N": "1.5"}, {"N": "1E+30"}])
def test_a_ping_of_a_connection_with_a_wrong_counter_is_accepted(
    stored: Stored,
    counter: Any,
) -> None:
    stored.put(REAL, **{f"sent{NOW // 60 % 10}": counter})
    heard = stored.table.refresh_real(B1, ConnectionId("c1"), NOW)
    assert heard is not None
    assert heard.messages <= 1


@pytest.mark.parametrize("keys", [("u%31",), ("u1", "u%31"), ("u%FF",), ("u%FF", "u%FE")])
@pytest.mark.parametrize("how", ["declare", "clean up"])
def test_virtual_connections_with_odd_keys_are_removed(
    stored: Stored,
    keys: tuple[str, ...],
    how: str,
) -> None:
    stored.put(SETTINGS)
    for key in keys:
        stored.put(VIRTUAL, sk={"S": f"CONNECTION#VIRTUAL#{B1}#{key}"}, ttl={"N": "1"})
    if how == "clean up":
        stored.clean_up()
    else:
        calls = Availability(stored.table, stored.sockets, RULES, FakeClock(), lambda attempt: None)
        calls.set_business_availability(B1, U1, False, out_of_time=in_time)
    assert stored.sort_keys() == {"BUSINESS"}


@pytest.mark.parametrize("ttl", [None, {"NULL": True}, *NUMBERS[1:]])
def test_a_live_connection_whose_ttl_cannot_be_read_is_not_closed(stored: Stored, ttl: Any) -> None:
    stored.put(REAL, ttl=ttl)  # heard from at this very moment
    stored.clean_up()
    assert stored.sockets.open == {"c1"}
