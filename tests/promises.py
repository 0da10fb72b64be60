"""The promises of docs/invariants.md, by their numbers."""

import re
from typing import Final

from operations.shared.repository import ROOT

_PROMISE: Final = re.compile(r"^(\d+)\. (.+?)(?=^\d+\. |^$)", re.MULTILINE | re.DOTALL)


PROMISES: Final = {
    int(number): " ".join(text.split())
    for number, text in _PROMISE.findall((ROOT / "docs" / "invariants.md").read_text())
}


class PromiseBroken(AssertionError):
    """A promise was not kept. The text is the promise, and what was seen."""


def broken(number: int, *seen: object) -> str:
    """What to say when a promise is broken."""
    return "; ".join([f"{number}. {PROMISES[number]}", *map(str, seen)])
