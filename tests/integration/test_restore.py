"""`make restore`, on tables of a real DynamoDB API."""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from lambdas.adapters.table import Table
from lambdas.domain.errors import TooManyConnections
from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.domain.model import ActingAs, Attention, Business, Episode, Pause, Settings
from lambdas.domain.opening_hours import OpeningHours
from lambdas.use_cases.availability import Availability
from operations.data import restore as tool
from operations.data.business_file import Declaration
from operations.data.import_businesses import Importer
from operations.data.restore import Outcome, Restore, require_restored_table, restore
from operations.shared.verbs import CannotBegin, ExitCode
from tests.builders import RULES, U1, in_time, no_wait, real, settings, virtual
from tests.dynamodb import create_table
from tests.fakes import FakeSockets

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

NOW = int(time.time())
LOST, KEPT, DAMAGED, ENDED = map(BusinessId, ("lost", "kept", "damaged", "ended"))


class Tables:
    """A live table that lost or damaged some businesses, and the restored table that has them."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self.client = client
        self.live_name, self.restored_name = create_table(client), create_table(client)
        self.live, self.restored = Table(client, self.live_name), Table(client, self.restored_name)
        for business in (LOST, KEPT, DAMAGED):
            declare(self.restored, business, accepting=True, lease=NOW + 3600)
            self.restored.add_real(real(f"{business}=", business_id=business, now=NOW))
        episode = Episode(Attention.VIRTUAL_ONLY, NOW - 999, reported=True)
        self.restored.mark_episode(self.restored.load(LOST), episode)
        declare(self.restored, ENDED, accepting=True, lease=NOW - 1)
        # Without settings there is nothing to restore.
        self.restored.add_real(real("stray=", business_id=BusinessId("stray"), now=NOW))
        declare(self.live, KEPT, accepting=False)
        declare(self.live, DAMAGED, accepting=False)

    def restore(self, *damaged: BusinessId) -> dict[Outcome, int]:
        return dict(restore(Restore(self.live, self.restored, damaged, clock=lambda: NOW)))

    def expected(self, business: BusinessId) -> Settings:
        """The settings of a business after it was restored, in the version that it has now."""
        return replace(
            settings_of(self.restored.load(business)),
            version=settings_of(self.live.load(business)).version,
            updated_as=ActingAs.IMPORT,
            episode=None,
        )


@pytest.fixture
def tables(ministack: "DynamoDBClient") -> Tables:
    return Tables(ministack)


def declare(table: Table, business: BusinessId, *, accepting: bool, lease: int = 0) -> None:
    """Declare a business. `lease`: when its virtual connection ends, if it has one."""
    declared = settings(available=accepting, updated_at=NOW)
    leases = [virtual(business_id=business, left=lease - NOW, now=NOW)] if lease else []
    table.write_settings(table.load(business), declared, put=leases)


def with_everything(settings: Settings) -> Settings:
    """Settings in which everything that can be missing is there, except a mark."""
    return replace(
        settings,
        declared_by=UserId("ada"),
        pause=Pause(NOW + 60, "inspection", UserId("operator"), by_operator=True),
        opening_hours=OpeningHours.read(
            {
                "timeZone": "Europe/Berlin",
                "weekly": {"fr": [["11:00", "14:00"]]},
                "exceptions": {"2020-12-24": []},
            }
        ),
        expects_socket=False,
    )


def settings_of(business: Business) -> Settings:
    assert business.settings is not None
    return business.settings


def test_missing_settings_come_back_with_their_leases_and_nothing_else_changes(
    tables: Tables,
) -> None:
    kept, damaged = tables.live.load(KEPT), tables.live.load(DAMAGED)
    assert tables.restore() == {Outcome.RESTORED: 2, Outcome.LEFT: 2}
    back = tables.live.load(LOST)
    assert settings_of(back) == tables.expected(LOST)
    assert [lease.expires_at for lease in back.virtual] == [NOW + 3600]
    assert back.real == (), "those sockets are gone"
    assert tables.live.load(ENDED).virtual == (), "its lease is over"
    assert (tables.live.load(KEPT), tables.live.load(DAMAGED)) == (kept, damaged)


def test_opening_hours_pauses_and_who_declared_it_come_back(tables: Tables) -> None:
    for business in (LOST, DAMAGED):
        before = tables.restored.load(business)
        after = replace(with_everything(settings_of(before)), version=2)
        tables.restored.write_settings(before, after)
    tables.restore(DAMAGED)
    for business in (LOST, DAMAGED):
        back = settings_of(tables.live.load(business))
        assert back == with_everything(tables.expected(business))
    assert tables.restore(DAMAGED) == {Outcome.LEFT: 4}


def test_what_the_restored_settings_do_not_have_is_gone(tables: Tables) -> None:
    before = tables.live.load(DAMAGED)
    tables.live.write_settings(before, replace(with_everything(settings_of(before)), version=2))
    tables.restore(DAMAGED)
    assert settings_of(tables.live.load(DAMAGED)) == tables.expected(DAMAGED)


def test_damaged_settings_are_replaced_where_they_are_named(tables: Tables) -> None:
    assert tables.restore(DAMAGED)[Outcome.RESTORED] == 3
    back = tables.live.load(DAMAGED)
    assert settings_of(back).available
    assert [lease.expires_at for lease in back.virtual] == [NOW + 3600]


def test_a_restored_version_is_greater_than_any_before(tables: Tables) -> None:
    """So no call under way overwrites what was restored."""
    newer = replace(settings_of(tables.live.load(DAMAGED)), version=NOW + 10)
    tables.live.write_settings(tables.live.load(DAMAGED), newer)
    tables.restore(DAMAGED)
    assert settings_of(tables.live.load(DAMAGED)).version == NOW + 11
    assert settings_of(tables.live.load(LOST)).version == NOW


def test_a_second_run_writes_nothing(tables: Tables) -> None:
    tables.restore(DAMAGED)
    after = [tables.live.load(business) for business in (LOST, KEPT, DAMAGED, ENDED)]
    assert tables.restore(DAMAGED) == {Outcome.LEFT: 4}
    assert [tables.live.load(business) for business in (LOST, KEPT, DAMAGED, ENDED)] == after


def test_a_business_that_declared_itself_after_the_restore_is_left_as_it_is(tables: Tables) -> None:
    tables.restore()
    restored = tables.live.load(LOST)
    closed = settings_of(restored).declared(False, at=NOW, by=U1)
    tables.live.write_settings(restored, closed, remove=restored.virtual)
    assert tables.restore() == {Outcome.LEFT: 4}
    assert tables.live.load(LOST).virtual == ()


def test_a_business_that_did_not_accept_orders_loses_its_virtual_connections(
    tables: Tables,
) -> None:
    closed = replace(settings_of(tables.restored.load(DAMAGED)), available=False)
    tables.restored.write_settings(tables.restored.load(DAMAGED), closed)
    declare(tables.live, DAMAGED, accepting=True, lease=NOW + 60)
    tables.restore(DAMAGED)
    back = tables.live.load(DAMAGED)
    assert not settings_of(back).available
    assert back.virtual == ()


def test_settings_that_are_damaged_in_the_restored_table_too_are_told_and_stop_nothing(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.client.update_item(
        TableName=tables.restored_name,
        Key={"pk": {"S": f"BUSINESS#{LOST}"}, "sk": {"S": "BUSINESS"}},
        UpdateExpression="SET acceptingOrders = :wrong",
        ExpressionAttributeValues={":wrong": {"S": "perhaps"}},
    )
    assert tables.restore(DAMAGED) == {Outcome.FAILED: 1, Outcome.RESTORED: 2, Outcome.LEFT: 1}
    assert "lost: " in capsys.readouterr().err
    assert tables.live.load(LOST).settings is None


def test_nothing_is_written_if_a_named_business_is_not_in_the_restored_table(
    tables: Tables,
) -> None:
    with pytest.raises(CannotBegin, match="no settings of typo"):
        tables.restore(BusinessId("typo"))
    assert tables.live.load(LOST).settings is None


def test_a_lease_that_was_renewed_since_is_not_shortened(tables: Tables) -> None:
    declare(tables.live, DAMAGED, accepting=True, lease=NOW + 7200)
    tables.restore(DAMAGED)
    assert [lease.expires_at for lease in tables.live.load(DAMAGED).virtual] == [NOW + 7200]


def fill(table: Table, business: BusinessId, name: str, count: int, *, left: int = 3600) -> None:
    """Store virtual connections, whatever the domain allows, as earlier versions did."""
    for start in range(0, count, 90):
        leases = [
            virtual(f"{name}{number}", business_id=business, left=left + number, now=NOW)
            for number in range(start, min(start + 90, count))
        ]
        before = table.load(business)
        after = replace(settings_of(before), version=settings_of(before).version + 1)
        table.write_settings(before, after, put=leases)


def test_no_business_gets_more_leases_than_it_can_have(tables: Tables) -> None:
    for business in (LOST, DAMAGED):
        fill(tables.restored, business, "then", 120)
    opened = replace(settings_of(tables.live.load(DAMAGED)), available=True, version=2)
    tables.live.write_settings(tables.live.load(DAMAGED), opened)
    fill(tables.live, DAMAGED, "since", 30)
    fill(tables.live, DAMAGED, "over", 40, left=-100)
    tables.restore(DAMAGED)
    for business in (LOST, DAMAGED):
        back = tables.live.load(business).virtual
        ends = sorted(lease.expires_at for lease in back if lease.user_id.startswith("then"))
        assert len(back) == 90
        assert ends[-1] == NOW + 3600 + 119, "those that run longest"
    kept = [each for each in back if each.user_id.startswith("since")]
    assert len(kept) == 30, "nothing that runs is removed"


def test_a_business_that_has_too_many_leases_gets_no_more_and_can_renew_them(
    tables: Tables,
) -> None:
    fill(tables.live, KEPT, "u", 121)
    with pytest.raises(TooManyConnections):
        declare_by_call(tables.live, UserId("new"), available=True)
    declare_by_call(tables.live, UserId("u7"), available=True)
    back = {lease.user_id: lease.expires_at for lease in tables.live.load(KEPT).virtual}
    assert len(back) == 121
    assert back[UserId("u7")] == NOW + RULES.virtual_lease


def declare_by_call(table: Table, user: UserId, *, available: bool) -> None:
    availability = Availability(table, FakeSockets(), RULES, lambda: NOW, no_wait)
    availability.set_business_availability(KEPT, user, available, out_of_time=in_time)


def close_by_import(table: Table) -> None:
    importer = Importer(table, lambda: NOW, no_wait, overwrite=True)
    importer.take(Declaration(1, KEPT, accepting=False))


@pytest.mark.parametrize("count", [121, 320])
@pytest.mark.parametrize(
    "close", [lambda table: declare_by_call(table, U1, available=False), close_by_import]
)
def test_a_business_that_has_too_many_leases_can_be_declared_unavailable(
    tables: Tables, close: Callable[[Table], None], count: int
) -> None:
    fill(tables.live, KEPT, "u", count)
    opened = replace(settings_of(tables.live.load(KEPT)), available=True, version=99)
    tables.live.write_settings(tables.live.load(KEPT), opened)
    close(tables.live)
    assert not settings_of(tables.live.load(KEPT)).available
    assert tables.live.load(KEPT).virtual == ()


def test_ended_leases_make_room_however_many_there_are(tables: Tables) -> None:
    fill(tables.live, KEPT, "over", 121, left=-1000)
    declare_by_call(tables.live, U1, available=True)
    assert [lease.user_id for lease in tables.live.load(KEPT).virtual] == [U1]


def test_restored_settings_that_are_unavailable_leave_no_lease_however_many_there_are(
    tables: Tables,
) -> None:
    fill(tables.live, DAMAGED, "u", 121)
    before = tables.restored.load(DAMAGED)
    closed = replace(settings_of(before), available=False, version=2)
    tables.restored.write_settings(before, closed, remove=before.virtual)
    tables.restore(DAMAGED)
    assert tables.live.load(DAMAGED).virtual == ()


# Which tables it takes.


def test_only_an_existing_table_other_than_the_live_one_is_taken(tables: Tables) -> None:
    def require(restored: str) -> None:
        require_restored_table(tables.client, restored, live=tables.live_name)

    require(tables.restored_name)
    with pytest.raises(CannotBegin, match="there is no table other"):
        require("other")
    with pytest.raises(CannotBegin, match="is the live table"):
        require(tables.live_name)
    arn = tables.client.describe_table(TableName=tables.live_name)["Table"]["TableArn"]
    with pytest.raises(CannotBegin, match="is the live table"):
        require(arn)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"TableStatus": "CREATING"}, "wait until it is ACTIVE"),
        ({"RestoreSummary": {"SourceTableArn": "arn:staging"}}, "must be restored from arn:live"),
        ({"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}, "has other keys"),
        ({"DeletionProtectionEnabled": True}, "is protected from deletion"),
    ],
)
def test_a_table_that_is_not_ready_or_not_from_the_live_one_is_refused(
    change: dict[str, Any], told: str
) -> None:
    live = {"TableArn": "arn:live", "TableStatus": "ACTIVE", "KeySchema": []}
    fine = {**live, "TableArn": "arn:restored", "RestoreSummary": {"SourceTableArn": "arn:live"}}

    def check(restored: dict[str, Any]) -> None:
        tables = {"live": live, "restored": restored}
        dynamodb = Mock(describe_table=lambda TableName: {"Table": tables[TableName]})  # noqa: N803
        require_restored_table(dynamodb, "restored", live="live")

    check(fine)
    with pytest.raises(CannotBegin, match=told):
        check({**fine, **change})


# The command.


def test_the_command_finds_the_live_table_and_counts_what_it_did(
    tables: Tables,
    deploy: Callable[[dict[str, str]], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment = deploy({"TableName": tables.live_name})
    command = ["restore", "--environment", environment, "--restored"]
    monkeypatch.setattr("sys.argv", [*command, tables.restored_name, "--dry-run"])
    assert tool.main() == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    assert sorted(lines) == [
        "ended: would be available, with 0 virtual connections back",
        "lost: would be available, with 1 virtual connections back",
    ]
    assert summary == "businesses: 2 would be restored, 2 left as they are, 0 failed"
    assert tables.live.load(LOST).settings is None
    monkeypatch.setattr("sys.argv", [*command, tables.restored_name, "--damaged", DAMAGED])
    assert tool.main() == 0
    told = capsys.readouterr().out
    assert told == "businesses: 3 restored, 1 left as they are, 0 failed\n"
    monkeypatch.setattr("sys.argv", [*command, tables.live_name])
    assert tool.main() == ExitCode.COULD_NOT_BEGIN
    monkeypatch.setattr("sys.argv", [*command, tables.restored_name, "--damaged", "b#1"])
    assert tool.main() == ExitCode.COULD_NOT_BEGIN
    assert "'b#1' must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (lambda: signal.raise_signal(signal.SIGTERM), 130, "interrupted: run it again to go on\n"),
        (lambda: refuse("ExpiredTokenException"), 1, "stopped: An error occurred (ExpiredToken"),
    ],
    ids=["interrupted", "an error"],
)
def test_the_command_counts_what_it_did_however_it_ends(
    tables: Tables,
    deploy: Callable[[dict[str, str]], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    end: Callable[[], None],
    code: int,
    told: str,
) -> None:
    def walk(table: Table, *_: int) -> Iterator[Business]:
        yield table.load(LOST)
        yield table.load(KEPT)
        end()
        yield table.load(ENDED)

    monkeypatch.setattr(Table, "walk", walk)
    # One after the other: a business that is only waiting when it ends is not restored.
    monkeypatch.setattr(tool, "_IN_FLIGHT", 1)
    monkeypatch.setattr(tool, "_WAITING", 0)
    environment = deploy({"TableName": tables.live_name})
    command = ["restore", "--environment", environment, "--restored", tables.restored_name]
    monkeypatch.setattr("sys.argv", command)
    assert tool.main() == code
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == "businesses: 1 restored, 1 left as they are, 0 failed\n"
    assert tables.live.load(LOST).settings is not None
    assert tables.live.load(ENDED).settings is None


def refuse(code: str) -> None:
    raise ClientError({"Error": {"Code": code, "Message": "expired"}}, "Scan")
