"""Reads docs/protocol.md: its tables and its snippets."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"


@dataclass(frozen=True)
class Snippet:
    """A fenced block: ```` ```sh read-the-status ````, its language, its name, its lines."""

    language: str
    name: str
    code: str


@cache
def _text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def snippets() -> Iterator[Snippet]:
    """All fenced blocks, in order. One that is only shown has no name."""
    for info, code in re.findall(r"^```(.*)\n((?:.*\n)*?)```$", _text(), re.MULTILINE):
        language, _, name = info.partition(" ")
        yield Snippet(language, name, code)


def table(first_column: str) -> list[list[str]]:
    """The rows of the table whose first heading this is, headings included."""
    rows = re.search(rf"^\| {re.escape(first_column)} \|.*\n(?:\|.*\n)+", _text(), re.MULTILINE)
    assert rows, f"docs/protocol.md has no table of {first_column!r}"
    heading, _, *body = rows[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in (heading, *body)]


def problem_types() -> dict[str, int]:
    """The names of all documented problem types, and their statuses."""
    _, *rows = table("`type` ends in")
    return {name.strip("`"): int(status) for name, status, *_ in rows}
