"""An operator imports which businesses accept orders."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.harness import Business, System


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
    id_line, accepting_line = sorted(done.stderr.splitlines())  # several are handled at a time
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
