"""Each line of a file is a declaration of one business, or a bad line with what is wrong."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lambdas.domain.identifiers import CANARY, BusinessId
from lambdas.domain.opening_hours import MAX_EXCEPTIONS, MAX_INTERVALS, WEEKDAYS, OpeningHours
from operations.data.business_file import (
    MAX_LINE,
    BadLine,
    Declaration,
    Unreadable,
    count_businesses,
    read_businesses,
)

HEADER = b"id,accepting,expectsSocket\n"


def read(content: bytes, name: str = "businesses.csv") -> list[Declaration | BadLine]:
    return list(read_businesses(io.BytesIO(content), name))


def said(
    line: int, business: str, accepting: bool, expects_socket: bool | None = None
) -> Declaration:
    return Declaration(line, BusinessId(business), accepting, expects_socket)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(HEADER + b"b1,true,false\nb2,false,\n", id="plain"),
        pytest.param(HEADER + b"b1,true,false\nb2,false,", id="no line break at the end"),
        pytest.param(
            b"\xef\xbb\xbfid,accepting,expectsSocket\r\nb1,TRUE,FALSE\r\nb2,FALSE,\r\n,,\r\n",
            id="as a spreadsheet saves it",
        ),
        pytest.param(
            b'"id","accepting","expectsSocket"\n"b1","true","false"\n"b2","false",""\n"","",""\n',
            id="quoted",
        ),
        pytest.param(HEADER + b"b1, YES ,No\nb2,0,\n", id="other words for true and false"),
        pytest.param(HEADER + b"b1,true,false\nb2,False,\n", id="an empty cell"),
        pytest.param(HEADER + b"b1,true,false\nb2,false\n", id="a cell less"),
        pytest.param(HEADER + b"b1,true,false,\nb2,false, ,,\n , ,\n", id="more empty cells"),
        pytest.param(
            b"id,accepting,,expectsSocket,,\nb1,true,,false,,\nb2,false,,,,\n,,,,,\n,\n",
            id="columns without a name and values",
        ),
        pytest.param(
            b'{"id":"b0","accepting":1}\n{"id":"b1","accepting":true,"expectsSocket":false}\n'
            b'{"accepting":false,"id":"b2"}\n',
            id="JSON lines by their first character",
        ),
    ],
)
def test_two_good_lines_are_read(content: bytes) -> None:
    lines = read(content)
    good = [line for line in lines if isinstance(line, Declaration)]
    assert good == [said(2, "b1", True, False), said(3, "b2", False)]
    assert count_businesses(io.BytesIO(content), "businesses.csv") == len(lines)


def test_columns_may_come_in_any_order() -> None:
    assert read(b"accepting,id\ntrue,b1\n") == [said(2, "b1", True)]


def test_blank_lines_are_skipped_and_lines_keep_their_numbers() -> None:
    assert read(b"\n" + HEADER + b"\r\n  \nb1,true\n\n") == [said(5, "b1", True)]
    assert read(b",,\n" + HEADER + b",,\r\n ,\nb1,true\n") == [said(5, "b1", True)]


@pytest.mark.parametrize("name", ["b.jsonl", "b.NDJSON"])
def test_json_lines_are_known_by_their_name(name: str) -> None:
    (line,) = read(b"[]\n", name)
    assert isinstance(line, BadLine)
    assert read(b"", name) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"\xef\xbb\xbf\r\n,,\r\n", "the file is empty"),
        (b"id,accepts\n", "line 1: 'accepts': is no known column"),
        (b"id;accepting\n", "line 1: CSV: a semicolon separates the columns, must be a comma"),
        (b'"id";"accepting"\n', "line 1: CSV: a semicolon separates the columns"),
        (b"id\taccepting\n", "line 1: CSV: a tab separates the columns, must be a comma"),
        (b"id,accepting,,note\n", "line 1: 'note': is no known column"),
        (b"\nid,accepting,id\n", "line 2: id: comes twice"),
        (b"id,expectsSocket\n", "line 1: accepting: is missing"),
        (b"b1,true\n", "line 1: 'b1': is no known column"),
        (b'id,"accepting\n', "line 1: CSV: cannot be read"),
        ("id,accepting\n".encode("utf-16"), "line 1: text: byte 1 (0xff) is not UTF-8"),
        (b"x" * (MAX_LINE + 1), "line 1: text: is too long"),
        (b"id,accepting\rb1,true\r", "line 1: CSV: has a lone CR, lines must end with LF or CR LF"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_header_ends_it_before_any_line(content: bytes, told: str) -> None:
    with pytest.raises(Unreadable) as unreadable:
        read_businesses(io.BytesIO(content), "businesses.csv")
    assert str(unreadable.value).startswith(told)
    assert "id,accepting,expectsSocket" in str(unreadable.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"b1,maybe", "line 2: accepting: is 'maybe', must be true or false (or yes, no, 1, 0)"),
        (b"b1,true,2", "line 2: expectsSocket: is '2', must be true or false (or yes, no, 1, 0)"),
        (b"b1", "line 2: accepting: is missing, must be true or false"),
        (b"b1,,true", "line 2: accepting: is missing, must be true or false"),
        (b",true", "line 2: id: is missing, must be a business id"),
        (b"b#1,true", "line 2: id: is 'b#1', must be 1 to 64 characters of A-Z a-z 0-9"),
        ("bü,true".encode(), "line 2: id: is 'b\\xfc', must be"),
        (b"b\x00,true", "line 2: id: is 'b\\x00', must be"),
        (b"b1,true,true,x", "line 2: column 4: is 'x', must be empty: the header names no such"),
        (b"b1,true,true,,x", "line 2: column 5: is 'x', must be empty: the header names no such"),
        (b'"', "line 2: CSV: cannot be read (unexpected end of data), must be"),
        (b'"b1,true', "line 2: CSV: cannot be read (unexpected end of data), must be"),
        (b'"b1"x,true', "line 2: CSV: cannot be read"),
        (b"b1,\xfftrue", "line 2: text: byte 4 (0xff) is not UTF-8, must be UTF-8 throughout"),
        (b"b" * (MAX_LINE + 1), f"line 2: text: is too long, must be at most {MAX_LINE} bytes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_line_of_csv_is_named_and_spoils_no_other(line: bytes, told: str) -> None:
    bad, good = read(HEADER + line + b"\nb2,true\n")
    assert str(bad).startswith(told)
    assert good == said(3, "b2", True)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"id":"b1","accepting":"true"}', 'accepting: is "true", must be true or false'),
        (b'{"id":"b1","accepting":1}', "accepting: is 1, must be true or false"),
        (b'{"id":"b1","accepting":null}', "accepting: is null, must be true or false"),
        (b'{"id":"b1","accepting":{"a":1}}', "accepting: is an object, must be true or false"),
        (b'{"id":7,"accepting":true}', "id: is 7, must be a text"),
        (b'{"id":"\\ud800","accepting":true}', "id: is '\\ud800', must be 1 to 64 characters"),
        (b'{"id":"b1"}', "accepting: is missing, must be true or false"),
        (b'{"id":"b1","accepting":true,"open":1}', "'open': is unknown, must be one of id,"),
        (b'{"id":"b1","accepting":true,"id":"b2"}', "id: comes twice, must come once"),
        (b",,", "JSON: cannot be read (Expecting value)"),
        (b'["b1", true]', "JSON: is no object, must be an object such as"),
        (b"{'id': 'b1'}", "JSON: cannot be read (Expecting property name"),
        (b'{"id":"b1","accepting":true} x', "JSON: cannot be read (Extra data)"),
        (b'{"id":"b1","accepting":' + b"[" * 4000, "JSON: cannot be read"),
        (b'{"id":' + b"9" * 4000 + b"}", "id: is 9999"),
        (b'{"id":"\xff"}', "text: byte 8 (0xff) is not UTF-8"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_json_line_is_named_and_spoils_no_other(line: bytes, told: str) -> None:
    bad, good = read(line + b'\n{"id":"b2","accepting":true}\n', "b.jsonl")
    assert str(bad).startswith(f"line 1: {told}")
    assert good == said(2, "b2", True)


HOURS = {
    "timeZone": "Europe/Berlin",
    "weekly": {"fr": [["11:00", "14:00"], ["17:00", "02:00"]]},
    "exceptions": {"2026-12-24": []},
}


def csv_line(hours: str) -> bytes:
    """A line of CSV with this text in the column of the hours."""
    quoted = hours.replace('"', '""')
    return f'b1,true,,"{quoted}"\n'.encode()


def json_line(hours: str) -> bytes:
    """A line of JSON with this value for the hours."""
    return f'{{"id":"b1","accepting":true,"openingHours":{hours}}}\n'.encode()


def read_hours(hours: str) -> list[Declaration | BadLine]:
    """Read the same hours from CSV and from JSON, both on line 1."""
    header = HEADER.replace(b"\n", b",openingHours\n")
    (from_csv,) = read(header + csv_line(hours))
    (from_json,) = read(json_line(hours))
    return [replace(from_csv, line=1), from_json]


def test_opening_hours_are_the_document_of_the_api() -> None:
    expected = replace(said(1, "b1", True), opening_hours=OpeningHours.read(HOURS))
    assert read_hours(json.dumps(HOURS)) == [expected, expected]


def test_null_removes_opening_hours() -> None:
    expected = replace(said(1, "b1", True), opening_hours=None)
    assert read_hours("null") == [expected, expected]


@pytest.mark.parametrize(
    "content",
    [
        b"id,accepting,expectsSocket,openingHours\nb1,true,,\n",
        b"id,accepting,expectsSocket,openingHours\nb1,true\n",
        b"id,accepting\nb1,true\n",
        b'\n{"id":"b1","accepting":true}\n',
    ],
    ids=["an empty cell", "a cell less", "no column", "no field"],
)
def test_a_line_says_nothing_about_what_it_does_not_mention(content: bytes) -> None:
    (line,) = read(content)
    assert isinstance(line, Declaration)
    assert (line.expects_socket, line.opening_hours) == (None, "as they are")


def with_changes(**changes: Any) -> str:
    return json.dumps({**HOURS, **changes})


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        ("7", "openingHours: 7 is not an object"),
        (with_changes(open=[]), "openingHours.open: is not a field"),
        (
            with_changes(weekly={"fr": [["11:00", "25:00"]]}),
            'openingHours.weekly.fr.0: "25:00" is not an end; must be HH:MM',
        ),
        (
            with_changes(weekly={"fr": [{"a": "11:00", "b": "14:00"}]}),
            'openingHours.weekly.fr.0: {"a": "11:00", "b": "14:00"} is not an interval',
        ),
        (
            '{"timeZone":"Europe/Berlin","timeZone":"Europe/Rome"}',
            "openingHours: 'timeZone' comes twice, must come once",
        ),
        (
            '{"timeZone":"Europe/Berlin","weekly":{"fr":[{"a":1,"a":1}]}}',
            "openingHours: 'a' comes twice, must come once",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_opening_hours_are_named_by_their_field(hours: str, told: str) -> None:
    for bad in read_hours(hours):
        assert str(bad).startswith(f"line 1: {told}")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (
            b'"{""timeZone"""',
            "openingHours: cannot be read (Expecting ':' delimiter), must be JSON",
        ),
        (b"always", "openingHours: cannot be read (Expecting value), must be JSON such as {"),
        (b'{"timeZone":"Europe/Berlin","weekly":{}}', "CSV: cannot be read (',' expected"),
    ],
    ids=["broken off", "no JSON", "not quoted"],
)
def test_a_cell_that_is_no_json_is_named_and_spoils_no_other_line(cell: bytes, told: str) -> None:
    bad, good = read(b"id,accepting,openingHours\nb1,true," + cell + b"\nb2,true,\n")
    assert str(bad).startswith(f"line 2: {told}")
    assert good == said(3, "b2", True)


