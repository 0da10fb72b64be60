"""docs/costs.md is calculated from AWS calls: they must be the ones that the handlers make."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def _rows(text: str) -> dict[str, tuple[str, str]]:
    """Read the DynamoDB and socket calls of each operation. Units are left out."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    rows = {row[0]: (row[1], row[4]) for row in cells if len(row) == 5}
    return {name: calls for name, calls in rows.items() if "cleanup" not in name}


def test_the_cost_document_lists_the_calls_that_the_handlers_make() -> None:
    kept = {name: value for name, value in os.environ.items() if name != "DYNAMODB_LOCAL_URL"}
    counted = subprocess.run(
        [sys.executable, "-m", "benchmarks.requests"],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    measured = _rows(counted.stdout)
    assert "`ping`" in measured
    assert _rows((ROOT / "docs" / "costs.md").read_text()) == measured
