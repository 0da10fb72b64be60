"""Reads docs/runbook.md, and the other documents for operators, the way tests want to ask them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNBOOK = ROOT / "docs" / "runbook.md"
OPERATORS = (RUNBOOK, ROOT / "docs" / "deploying.md", ROOT / "README.md")
"""The documents whose commands somebody types."""

PROCEDURES = {
    "Before you start",
    "Dry run of a cleanup",
    "Force a cleanup",
    "Clean up one business",
    "Turn the cleanup off and on",
    "Restore the table from a point in time",
    "Rotate the issuer",
    "Raise the quotas",
    "A deployment was rolled back",
    "First deploy of an environment",
    "Roll back",
}
"""The sections that no alarm of the monitoring leads to."""


def sections() -> dict[str, str]:
    """Return the text of each section, by its heading."""
    _, *parts = re.split(r"^## (.+)\n", RUNBOOK.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def blocks(language: str, document: Path = RUNBOOK) -> list[str]:
    """Return what the fenced blocks of a language hold, without their indentation."""
    fence = re.compile(
        rf"^(?P<indent> *)```{language}\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
    )
    return [
        re.sub(rf"^{found['indent']}", "", found["body"], flags=re.MULTILINE)
        for found in fence.finditer(document.read_text())
    ]


def inline_commands(document: Path = RUNBOOK) -> list[str]:
    """Return the commands that stand in the text, between backticks."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`]+)`", text)
    return [span for span in spans if re.match(_COMMAND, span)]


_COMMAND = r"(aws|insights|call|metric|run_cleanup|make|node_modules/\.bin/cdk) "


def commands(name: str, document: Path = RUNBOOK, *, inline: bool = True) -> list[list[str]]:
    """Return the words of every call of a command, as the shell would split them.

    A command in `$(...)` that is part of a quoted word counts as well.
    """
    texts = [*blocks("sh", document), *(inline_commands(document) if inline else ())]
    found = (words for text in texts for words in _calls(text, name))
    # Its definition has no words.
    return [words for words in found if len(words) > 1]


def _calls(text: str, name: str) -> Iterator[list[str]]:
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    text = re.sub(r"[ \t]+# .*", "", text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace = " \t"
    lexer.whitespace_split = True
    lexer.commenters = ""
    call: list[str] | None = None
    for word in lexer:
        # A word that is made of punctuation alone ends a command.
        if not word.strip("();<>|&\n"):
            if call:
                yield call
            call = None
        elif call is not None:
            call.append(word)
        elif word == name:
            call = [word]
        if "$(" in word:
            inner = re.search(r"\$\((?P<command>.+)\)", word, flags=re.DOTALL)
            if inner:
                yield from _calls(inner["command"], name)
    if call:
        yield call
