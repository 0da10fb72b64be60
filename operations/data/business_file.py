"""Reads files of businesses, CSV or JSON lines, one line at a time.

Each line is one record, because no value may contain a line break. So an unclosed quote spoils only
its own line, and memory does not grow with the file or with a long line.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, filterfalse, islice, zip_longest
from pathlib import PurePath
from typing import IO, Any, Final, Literal

from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import CANARY, BusinessId
from lambdas.domain.opening_hours import OpeningHours
from operations.shared.verbs import CannotBegin

REQUIRED: Final = ("id", "accepting")
FIELDS: Final = (*REQUIRED, "expectsSocket", "openingHours")

MAX_LINE: Final = 32 * 1024
"""Bytes of a line. The longest opening hours take about 27 KiB of it in CSV.

They have 100 exceptions, each with 10 intervals. In CSV, their quotes are doubled and each interval
takes 24 bytes: ``[""11:00"", ""14:00""], ``.
"""

_FLAG_FIELDS: Final = ("accepting", "expectsSocket")
_HOURS: Final = '{"timeZone": "Europe/Berlin", "weekly": {"mo": [["11:00", "14:00"]]}}'
_JSON_LINES_SUFFIXES: Final = {".jsonl", ".ndjson"}
_BOM: Final = b"\xef\xbb\xbf"
_OTHER_SEPARATORS: Final = {b";": "a semicolon", b"\t": "a tab"}
"""What spreadsheets write instead of a comma, depending on the language and the format."""

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
    expects_socket: bool | None = None
    """None: the line says nothing about it."""
    opening_hours: OpeningHours | Literal["as they are"] | None = "as they are"
    """None: the business has none any more. "as they are": the line says nothing about them."""


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
    Otherwise it is CSV. There, a line of empty cells is blank too: spreadsheets write such lines.
    """
    is_json, lines = _format_and_lines(file, name)
    if is_json:
        return (_of_json(number, line) for number, line in lines)
    header = next(lines, None)
    if header is None:
        raise Unreadable(f"the file is empty: a CSV file begins with {','.join(FIELDS)}")
    columns = _columns(header)
    return (_of_csv(number, line, columns) for number, line in lines)


def count_businesses(file: IO[bytes], name: str) -> int | None:
    """How many lines `read_businesses` reads; None if the file can only be read once."""
    if not file.seekable():
        return None
    is_json, lines = _format_and_lines(file, name)
    count = sum(1 for _ in lines)
    file.seek(0)
    return count if is_json else max(0, count - 1)


def _format_and_lines(file: IO[bytes], name: str) -> tuple[bool, Iterator[_Line]]:
    """Whether the file has JSON lines, and its lines that are not blank in that format."""
    lines = _lines(file)
    first = list(islice(lines, 1))
    is_named_so = PurePath(name).suffix.lower() in _JSON_LINES_SUFFIXES
    is_json = is_named_so or any(line.lstrip().startswith(b"{") for _, line in first)
    all_lines = chain(first, lines)
    return is_json, all_lines if is_json else filterfalse(_has_empty_cells_only, all_lines)


def _has_empty_cells_only(line: _Line) -> bool:
    cells = _cells(*line)
    return not isinstance(cells, BadLine) and not any(cells)


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
    right = f"the header must be {','.join(FIELDS)}, of which the last two may be left out"
    cells: list[str] | BadLine = _cells(number, line)
    for separator, sign in _OTHER_SEPARATORS.items():
        if separator in line and (
            isinstance(cells, BadLine) or not {"", *FIELDS}.issuperset(cells)
        ):
            wrong = f"{sign} separates the columns, must be a comma"
            raise Unreadable(f"line {number}: CSV: {wrong}; {right}")
    if isinstance(cells, BadLine):
        raise Unreadable(f"{cells}; {right}")
    for position, column in enumerate(cells):
        if column and column not in FIELDS:
            raise Unreadable(f"line {number}: {_shown(column)}: is no known column; {right}")
        if column and column in cells[:position]:
            raise Unreadable(f"line {number}: {column}: comes twice; {right}")
    for column in REQUIRED:
        if column not in cells:
            raise Unreadable(f"line {number}: {column}: is missing; {right}")
    return cells


