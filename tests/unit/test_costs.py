"""docs/costs.md: its AWS calls are the ones that the handlers make, and its sums are right."""

import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.memory import ONE_CPU, Measured, Work

ROOT = Path(__file__).resolve().parents[2]
COSTS = (ROOT / "docs" / "costs.md").read_text()


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
    _, _, section = COSTS.partition("\n## Measured")
    assert _rows(section.partition("\n## ")[0]) == measured


def _table(heading: str) -> dict[str, list[float]]:
    """The numbers of each row of the first table below a heading, by the row's name."""
    _, _, section = COSTS.partition(f"\n## {heading}\n")
    section = section.partition("\n## ")[0]
    rows = {}
    for line in re.findall(r"^\|.+\|$", section, re.MULTILINE):
        name, *cells = (cell.strip(" *") for cell in line.strip("|").split("|"))
        cells = [cell.removesuffix(" min").replace(",", "") for cell in cells]
        numbers = [cell.replace("−", "-") or "0" for cell in cells]
        if all(re.fullmatch(r"-?[\d.]+", number) for number in numbers):
            rows[name] = [float(number) for number in numbers]
    return rows


def test_a_month_adds_up() -> None:
    rows = _table("A month")
    total, pings = rows.pop("total"), rows.pop("all pings")
    of_pings = [row for name, row in rows.items() if name.startswith("pings: ")]
    assert len(of_pings) == 4
    for column in range(3):
        # Each number is rounded.
        assert abs(sum(row[column] for row in of_pings) - pings[column]) <= 2
        assert abs(sum(row[column] for row in rows.values()) - total[column]) <= 3


def test_what_was_done_leads_from_the_cost_before_to_that_of_now() -> None:
    rows = _table("What was done, and what each brought")
    now = rows.pop("now")
    assert abs(sum(row[0] for row in rows.values()) - now[0]) < 0.01
    assert abs(sum(row[1] for row in rows.values()) - now[1]) <= 1
    assert now[1] == _table("A month")["total"][2] == _table("The ping interval")["300"][1]


def test_a_ping_adds_up() -> None:
    found = re.search(r"of access log = (.+) = \*\*([\d.]+) dollars a million", COSTS)
    assert found
    assert f"{sum(map(float, found[1].split(' + '))):.2f}" == found[2]
    assert float(found[2]) == _table("What was done, and what each brought")["now"][0]


def test_a_function_with_less_memory_has_less_of_a_cpu() -> None:
    work = Work("Ping", "websocket.on_ping", {}, answers="pong", waits=1)
    ping = Measured(work, start=400, event=2, peak_mb=50)
    assert ping.duration(ONE_CPU) == 5 + 2  # a call of AWS, and the code
    assert ping.duration(ONE_CPU // 2) > 5 + 2 * 2
    assert ping.start_seconds(ONE_CPU) == 0.405
    assert round(ping.price(1_024), 3) == round(0.20 + 13.33 * ping.duration(1_024) / 1_000, 3)
