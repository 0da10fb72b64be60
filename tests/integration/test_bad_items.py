"""One bad item stops nothing: what can be read of it counts, what can be repaired is repaired."""

from typing import TYPE_CHECKING, Any

import pytest

from lambdas.adapters import items
from lambdas.adapters.table import Table
from lambdas.domain.errors import Forbidden
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.model import ActingAs, Attention, Episode
from lambdas.use_cases.attention import AttentionReport
from lambdas.use_cases.cleanup_run import CleanupRun
from tests.builders import (
    B1,
    NOW,
    U1,
    FakeClock,
    business,
    clean_up,
    declare,
    real,
    settings,
    settings_writer,
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
    **items.settings_key(B1),
    **items.settings_attributes(settings(expects_socket=False, updated_at=NOW)),
}
REAL = items.real_item(real("c1"))
VIRTUAL = items.virtual_item(virtual())


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
        return clean_up(self.table, self.sockets)

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
        (SETTINGS, {"declaredBy": {"N": "1"}}),
        (SETTINGS, {"pausedUntil": {"N": "1"}, "pausedBy": {"BOOL": True}}),
        (SETTINGS, {"pausedUntil": {"N": "1"}, "pausedByOperator": S1}),
        (SETTINGS, {"openingHours": {"M": {}}}),
        (SETTINGS, {"openingHours": {"S": "[]"}}),
        (SETTINGS, {"attention": {"S": "a kind that a later version knows"}}),
        (SETTINGS, {"attention": {"S": "unreachable"}, "attentionReported": S1}),
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


def test_a_business_whose_opening_hours_cannot_be_read_counts_as_open_and_is_reported(
    stored: Stored,
) -> None:
    """Silence would be worse. The next write of its settings removes what cannot be read."""
    stored.put(SETTINGS, expectsSocket={"BOOL": True}, openingHours=S1, pausedBy={"N": "1"})
    clock = FakeClock()
    reports: list[AttentionReport] = []
    for _ in range(2):
        clean_up(stored.table, stored.sockets, clock, reports=reports)
        clock.advance(300)
    assert [report.business_id for report in reports] == [B1]
    declare(stored.table, True, clock=clock)
    found = stored.table.load(B1)
    assert found.unreadable == ()
    assert found.settings is not None
    assert found.settings.opening_hours is None


def test_an_operators_pause_holds_even_if_it_does_not_say_whose_it_is(stored: Stored) -> None:
    stored.put(
        SETTINGS,
        pausedUntil={"N": str(NOW + 60)},
        pausedByOperator={"BOOL": True},
        pausedBy={"N": "1"},
        pauseReason={"NULL": True},
    )
    writer = settings_writer(stored.table, FakeClock())
    with pytest.raises(Forbidden):
        writer.resume_business(B1, U1)
    assert writer.resume_business(B1, U1, acting_as=ActingAs.OPERATOR).pause is None
    assert stored.table.load(B1).unreadable == ()


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


def test_details_without_a_pause_or_a_mark_mean_nothing(stored: Stored) -> None:
    stored.put(SETTINGS, pausedBy={"BOOL": True}, attentionReported=S1)
    found = stored.table.load(B1)
    assert found.settings is not None
    assert (found.settings.pause, found.settings.episode, found.unreadable) == (None, None, ())


def test_a_mark_of_an_unknown_kind_is_replaced(stored: Stored) -> None:
    stored.put(SETTINGS, expectsSocket={"BOOL": True}, attention={"S": "of a later version"})
    stored.clean_up()
    found = stored.table.load(B1).settings
    assert found is not None
    assert found.episode == Episode(Attention.UNREACHABLE, NOW)


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
    for _ in range(3):
        clean_up(stored.table, stored.sockets, clock, reports=reports)
        clock.advance(300)
    assert len(reports) == 1


@pytest.mark.parametrize(
    "mark",
    [
        {},
        {"attentionSince": {"N": "1"}},
        {"attentionSince": {"N": "1"}, "attentionReported": S1},
        *({"attentionSince": number} for number in NUMBERS),
    ],
)
def test_an_incomplete_or_wrong_mark_is_cleared_when_the_need_is_over(
    stored: Stored, mark: dict[str, Any]
) -> None:
    stored.put(SETTINGS, attention={"S": "unreachable"}, **mark)
    stored.clean_up()
    key = {"pk": {"S": f"BUSINESS#{B1}"}, "sk": {"S": "BUSINESS"}}
    item = stored.client.get_item(TableName=stored.name, Key=key)["Item"]
    assert not {name for name in item if name.startswith("attention")}


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


