"""Which folders may import which."""

import re

import pytest

from operations.shared.repository import ROOT

OUTWARDS = ("lambdas", "infra", "operations", "console", "local")
"""Each may import from those before it."""


@pytest.mark.parametrize("folder", OUTWARDS)
def test_a_folder_imports_nothing_from_those_that_build_on_it(folder: str) -> None:
    forbidden = "|".join(OUTWARDS[OUTWARDS.index(folder) + 1 :]) or "tests"
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    found = re.compile(rf"^\s*(?:from|import) (?:{forbidden})\b", re.MULTILINE)
    assert [str(file) for file in files if found.search(file.read_text())] == []
