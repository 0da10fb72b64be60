"""The tables and code examples of docs/protocol.md and docs/events.md, for tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"
EVENTS = DOCUMENT.with_name("events.md")


@dataclass(frozen=True)
class Snippet:
    """A fenced block that begins with its language and its name, like ```` ```sh ticket ````."""

    language: str
    name: str
    code: str


@cache
def _text(document: Path = DOCUMENT) -> str:
    return document.read_text(encoding="utf-8")


def snippets(document: Path = DOCUMENT) -> Iterator[Snippet]:
    """Yield all fenced blocks in order. A block without a name is not run by any test."""
    for info, code in re.findall(r"^```(.*)\n((?:.*\n)*?)```$", _text(document), re.MULTILINE):
        language, _, name = info.partition(" ")
        yield Snippet(language, name, code)


def table(first_column: str, document: Path = DOCUMENT) -> list[list[str]]:
    """The rows, headings included, of the table with this first heading."""
    rows = re.search(
        rf"^\| {re.escape(first_column)} \|.*\n(?:\|.*\n)+", _text(document), re.MULTILINE
    )
    assert rows, f"{document.name} has no table of {first_column!r}"
    heading, _, *body = rows[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in (heading, *body)]


def problem_types() -> dict[str, int]:
    """The status of each documented problem type, by name."""
    _, *rows = table("`type` ends in")
    return {name.strip("`"): int(status) for name, status, *_ in rows}
