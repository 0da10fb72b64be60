"""An operator imports which businesses accept orders."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Business, System


@pytest.fixture
def other(system: System) -> Iterator[Business]:
    with ExitStack() as stack:
        other = Business(system)
        stack.callback(other.delete_items)
        yield other


def run_import(
    system: System, file: Path, *options: str, environment: str = "local"
) -> subprocess.CompletedProcess[str]:
    tool = ("operations.data.import_businesses", "--file", str(file), "--environment", environment)
    return system.run_tool(*tool, *options)


def counts(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The counts of the summary that are not zero."""
    assert done.stdout.count("\n") == 1, done
    summary: dict[str, int] = json.loads(done.stdout)
    assert summary.keys() == {"read", "created", "updated", "unchanged", "skippedNewer", "bad"}
    return {name: count for name, count in summary.items() if count}


def test_the_apis_know_imported_businesses(
    system: System, business: Business, other: Business, tmp_path: Path
) -> None:
    file = tmp_path / "businesses.csv"
    file.write_text(
        "id,accepting,expectsSocket\n"
        f"{business.id},true,false\n"
        f"{other.id},false,\n"
        f"{other.id}#,true,\n"
        f"{other.id}-no,perhaps,\n"
    )
    done = run_import(system, file, "--dry-run")
    assert counts(done) == {"read": 4, "created": 2, "bad": 2}
    assert business.items() == other.items() == []

    done = run_import(system, file)
    assert done.returncode == 1
    assert counts(done) == {"read": 4, "created": 2, "bad": 2}
    id_line, accepting_line = done.stderr.splitlines()
    assert id_line.startswith(f"line 4: id: is '{other.id}#', must be")
    assert accepting_line.startswith("line 5: accepting: is 'perhaps', must be true or false")

    open_without_device = business.status()
    assert open_without_device["isAvailableForOrders"] is True
    assert open_without_device["needsAttention"] is None
    assert other.status()["overallStatus"] == "OFFLINE"
    with business.socket():
        assert business.status()["overallStatus"] == "ONLINE"
        done = run_import(system, file)
        assert counts(done) == {"read": 4, "unchanged": 2, "bad": 2}
        business.set_available(False)


def test_imported_opening_hours_count_until_an_import_removes_them(
    system: System, business: Business, tmp_path: Path
) -> None:
    file = tmp_path / "businesses.jsonl"
    declared = {"id": business.id, "accepting": True, "expectsSocket": False}
    never_open = {"timeZone": "Europe/Berlin", "weekly": {}, "exceptions": {}}

    file.write_text(json.dumps({**declared, "openingHours": never_open}) + "\n")
    assert counts(run_import(system, file)) == {"read": 1, "created": 1}
    status = business.status()
    assert status["isAvailableForOrders"] is False
    assert "outside_opening_hours" in [reason["code"] for reason in status["reasons"]]

    file.write_text(json.dumps({**declared, "openingHours": None}) + "\n")
    assert counts(run_import(system, file)) == {"read": 1, "updated": 1}
    assert business.status()["isAvailableForOrders"] is True


def test_what_a_business_declared_is_changed_only_by_an_overwrite(
    system: System, business: Business, tmp_path: Path
) -> None:
    file = tmp_path / "businesses.jsonl"
    file.write_text(json.dumps({"id": business.id, "accepting": False}) + "\n")
    with business.socket() as device:
        business.set_available(True)
        before = business.items()

        done = run_import(system, file)
        assert (done.returncode, done.stderr) == (0, "")
        assert counts(done) == {"read": 1, "skippedNewer": 1}
        assert [i for i in business.items() if "lastSeenAt" not in i] == [
            i for i in before if "lastSeenAt" not in i
        ]

        done = run_import(system, file, "--overwrite")
        assert counts(done) == {"read": 1, "updated": 1}
        assert business.virtual() == []
        assert business.status()["overallStatus"] == "CONNECTED_NOT_ACCEPTING"
        assert device.ask({"action": "ping"})["type"] == "pong"


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "No such file"), ("id,open\n", "'open': is no known column")],
    ids=["no file", "unknown column"],
)
def test_a_wrong_file_is_one_clear_line(
    system: System, tmp_path: Path, content: str | None, told: str
) -> None:
    file = tmp_path / "businesses.csv"
    if content is not None:
        file.write_text(content)
    done = run_import(system, file)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
