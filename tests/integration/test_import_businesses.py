"""The import, on a real DynamoDB API, with the settings of an operator's shell."""

import io
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lambdas.adapters.table import Table
from lambdas.domain.identifiers import IMPORT, BusinessId, UserId
from lambdas.domain.model import Business
from lambdas.domain.opening_hours import OpeningHours
from lambdas.use_cases.availability import Availability
from operations.data.import_businesses import Importer, ImportRun, main
from operations.shared.environment import DeployedEnvironment
from operations.shared.verbs import CannotBegin
from tests.builders import RULES, FakeClock, in_time, no_wait, settings
from tests.dynamodb import create_table
from tests.fakes import FakeSockets
from tests.unit.operations.builders import many_lines

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def store(ministack: "DynamoDBClient") -> Table:
    return Table(ministack, create_table(ministack))


@pytest.fixture
def environment(deploy: Callable[[dict[str, str]], str], ministack: "DynamoDBClient") -> str:
    """An environment with an empty table."""
    return deploy({"TableName": create_table(ministack)})


def stored(store: Table) -> dict[str, Business]:
    return {business.business_id: business for business in store.walk(0, 1)}


class Shell:
    """Runs the tool as `make import` does."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._file = folder / "businesses.csv"
        self._capsys = capsys

    def run(self, environment: str, content: bytes, *options: str) -> tuple[int, Any, list[str]]:
        """The exit code, the summary, and the lines on standard error."""
        self._file.write_bytes(content)
        code = main(["--file", str(self._file), "--environment", environment, *options])
        told = self._capsys.readouterr()
        return code, json.loads(told.out) if told.out else None, told.err.splitlines()


def summary(**counts: int) -> dict[str, int]:
    names = ("read", "created", "updated", "unchanged", "skippedNewer", "bad")
    return dict.fromkeys(names, 0) | counts


def test_from_the_file_of_an_environment_to_its_table_and_again(
    environment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(tmp_path, capsys)
    content = b"\xef\xbb\xbfid,accepting,expectsSocket\r\nb1,yes,no\r\nb2,0,\r\nb3,perhaps,\r\n"
    wrong = "line 4: accepting: is 'perhaps', must be true or false (or yes, no, 1, 0)"

    code, counts, told = shell.run(environment, content, "--dry-run")
    assert (code, counts, told) == (1, summary(read=3, created=2, bad=1), [wrong])
    table = DeployedEnvironment(environment).table(connections=1)
    assert stored(table) == {}

    code, counts, told = shell.run(environment, content)
    assert (code, counts, told) == (1, summary(read=3, created=2, bad=1), [wrong])
    written = stored(table)
    assert written.keys() == {"b1", "b2"}
    b1, b2 = written["b1"].settings, written["b2"].settings
    assert b1 is not None
    assert b2 is not None
    assert (b1.available, b1.expects_socket) == (True, False)
    assert (b2.available, b2.expects_socket) == (False, True)
    assert (b1.updated_by, b1.version) == (IMPORT, 1)

    code, counts, told = shell.run(environment, content.replace(b"b3,perhaps,\r\n", b""))
    assert (code, counts, told) == (0, summary(read=2, unchanged=2), [])

    changed = b'{"id": "b1", "accepting": false, "expectsSocket": false}\n'
    code, counts, told = shell.run(environment, changed)
    assert (code, counts, told) == (0, summary(read=1, updated=1), [])
    assert not DeployedEnvironment(environment).table(connections=1).load(BusinessId("b1")).virtual

    user = table.load(BusinessId("b2"))
    table.write_settings(user, settings(version=2))
    code, counts, _ = shell.run(environment, b"id,accepting\nb2,no\n")
    assert (code, counts) == (0, summary(read=1, skippedNewer=1))
    assert table.load(BusinessId("b2")).settings == settings(version=2)
    code, counts, _ = shell.run(environment, b"id,accepting\nb2,no\n", "--overwrite")
    assert (code, counts) == (0, summary(read=1, updated=1))


def test_opening_hours_are_written_changed_left_alone_and_removed(
    environment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(tmp_path, capsys)
    table = DeployedEnvironment(environment).table(connections=1)

    def stored_hours() -> OpeningHours | None:
        found = table.load(BusinessId("b1")).settings
        assert found is not None
        return found.opening_hours

    berlin = {"timeZone": "Europe/Berlin", "weekly": {"fr": [["17:00", "02:00"]]}}
    quoted = json.dumps(berlin).replace('"', '""')
    content = f'id,accepting,openingHours\nb1,yes,"{quoted}"\n'.encode()
    code, counts, told = shell.run(environment, content)
    assert (code, counts, told) == (0, summary(read=1, created=1), [])
    assert stored_hours() == OpeningHours.read(berlin)
    assert shell.run(environment, content)[:2] == (0, summary(read=1, unchanged=1))

    assert shell.run(environment, b"id,accepting\nb1,no\n")[:2] == (0, summary(read=1, updated=1))
    assert stored_hours() == OpeningHours.read(berlin)

    rome = {"id": "b1", "accepting": False, "openingHours": {"timeZone": "Europe/Rome"}}
    content = json.dumps(rome).encode()
    assert shell.run(environment, content)[:2] == (0, summary(read=1, updated=1))
    assert stored_hours() == OpeningHours.read(rome["openingHours"])

    removed = b"id,accepting,openingHours\nb1,no,null\n"
    assert shell.run(environment, removed)[:2] == (0, summary(read=1, updated=1))
    assert stored_hours() is None


@pytest.mark.usefixtures("shell")
def test_an_environment_that_is_not_deployed_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, counts, told = Shell(tmp_path, capsys).run("prod", b"id,accepting\nb1,yes\n")
    assert (code, counts) == (2, None)
    # The engine of the CDK may warn about the version of Node before that.
    assert "BusinessConnections-prod-Data" in told[-1]
    assert "us-east-1" in told[-1]


def test_a_stack_without_the_output_is_named(deploy: Callable[[dict[str, str]], str]) -> None:
    with pytest.raises(CannotBegin, match="no output TableName: deploy it again"):
        DeployedEnvironment(deploy({"Other": "value"})).table(connections=1)


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_import_that_races_with_users_mixes_and_loses_nothing(
    store: Table, overwrite: bool
) -> None:
    count = 40
    user = UserId("ada")
    availability = Availability(store, FakeSockets(), RULES, FakeClock(), no_wait)
    begin = threading.Barrier(2)

    def open_all() -> None:
        begin.wait()
        for number in range(2, count + 2):
            availability.set_business_availability(
                BusinessId(f"b{number}"), user, True, out_of_time=in_time
            )

    calls = threading.Thread(target=open_all)
    calls.start()
    begin.wait()
    importer = Importer(store, FakeClock(), no_wait, overwrite=overwrite)
    summary = ImportRun(importer, io.StringIO()).over(many_lines(count, accepting=False))
    calls.join()

    assert summary.read == summary.created + summary.updated + summary.skippedNewer == count
    businesses = stored(store)
    assert len(businesses) == count
    for business in businesses.values():
        assert business.settings is not None
        by_user = business.settings.updated_by == user
        # Either all of the import or all of the call.
        assert business.settings.available == by_user
        assert [c.user_id for c in business.virtual] == ([user] if by_user else [])
        assert by_user or overwrite  # every call was answered, so only an overwrite undoes one


def test_ctrl_c_ends_it_with_a_right_summary_and_the_next_run_goes_on(
    environment: str, tmp_path: Path
) -> None:
    file = tmp_path / "businesses.csv"
    file.write_text("id,accepting\n" + "".join(f"b{n},no\n" for n in range(3000)))
    tool = [sys.executable, "-m", "operations.data.import_businesses"]
    command = [*tool, "--file", str(file), "--environment", environment]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        progress = process.stderr.readline()
        assert re.match(r"\d+ of 3000 lines, \d+ a second: \d+ created, ", progress)
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert told.endswith("interrupted: run it again to go on\n")
    interrupted = json.loads(out)
    created = interrupted["created"]
    assert interrupted == summary(read=created, created=created)
    table = DeployedEnvironment(environment).table(connections=1)
    assert len(stored(table)) == created < 3000

    file.write_text("".join(file.read_text().splitlines(keepends=True)[: created + 200]))
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    resumed = json.loads(again.stdout)
    assert resumed["created"] + resumed["unchanged"] == resumed["read"] == created + 199
    assert resumed["created"] > 0
    assert len(stored(table)) == created + resumed["created"]
