"""The contracts in `docs` are what the code says, and the check says so when they are not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.__main__ import CONTRACTS, ROOT, main, text


def test_the_files_are_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_a_contract_is_the_same_bytes_in_another_process() -> None:
    script = (
        "from contracts.__main__ import CONTRACTS, text\n"
        "print(*(text(document()) for document in CONTRACTS.values()), end='')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == " ".join(text(document()) for document in CONTRACTS.values())


@pytest.mark.parametrize("name", list(CONTRACTS))
def test_the_check_names_the_file_that_differs_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main([], folder=tmp_path) == 0
    assert main(["--check"], folder=tmp_path) == 0
    changed = json.loads((tmp_path / name).read_text())
    changed["info"]["version"] = "0.0.0"
    (tmp_path / name).write_text(text(changed))
    assert main(["--check"], folder=tmp_path) == 1
    told = capsys.readouterr().err
    assert f"--- {name}" in told
    assert '-    "version": "0.0.0"' in told
    assert "make contracts" in told
    assert told.count("--- ") == 1


def test_the_check_misses_a_file_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"], folder=tmp_path) == 1
    assert "openapi.json" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
