"""Reads the sections and commands of docs/runbook.md and the other documents for operators."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNBOOK = ROOT / "docs" / "runbook.md"
OPERATORS = (
    RUNBOOK,
    *(ROOT / "docs" / name for name in ("console.md", "deploying.md", "events.md")),
    ROOT / "README.md",
)
"""The documents whose commands somebody types."""

SEVERITIES = {
    "PAGE": "**Page.** ",
    "PAGE (as part of ServiceImpaired)": (
        "**Pages through [Service impaired](#service-impaired).** "
    ),
    "TICKET": "**Ticket.** ",
    "NO ACTION": "**No action.** ",
}
"""How the section of an alarm begins, by the severity in the alarm's description."""


def sections() -> dict[str, str]:
    """The text of each section, by its heading."""
    _, *parts = re.split(r"^## (.+)\n", RUNBOOK.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def alarm_sections() -> dict[str, str]:
    """The sections that alarms lead to: those that begin with a severity."""
    openings = tuple(SEVERITIES.values())
    return {
        heading: text for heading, text in sections().items() if text.lstrip().startswith(openings)
    }


def blocks(language: str, document: Path = RUNBOOK) -> list[str]:
    """The content of the fenced blocks of a language, without their indentation."""
    fence = re.compile(
        rf"^(?P<indent> *)```{language}\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
    )
    return [
        re.sub(rf"^{found['indent']}", "", found["body"], flags=re.MULTILINE)
        for found in fence.finditer(document.read_text())
    ]


def inline_commands(document: Path = RUNBOOK) -> list[str]:
    """The commands between backticks, outside the fenced blocks."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`]+)`", text)
    return [span for span in spans if re.match(_COMMAND, span)]


_COMMAND = r"(aws|insights|call|run_cleanup|make|node_modules/\.bin/cdk) "


def commands(name: str, document: Path = RUNBOOK, *, inline: bool = True) -> list[list[str]]:
    """The words of every call of a command, split as the shell splits them.

    Calls in `$(...)` inside a quoted word are included.
    """
    texts = [*blocks("sh", document), *(inline_commands(document) if inline else ())]
    found = (words for text in texts for words in _calls(text, name))
    # A function's definition is its name alone.
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
        # A word of punctuation alone ends a command.
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
