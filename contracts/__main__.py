"""Writes the contracts into `docs`, or checks that the files there match the code.

python -m contracts [--check]
"""

import argparse
import difflib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

from contracts import asyncapi, events, openapi
from contracts.schemas import Json

ROOT: Final = Path(__file__).resolve().parent.parent
"""The root of the repository."""

CONTRACTS: Final[Mapping[str, Callable[[], Json]]] = {
    "openapi.json": openapi.document,
    "asyncapi.json": asyncapi.document,
    "events.asyncapi.json": events.document,
}
"""The files, and the function that makes each."""

_SHOWN_LINES: Final = 30


def text(document: Json) -> str:
    """The text of a contract: the same code gives the same bytes on every machine."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    """Write all contracts."""
    for name, document in CONTRACTS.items():
        (folder / name).write_text(text(document()), encoding="utf-8")


def differences(folder: Path) -> Iterator[str]:
    """Yield a diff, with the name of the file, for each file that does not match the code."""
    for name, document in CONTRACTS.items():
        file = folder / name
        written = file.read_text(encoding="utf-8") if file.exists() else ""
        lines = difflib.unified_diff(
            written.splitlines(),
            text(document()).splitlines(),
            fromfile=name,
            tofile="generated from the code",
            lineterm="",
            n=1,
        )
        if shown := list(islice(lines, _SHOWN_LINES)):
            yield "\n".join(shown)


def main(arguments: list[str] | None = None, *, folder: Path = ROOT / "docs") -> int:
    """The exit code: 1 if the check found a difference."""
    parser = argparse.ArgumentParser(prog="python -m contracts", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    if not parser.parse_args(arguments).check:
        write(folder)
        return 0
    found = list(differences(folder))
    if found:
        advice = "The contracts differ from the code: run `make contracts`."
        sys.stderr.write("\n".join([*found, advice, ""]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