@pytest.mark.parametrize(
    "version", [None, S1, {"N": "0"}, *NUMBERS, {"SS": ["1"]}, {"BOOL": True}, {"NULL": True}]
)
@pytest.mark.parametrize("available", [True, False])
def test_a_business_without_a_readable_version_can_be_declared_again(
    stored: Stored, version: Any, available: bool
) -> None:
    stored.put(SETTINGS, version=version, updatedBy={"N": "7"})
    declare(stored.table, available, sockets=stored.sockets)
    found = stored.table.load(B1)
    assert found.unreadable == ()
    assert found.settings is not None
    assert (found.settings.available, found.settings.updated_by) == (available, U1)
    assert found.settings.version == (2 if version == {"N": "1.5"} else 1)


@pytest.mark.parametrize("version", [{"N": "1.5"}, {"N": str(NOW * 1000)}])
def test_a_business_with_a_wrong_version_is_marked(stored: Stored, version: Any) -> None:
    stored.put(SETTINGS, version=version, expectsSocket={"BOOL": True})
    stored.clean_up()
    found = stored.table.load(B1).settings
    assert found is not None
    assert found.episode == Episode(Attention.UNREACHABLE, NOW)


@pytest.mark.parametrize("seen", [None, S1, *NUMBERS])
def test_a_connection_without_a_readable_last_seen_at_is_closed(stored: Stored, seen: Any) -> None:
    stored.put(REAL, lastSeenAt=seen)
    assert stored.clean_up().report.silent == 1
    assert stored.sort_keys() == set()
    assert not stored.sockets.open


@pytest.mark.parametrize("ttl", [None, S1, *NUMBERS])
def test_a_lease_without_a_readable_end_is_removed(stored: Stored, ttl: Any) -> None:
    stored.put(VIRTUAL, ttl=ttl)
    assert stored.clean_up().report.expired == 1
    assert stored.sort_keys() == set()


@pytest.mark.parametrize("closing", [{"S": "text"}, {"BOOL": True}, {"NULL": True}, *NUMBERS])
def test_a_ping_of_a_connection_with_a_wrong_claim_is_accepted(
    stored: Stored, closing: Any
) -> None:
    stored.put(REAL, closingAt=closing)
    assert stored.table.refresh_real(B1, ConnectionId("c1"), NOW) is not None


@pytest.mark.parametrize("counter", [{"S": "text"}, {"NULL": True}, {"N": "1.5"}, {"N": "1E+30"}])
def test_a_ping_of_a_connection_with_a_wrong_counter_is_accepted(
    stored: Stored, counter: Any
) -> None:
    stored.put(REAL, **{f"sent{NOW // 60 % 10}": counter})
    heard = stored.table.refresh_real(B1, ConnectionId("c1"), NOW)
    assert heard is not None
    assert heard.messages <= 1


@pytest.mark.parametrize("keys", [("u%31",), ("u1", "u%31"), ("u%FF",), ("u%FF", "u%FE")])
@pytest.mark.parametrize("how", ["declare", "clean up"])
def test_virtual_connections_stored_under_other_keys_are_removed(
    stored: Stored, keys: tuple[str, ...], how: str
) -> None:
    stored.put(SETTINGS)
    for key in keys:
        stored.put(VIRTUAL, sk={"S": f"CONNECTION#VIRTUAL#{B1}#{key}"}, ttl={"N": "1"})
    if how == "clean up":
        stored.clean_up()
    else:
        declare(stored.table, False, sockets=stored.sockets)
    assert stored.sort_keys() == {"BUSINESS"}


@pytest.mark.parametrize("ttl", [None, {"NULL": True}, *NUMBERS[1:]])
def test_a_live_connection_whose_ttl_cannot_be_read_is_not_closed(stored: Stored, ttl: Any) -> None:
    stored.put(REAL, ttl=ttl)  # heard from at this very moment
    stored.clean_up()
    assert stored.sockets.open == {"c1"}