def _of_csv(number: int, line: bytes, columns: Sequence[str]) -> Declaration | BadLine:
    cells = _cells(number, line)
    if isinstance(cells, BadLine):
        return cells
    values: dict[str, Any] = {}
    for position, (column, cell) in enumerate(zip_longest(columns, cells, fillvalue=""), start=1):
        if not cell:
            continue
        if not column:
            problem = f"is {_shown(cell)}, must be empty: the header names no such column"
            return BadLine(number, f"column {position}", problem)
        if column == "id":
            values[column] = cell
        elif column == "openingHours":
            try:
                values[column] = _parsed(cell, f"must be JSON such as {_HOURS}, or null")
            except InvalidValue as error:
                return BadLine(number, column, error.problem)
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
    if "\r" in text:
        return BadLine(number, "CSV", "has a lone CR, lines must end with LF or CR LF")
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
        document = _parsed(text, right)
    except InvalidValue as error:
        return BadLine(number, error.field, error.problem)
    if not isinstance(document, _Pairs):
        return BadLine(number, "JSON", f"is no object, {right}")
    values: dict[str, Any] = {}
    for name, value in document:
        if name not in FIELDS:
            return BadLine(number, _shown(name), f"is unknown, must be one of {', '.join(FIELDS)}")
        if name in values:
            return BadLine(number, name, "comes twice, must come once")
        if name == "id" and not isinstance(value, str):
            return BadLine(number, name, f"is {_json_shown(value)}, must be a text")
        if name in _FLAG_FIELDS and not isinstance(value, bool):
            return BadLine(number, name, f"is {_json_shown(value)}, must be true or false")
        values[name] = value
    return _declaration(number, values)


class _Pairs(list[tuple[str, Any]]):
    """The names and values of an object, including names that come twice."""


def _parsed(text: str, right: str) -> Any:
    """Parse JSON, with `_Pairs` for objects. Raises `InvalidValue`."""
    try:
        return json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise InvalidValue("JSON", f"cannot be read ({error.msg}), {right}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidValue("JSON", f"cannot be read, {right}") from error


def _opening_hours(value: Any) -> OpeningHours | None:
    """Read opening hours that were parsed. Raises `InvalidValue`; its field is the whole path."""
    if value is None:
        return None
    try:
        return OpeningHours.read(_with_objects(value))
    except RecursionError as error:
        problem = f"is nested too deeply, must be an object such as {_HOURS}"
        raise InvalidValue("openingHours", problem) from error
    except InvalidValue as error:
        if error.field == "openingHours":
            raise
        raise InvalidValue(f"openingHours.{error.field}", error.problem) from error


def _with_objects(value: Any) -> Any:
    """Turn `_Pairs` into objects. Raises `InvalidValue` if one has the same name twice."""
    if isinstance(value, _Pairs):
        found: dict[str, Any] = {}
        for name, each in value:
            if name in found:
                raise InvalidValue("openingHours", f"{_shown(name)} comes twice, must come once")
            found[name] = _with_objects(each)
        return found
    return [_with_objects(each) for each in value] if isinstance(value, list) else value


def _declaration(number: int, values: Mapping[str, Any]) -> Declaration | BadLine:
    for name in REQUIRED:
        if name not in values:
            right = "a business id" if name == "id" else "true or false"
            return BadLine(number, name, f"is missing, must be {right}")
    text = str(values["id"])
    try:
        business_id = identifiers.business_id(text, field="id")
    except InvalidValue as error:
        return BadLine(number, error.field, f"is {_shown(text)}, {error.problem}")
    if business_id == CANARY:
        return BadLine(number, "id", f"is {_shown(text)}, must be another: the canary has this one")
    declared = Declaration(
        line=number,
        business_id=business_id,
        accepting=values["accepting"],
        expects_socket=values.get("expectsSocket"),
    )
    if "openingHours" not in values:
        return declared
    try:
        return replace(declared, opening_hours=_opening_hours(values["openingHours"]))
    except InvalidValue as error:
        return BadLine(number, error.field, error.problem)


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
    """A wrong text, short and printable."""
    return _short(ascii(text))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
