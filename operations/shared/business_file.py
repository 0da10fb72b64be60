"""Reads files of businesses, CSV or JSON lines, one line at a time.

Each line is one record, because no value may contain a line break. So an unclosed quote spoils only
its own line, and memory does not grow with the file or with a long line.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePath
from typing import IO, Any, Final

from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import BusinessId
from operations.shared.exit_codes import CannotBegin

REQUIRED: Final = ("id", "accepting")
FIELDS: Final = (*REQUIRED, "expectsSocket")

MAX_LINE: Final = 4096
"""Bytes of a line, far more than a correct line needs."""

_JSON_LINES_SUFFIXES: Final = {".jsonl", ".ndjson"}
_BOM: Final = b"\xef\xbb\xbf"
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SHOWN: Final = 40
"""Characters of a wrong value that a message repeats."""


class Unreadable(CannotBegin):
    """The file is empty or has a wrong header. The text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a line says about a business."""

    line: int
    business_id: BusinessId
    accepting: bool
    expects_socket: bool = True


@dataclass(frozen=True, slots=True)
class BadLine:
    """Why a line is wrong: the field, what is wrong with it, and what would be right."""

    line: int
    field: str
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.problem}"


_Line = tuple[int, bytes]
"""The number of a line, and its bytes without the line break, cut after `MAX_LINE` + 1 bytes."""


def read_businesses(file: IO[bytes], name: str) -> Iterator[Declaration | BadLine]:
    """Read all lines that are not blank. Raises `Unreadable` before the first one.

    The file has JSON lines if its name ends in .jsonl or .ndjson, or if it begins with ``{``.
    Otherwise it is CSV.
    """
    lines = _lines(file)
    first = next(lines, None)
    is_json = PurePath(name).suffix.lower() in _JSON_LINES_SUFFIXES
    if first is None:
        if is_json:
            return iter(())
        raise Unreadable(f"the file is empty: a CSV file begins with {','.join(FIELDS)}")
    if is_json or first[1].lstrip().startswith(b"{"):
        return (_of_json(number, line) for number, line in chain([first], lines))
    columns = _columns(first)
    return (_of_csv(number, line, columns) for number, line in lines)


def _lines(file: IO[bytes]) -> Iterator[_Line]:
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(_BOM)
        rest = line
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE + 1)  # skip the rest of a line that is too long
        if line.strip():
            yield number, line.rstrip(b"\r\n")


def _columns(header: _Line) -> Sequence[str]:
    number, line = header
    cells: list[str] | BadLine = _cells(number, line)
    right = f"the header must be {','.join(FIELDS)}, of which the last may be left out"
    if isinstance(cells, BadLine):
        raise Unreadable(f"{cells}; {right}")
    for position, column in enumerate(cells):
        if column not in FIELDS:
            raise Unreadable(f"line {number}: {_shown(column)}: is no known column; {right}")
        if column in cells[:position]:
            raise Unreadable(f"line {number}: {column}: comes twice; {right}")
    for column in REQUIRED:
        if column not in cells:
            raise Unreadable(f"line {number}: {column}: is missing; {right}")
    return cells


def _of_csv(number: int, line: bytes, columns: Sequence[str]) -> Declaration | BadLine:
    cells = _cells(number, line)
    if isinstance(cells, BadLine):
        return cells
    if len(cells) > len(columns):
        problem = f"is one too many, must be {len(columns)} as in the header"
        return BadLine(number, f"column {len(columns) + 1}", problem)
    values: dict[str, bool | str] = {}
    for column, cell in zip(columns, cells, strict=False):
        if not cell:
            continue
        if column == "id":
            values[column] = cell
        elif cell.lower() in _FLAGS:
            values[column] = _FLAGS[cell.lower()]
        else:
            problem = f"is {_shown(cell)}, must be true or false (or yes, no, 1, 0)"
            return BadLine(number, column, problem)
    return _declaration(number, values)


def _cells(number: int, line: bytes) -> list[str] | BadLine:
    text = _text(number, line)
    if isinstance(text, BadLine):
        return text
    try:
        return [cell.strip() for cell in next(csv.reader([text], strict=True))]
    except csv.Error as error:
        right = 'must be values with commas between them, quotes (") only around whole values'
        return BadLine(number, "CSV", f"cannot be read ({error}), {right}")


def _of_json(number: int, line: bytes) -> Declaration | BadLine:
    text = _text(number, line)
    if isinstance(text, BadLine):
        return text
    right = 'must be an object such as {"id": "b1", "accepting": true}'
    try:
        document = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        return BadLine(number, "JSON", f"cannot be read ({error.msg}), {right}")
    except (ValueError, RecursionError):
        return BadLine(number, "JSON", f"cannot be read, {right}")
    if not isinstance(document, _Pairs):
        return BadLine(number, "JSON", f"is no object, {right}")
    values: dict[str, bool | str] = {}
    for name, value in document:
        if name not in FIELDS:
            return BadLine(number, _shown(name), f"is unknown, must be one of {', '.join(FIELDS)}")
        if name in values:
            return BadLine(number, name, "comes twice, must come once")
        if name == "id" and not isinstance(value, str):
            return BadLine(number, name, f"is {_json_shown(value)}, must be a text")
        if name != "id" and not isinstance(value, bool):
            return BadLine(number, name, f"is {_json_shown(value)}, must be true or false")
        values[name] = value
    return _declaration(number, values)


class _Pairs(list[tuple[str, Any]]):
    """The names and values of an object, including names that come twice."""


def _declaration(number: int, values: Mapping[str, bool | str]) -> Declaration | BadLine:
    for name in REQUIRED:
        if name not in values:
            right = "a business id" if name == "id" else "true or false"
            return BadLine(number, name, f"is missing, must be {right}")
    text = str(values["id"])
    try:
        business_id = identifiers.business_id(text, field="id")
    except InvalidValue as error:
        return BadLine(number, error.field, f"is {_shown(text)}, {error.problem}")
    return Declaration(
        line=number,
        business_id=business_id,
        accepting=bool(values["accepting"]),
        expects_socket=bool(values.get("expectsSocket", True)),
    )


def _text(number: int, line: bytes) -> str | BadLine:
    if len(line) > MAX_LINE:
        return BadLine(number, "text", f"is too long, must be at most {MAX_LINE} bytes a line")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start + 1} (0x{line[error.start]:02x}) is not UTF-8"
        return BadLine(number, "text", f"{wrong}, must be UTF-8 throughout")


def _json_shown(value: object) -> str:
    # Deep nesting that could be read may be too deep to be written again.
    if isinstance(value, _Pairs):
        return "an object"
    return "a list" if isinstance(value, list) else _short(json.dumps(value))


def _shown(text: str) -> str:
    """Return a wrong text, short and printable."""
    return _short(ascii(text))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