def test_the_longest_opening_hours_fit_into_a_line_of_either_format() -> None:
    day = [[f"{hour:02}:00", f"{hour:02}:30"] for hour in range(MAX_INTERVALS)]
    dates = [f"2026-{month:02}-{day:02}" for month in range(1, 6) for day in range(1, 21)]
    assert len(dates) == MAX_EXCEPTIONS
    longest = {
        "timeZone": "America/Argentina/ComodRivadavia",
        "weekly": dict.fromkeys(WEEKDAYS, day),
        "exceptions": dict.fromkeys(dates, day),
    }
    expected = replace(said(1, "b1", True), opening_hours=OpeningHours.read(longest))
    assert read_hours(json.dumps(longest)) == [expected, expected]


@pytest.mark.parametrize("depth", [*range(400, 1000, 15), 2000, 5000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_deeply_nested_opening_hours_are_a_bad_line(depth: int, begin: str, end: str) -> None:
    nested = begin * depth + "1" + end * depth
    for hours in (nested, f'{{"timeZone":{nested}}}'):
        for bad in read_hours(hours):
            assert isinstance(bad, BadLine)


@pytest.mark.parametrize("depth", [*range(900, 1000, 5), 2000])
def test_a_deeply_nested_value_is_one_bad_line(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    (bad,) = read(b'{"id": "b1", "accepting": ' + nested + b"}")
    assert isinstance(bad, BadLine)


def test_a_wrong_value_is_shown_short_and_printable() -> None:
    (bad,) = read(HEADER + b"\x1b[31m\xe2\x80\xa8" + b"b" * 1000 + b",true\n")
    assert str(bad).isprintable()
    assert len(str(bad)) < 200


class _Endless(io.RawIOBase):
    """A file of many megabytes that nobody ever has in memory."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # a wider type there
        chunk = next(self._chunks, b"")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def test_a_line_of_many_megabytes_is_not_read_into_memory() -> None:
    def chunks() -> Iterator[bytes]:
        yield HEADER
        for _ in range(10_000):
            yield b"b" * 4096
        yield b"\nb2,true\n"

    tracemalloc.start()
    try:
        lines = list(read_businesses(io.BufferedReader(_Endless(chunks())), "businesses.csv"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [line.line for line in lines] == [2, 3]
    assert peak < 1_000_000


def test_the_business_of_the_canary_is_refused() -> None:
    refused, other = read(HEADER + f"{CANARY},true\nb2,true\n".encode())
    assert str(refused) == (f"line 2: id: is '{CANARY}', must be another: the canary has this one")
    assert other == said(3, "b2", True)
