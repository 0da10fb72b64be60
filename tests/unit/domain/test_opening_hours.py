"""When a business is open: tables by hand, and a slow reference that looks at every minute."""

import json
import zoneinfo
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambdas.domain.errors import InvalidValue
from lambdas.domain.model import Instant
from lambdas.domain.opening_hours import WEEKDAYS, OpeningHours, parse_text

HOUR = 3600
DAY = 24 * HOUR

RESTAURANT: dict[str, Any] = {
    "timeZone": "Europe/Berlin",
    "weekly": {
        "mo": [["11:00", "14:00"], ["17:00", "23:30"]],
        "fr": [["11:00", "02:00"]],
        "sa": [["11:00", "02:00"]],
        "su": [],
    },
    "exceptions": {"2026-12-24": [], "2026-12-31": [["18:00", "02:00"]]},
}


def at(text: str) -> Instant:
    """A moment, written with its offset: 2026-10-25T02:30+02:00."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return int(moment.timestamp())


def hours(
    zone: str = "Europe/Berlin",
    *,
    daily: list[list[str]] | None = None,
    exceptions: dict[str, list[list[str]]] | None = None,
    **weekly: list[list[str]],
) -> OpeningHours:
    """Hours with the same intervals `daily`, unless a weekday has its own."""
    days = {name: daily for name in WEEKDAYS if daily} | weekly
    return OpeningHours.read({"timeZone": zone, "weekly": days, "exceptions": exceptions or {}})


# Each case: the hours, a window, and when the business is open within it.
TABLE = {
    "a split shift": (
        hours(mo=[["11:00", "14:00"], ["17:00", "23:30"]]),
        ("2026-11-23T00:00+01:00", "2026-11-30T00:00+01:00"),
        [
            ("2026-11-23T11:00+01:00", "2026-11-23T14:00+01:00"),
            ("2026-11-23T17:00+01:00", "2026-11-23T23:30+01:00"),
        ],
    ),
    "a window cuts what it begins and ends in": (
        hours(daily=[["11:00", "14:00"]]),
        ("2026-11-23T12:00:01+01:00", "2026-11-24T13:59:59+01:00"),
        [
            ("2026-11-23T12:00:01+01:00", "2026-11-23T14:00+01:00"),
            ("2026-11-24T11:00+01:00", "2026-11-24T13:59:59+01:00"),
        ],
    ),
    "touching intervals are one": (
        hours(mo=[["14:00", "18:00"], ["11:00", "14:00"]]),
        ("2026-11-23T00:00+01:00", "2026-11-24T00:00+01:00"),
        [("2026-11-23T11:00+01:00", "2026-11-23T18:00+01:00")],
    ),
    "past midnight into a closed day": (
        hours(sa=[["11:00", "02:00"]], su=[]),
        ("2026-11-23T00:00+01:00", "2026-11-30T00:00+01:00"),
        [("2026-11-28T11:00+01:00", "2026-11-29T02:00+01:00")],
    ),
    "past midnight into the hours of the next day": (
        hours(fr=[["22:00", "04:00"]], sa=[["03:00", "05:00"], ["06:00", "07:00"]]),
        ("2026-11-27T00:00+01:00", "2026-11-29T00:00+01:00"),
        [
            ("2026-11-27T22:00+01:00", "2026-11-28T05:00+01:00"),
            ("2026-11-28T06:00+01:00", "2026-11-28T07:00+01:00"),
        ],
    ),
    "past midnight over all hours of the next day": (
        hours(fr=[["11:00", "10:00"]], sa=[["01:00", "02:00"]]),
        ("2026-11-27T00:00+01:00", "2026-11-29T00:00+01:00"),
        [("2026-11-27T11:00+01:00", "2026-11-28T10:00+01:00")],
    ),
    "past midnight into a date that is closed by an exception": (
        hours(daily=[["18:00", "02:00"]], exceptions={"2026-12-24": []}),
        ("2026-12-23T12:00+01:00", "2026-12-26T12:00+01:00"),
        [
            ("2026-12-23T18:00+01:00", "2026-12-24T02:00+01:00"),
            ("2026-12-25T18:00+01:00", "2026-12-26T02:00+01:00"),
        ],
    ),
    "an exception past midnight, and the hours of the next day": (
        hours(daily=[["09:00", "10:00"]], exceptions={"2026-12-30": [["23:00", "09:30"]]}),
        ("2026-12-30T00:00+01:00", "2026-12-31T12:00+01:00"),
        [("2026-12-30T23:00+01:00", "2026-12-31T10:00+01:00")],
    ),
    "an exception replaces an interval past midnight as a whole": (
        hours(daily=[["18:00", "02:00"]], exceptions={"2026-12-24": [["10:00", "12:00"]]}),
        ("2026-12-24T03:00+01:00", "2026-12-25T17:00+01:00"),
        [("2026-12-24T10:00+01:00", "2026-12-24T12:00+01:00")],
    ),
    "exceptions without weekly hours, over the end of the year": (
        OpeningHours.read(
            {"timeZone": "Europe/Berlin", "exceptions": {"2026-12-31": [["18:00", "02:00"]]}}
        ),
        ("2026-12-01T00:00+01:00", "2027-02-01T00:00+01:00"),
        [("2026-12-31T18:00+01:00", "2027-01-01T02:00+01:00")],
    ),
    "the end of a leap year's February": (
        hours(exceptions={"2028-02-29": [["20:00", "01:00"]]}),
        ("2028-02-28T00:00+01:00", "2028-03-02T00:00+01:00"),
        [("2028-02-29T20:00+01:00", "2028-03-01T01:00+01:00")],
    ),
    "an end equal to the start is a day later": (
        hours(mo=[["11:00", "11:00"]]),
        ("2026-11-23T00:00+01:00", "2026-11-30T00:00+01:00"),
        [("2026-11-23T11:00+01:00", "2026-11-24T11:00+01:00")],
    ),
    "all day": (
        hours(mo=[["00:00", "24:00"]], tu=[["00:00", "24:00"]]),
        ("2026-11-22T00:00+01:00", "2026-11-29T00:00+01:00"),
        [("2026-11-23T00:00+01:00", "2026-11-25T00:00+01:00")],
    ),
    "all day, every day": (
        hours(daily=[["00:00", "24:00"]]),
        ("2026-03-01T00:00+01:00", "2026-11-01T00:00+01:00"),
        [("2026-03-01T00:00+01:00", "2026-11-01T00:00+01:00")],
    ),
    "an empty window": (
        hours(daily=[["00:00", "24:00"]]),
        ("2026-03-01T00:00+01:00", "2026-03-01T00:00+01:00"),
        [],
    ),
    "Berlin, spring: the closing time does not occur": (
        hours(daily=[["01:00", "02:30"]]),
        ("2026-03-29T00:00+01:00", "2026-03-29T12:00+02:00"),
        [("2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00")],
    ),
    "Berlin, spring: the opening time does not occur": (
        hours(daily=[["02:30", "05:00"]]),
        ("2026-03-29T00:00+01:00", "2026-03-29T12:00+02:00"),
        [("2026-03-29T03:00+02:00", "2026-03-29T05:00+02:00")],
    ),
    "Berlin, spring: neither of them occurs": (
        hours(daily=[["02:15", "02:45"]]),
        ("2026-03-29T00:00+01:00", "2026-03-30T12:00+02:00"),
        [("2026-03-30T02:15+02:00", "2026-03-30T02:45+02:00")],
    ),
    "Berlin, spring: closing and opening just at the change": (
        hours(daily=[["01:00", "02:00"], ["03:00", "04:00"]]),
        ("2026-03-29T00:00+01:00", "2026-03-29T12:00+02:00"),
        [("2026-03-29T01:00+01:00", "2026-03-29T04:00+02:00")],
    ),
    "Berlin, autumn: the closing time occurs twice": (
        hours(daily=[["01:00", "02:30"]]),
        ("2026-10-25T00:00+02:00", "2026-10-25T12:00+01:00"),
        [
            ("2026-10-25T01:00+02:00", "2026-10-25T02:30+02:00"),
            ("2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00"),
        ],
    ),
    "Berlin, autumn: the opening time occurs twice": (
        hours(daily=[["02:30", "04:00"]]),
        ("2026-10-25T00:00+02:00", "2026-10-25T12:00+01:00"),
        [
            ("2026-10-25T02:30+02:00", "2026-10-25T03:00+02:00"),
            ("2026-10-25T02:30+01:00", "2026-10-25T04:00+01:00"),
        ],
    ),
    "Berlin, autumn: both of them occur twice": (
        hours(daily=[["02:15", "02:45"]]),
        ("2026-10-25T00:00+02:00", "2026-10-25T12:00+01:00"),
        [
            ("2026-10-25T02:15+02:00", "2026-10-25T02:45+02:00"),
            ("2026-10-25T02:15+01:00", "2026-10-25T02:45+01:00"),
        ],
    ),
    "Berlin, autumn: the hour that occurs twice is open twice": (
        hours(daily=[["02:00", "03:00"]]),
        ("2026-10-25T00:00+02:00", "2026-10-25T12:00+01:00"),
        [("2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00")],
    ),
    "New York, spring, over midnight and over the change": (
        hours("America/New_York", daily=[["22:00", "03:30"]]),
        ("2026-03-07T12:00-05:00", "2026-03-08T12:00-04:00"),
        [("2026-03-07T22:00-05:00", "2026-03-08T03:30-04:00")],
    ),
    "New York, autumn, over midnight and over the change": (
        hours("America/New_York", daily=[["22:00", "01:30"]]),
        ("2026-10-31T12:00-04:00", "2026-11-01T12:00-05:00"),
        [
            ("2026-10-31T22:00-04:00", "2026-11-01T01:30-04:00"),
            ("2026-11-01T01:00-05:00", "2026-11-01T01:30-05:00"),
        ],
    ),
    "Lord Howe, spring: half an hour does not occur": (
        hours("Australia/Lord_Howe", daily=[["01:00", "02:15"], ["02:20", "04:00"]]),
        ("2026-10-04T00:00+10:30", "2026-10-04T12:00+11:00"),
        [("2026-10-04T01:00+10:30", "2026-10-04T04:00+11:00")],
    ),
    "Lord Howe, autumn: half an hour occurs twice": (
        hours("Australia/Lord_Howe", daily=[["01:00", "01:45"]]),
        ("2026-04-05T00:00+11:00", "2026-04-05T12:00+10:30"),
        [
            ("2026-04-05T01:00+11:00", "2026-04-05T01:45+11:00"),
            ("2026-04-05T01:30+10:30", "2026-04-05T01:45+10:30"),
        ],
    ),
    "Kathmandu, ahead by 5:45": (
        hours("Asia/Kathmandu", daily=[["10:00", "22:00"]]),
        ("2026-11-23T00:00+00:00", "2026-11-24T00:00+00:00"),
        [("2026-11-23T04:15+00:00", "2026-11-23T16:15+00:00")],
    ),
    "Apia skipped 2011-12-30: what was to begin on it, and what was to end on it": (
        hours("Pacific/Apia", daily=[["18:00", "02:00"]]),
        ("2011-12-29T12:00-10:00", "2011-12-31T12:00+14:00"),
        [("2011-12-29T18:00-10:00", "2011-12-31T02:00+14:00")],
    ),
    "Apia skipped 2011-12-30: it was closed from its end on": (
        hours("Pacific/Apia", daily=[["18:00", "24:00"]]),
        ("2011-12-29T12:00-10:00", "2011-12-31T12:00+14:00"),
        [("2011-12-29T18:00-10:00", "2011-12-30T00:00-10:00")],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_opens_and_closes_to_the_second(case: str) -> None:
    known, (start, end), expected = TABLE[case]
    assert known.intervals(at(start), at(end)) == tuple((at(a), at(b)) for a, b in expected)
    for moment in sorted({at(x) for pair in expected for x in pair} - {at(start), at(end)}):
        assert known.next_change(moment - 1) == moment
        assert known.is_open(moment) is not known.is_open(moment - 1)
    for begin, until in expected:
        assert known.is_open(at(begin))
        assert known.is_open(at(until) - 1)


@pytest.mark.parametrize(
    ("never", "is_open"),
    [
        (hours(daily=[["00:00", "24:00"]]), True),
        (hours(daily=[["11:00", "11:00"]]), True),
        (hours("America/New_York", daily=[["00:00", "12:00"], ["12:00", "00:00"]]), True),
        (OpeningHours.read({"timeZone": "Europe/Berlin"}), False),
        (hours(exceptions={"2026-12-31": []}), False),
    ],
)
def test_hours_that_never_change_have_no_next_change(never: OpeningHours, is_open: bool) -> None:
    for days in (0, 29, 31, 500, 0):
        now = at("2026-11-24T12:00:07+01:00") + days * DAY
        assert never.is_open(now) is is_open
        assert never.next_change(now) is None


def test_a_change_more_than_400_days_ahead_is_none() -> None:
    far = hours(exceptions={"2028-06-01": [["12:00", "13:00"]]})
    change = at("2028-06-01T12:00+02:00")
    for early in (500 * DAY, 430 * DAY, 410 * DAY, 400 * DAY + 1):
        assert far.next_change(change - early) is None
    for near in (400 * DAY, 399 * DAY, 30 * DAY, 1):
        assert far.next_change(change - near) == change
    assert far.next_change(change) == change + HOUR
    assert far.next_change(change + HOUR) is None


def test_what_is_remembered_does_not_depend_on_the_order_of_the_questions() -> None:
    known = hours("Asia/Kathmandu", daily=[["11:00", "14:00"]])
    noon = at("2026-11-24T12:00+05:45")
    for days in (0, 40, -40, 0, 1, -1, 800, 0):
        assert known.is_open(noon + days * DAY)
        assert not known.is_open(noon + days * DAY + 3 * HOUR)
        assert known.next_change(noon + days * DAY) == noon + days * DAY + 2 * HOUR


def test_threads_that_ask_about_different_moments_get_their_own_answers() -> None:
    known = hours(daily=[["11:00", "14:00"]])
    noon = at("2026-11-24T12:00+01:00")

    def ask(i: int) -> bool:
        return known.is_open(noon + i % 5 * DAY + i % 2 * 3 * HOUR) is (i % 2 == 0)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(2000)))


PAST: dict[str, tuple[dict[str, list[list[str]]], str, bool]] = {
    "its date is not over": ({"2026-11-24": []}, "2026-11-24T23:59:59+01:00", True),
    "its date is over": ({"2026-11-24": []}, "2026-11-25T00:00+01:00", False),
    "it is far ahead": ({"2027-12-24": []}, "2026-11-24T00:00+01:00", True),
    "it is long over": ({"2020-12-24": []}, "2026-11-24T00:00+01:00", False),
    "it is open past midnight": (
        {"2026-11-24": [["18:00", "02:00"]]},
        "2026-11-25T01:59:59+01:00",
        True,
    ),
    "it was open past midnight": (
        {"2026-11-24": [["18:00", "02:00"]]},
        "2026-11-25T02:00+01:00",
        False,
    ),
    "it keeps a Friday closed that would be open past midnight": (
        {"2026-11-27": []},
        "2026-11-28T03:59:59+01:00",
        True,
    ),
    "that Friday would be over": ({"2026-11-27": []}, "2026-11-28T04:00+01:00", False),
    "the clocks will go back to it": (
        {"2026-10-24": [["18:00", "02:30"]]},
        "2026-10-25T02:45+02:00",
        True,
    ),
    "the clocks went back past its end": (
        {"2026-10-24": [["18:00", "02:30"]]},
        "2026-10-25T02:30+01:00",
        False,
    ),
}


@pytest.mark.parametrize("case", PAST)
def test_an_exception_is_kept_while_it_can_matter(case: str) -> None:
    exceptions, now, kept = PAST[case]
    known = hours(fr=[["20:00", "04:00"]], exceptions=exceptions)
    left = known.without_past_exceptions(at(now))
    assert left == (known if kept else hours(fr=[["20:00", "04:00"]]))
    assert left.without_past_exceptions(at(now)) is left


def test_clocks_that_go_back_over_midnight_bring_a_date_back() -> None:
    """St John's set its clocks from 00:01 back to 23:01 until 2011."""
    known = hours(
        "America/St_Johns",
        daily=[["09:00", "24:00"]],
        exceptions={"2010-11-06": [["23:30", "24:00"]]},
    )
    assert known.without_past_exceptions(at("2010-11-07T00:00:59-02:30")) == known
    assert known.is_open(at("2010-11-06T23:45-03:30"))
    assert not known.without_past_exceptions(at("2010-11-07T00:00-03:30")).exceptions


def test_past_exceptions_go_by_the_date_of_the_zone() -> None:
    now = at("2026-11-24T12:00+00:00")
    closed: dict[str, list[list[str]]] = {"2026-11-24": []}
    assert (
        not hours("Pacific/Kiritimati", exceptions=closed).without_past_exceptions(now).exceptions
    )
    assert hours("Pacific/Pago_Pago", exceptions=closed).without_past_exceptions(now).exceptions


def test_only_past_exceptions_are_dropped() -> None:
    known = OpeningHours.read(RESTAURANT)
    left = known.without_past_exceptions(at("2026-12-26T12:00+01:00"))
    assert list(left.document()["exceptions"]) == ["2026-12-31"]
    assert left.weekly == known.weekly


ZONE = {"timeZone": "Europe/Berlin"}
INTERVAL = ["11:00", "14:00"]

WRONG: dict[str, tuple[object, str, str]] = {
    "no object": ([], "openingHours", "[] is not an object; must have the field timeZone"),
    "nothing": (None, "openingHours", "null is not an object"),
    "an unknown field": (
        {**ZONE, "weekley": {}},
        "weekley",
        "is not a field of opening hours; those are timeZone, weekly, exceptions",
    ),
    "no zone": ({}, "timeZone", "is missing; must be the IANA name of a time zone"),
    "an unknown zone": (
        {"timeZone": "Europe/Berlinn"},
        "timeZone",
        '"Europe/Berlinn" is not a time zone; must be the IANA name of a time zone, such as '
        '"Europe/Berlin"',
    ),
    "a folder of zones": ({"timeZone": "Europe"}, "timeZone", '"Europe" is not a time zone'),
    "a zone with leap seconds": ({"timeZone": "right/Europe/Berlin"}, "timeZone", "is not a"),
    "the zone of this machine": ({"timeZone": "localtime"}, "timeZone", "is not a time zone"),
    "a path": ({"timeZone": "../../../etc/passwd"}, "timeZone", "is not a time zone"),
    "a zone with a null character": ({"timeZone": "UTC\0"}, "timeZone", r'"UTC\u0000" is not a'),
    "an empty zone": ({"timeZone": ""}, "timeZone", '"" is not a time zone'),
    "a zone that is no text": ({"timeZone": ["UTC"]}, "timeZone", '["UTC"] is not a time zone'),
    "a long zone": ({"timeZone": "x" * 99}, "timeZone", '"' + "x" * 36 + "... is not a time zone"),
    "weekly hours that are no object": (
        {**ZONE, "weekly": [INTERVAL]},
        "weekly",
        '[["11:00", "14:00"]] is not an object; must have a list of intervals for each weekday',
    ),
    "weekly hours that are null": ({**ZONE, "weekly": None}, "weekly", "null is not an object"),
    "an unknown weekday": (
        {**ZONE, "weekly": {"friday": []}},
        "weekly",
        '"friday" is not a weekday; must be one of mo, tu, we, th, fr, sa, su',
    ),
    "a weekday that is no list": (
        {**ZONE, "weekly": {"fr": "11:00-14:00"}},
        "weekly.fr",
        '"11:00-14:00" is not a list; must be a list of intervals: [["11:00", "14:00"]], or []',
    ),
    "a closed weekday as null": ({**ZONE, "weekly": {"fr": None}}, "weekly.fr", "or [] for closed"),
    "one interval instead of a list": (
        {**ZONE, "weekly": {"fr": INTERVAL}},
        "weekly.fr.0",
        '"11:00" is not an interval; must be a start and an end: ["11:00", "14:00"]',
    ),
    "a start without an end": (
        {**ZONE, "weekly": {"fr": [INTERVAL, ["17:00"]]}},
        "weekly.fr.1",
        '["17:00"] is not an interval',
    ),
    "three times": (
        {**ZONE, "weekly": {"fr": [["11:00", "14:00", "17:00"]]}},
        "weekly.fr.0",
        "is not an interval",
    ),
    "an interval that is an object": (
        {**ZONE, "weekly": {"fr": [{"from": "11:00", "to": "14:00"}]}},
        "weekly.fr.0",
        '{"from": "11:00", "to": "14:00"} is not an interval',
    ),
    "overlapping intervals": (
        {**ZONE, "weekly": {"fr": [["13:00", "15:00"], INTERVAL]}},
        "weekly.fr",
        '["11:00", "14:00"] and ["13:00", "15:00"] overlap; an interval must end before the next '
        "begins, or just when it does",
    ),
    "overlapping intervals, one past midnight": (
        {**ZONE, "weekly": {"fr": [["22:00", "02:00"], ["23:00", "23:30"]]}},
        "weekly.fr",
        '["22:00", "02:00"] and ["23:00", "23:30"] overlap',
    ),
    "overlapping intervals, one around the clock": (
        {**ZONE, "weekly": {"fr": [["11:00", "11:00"], ["12:00", "13:00"]]}},
        "weekly.fr",
        '["11:00", "11:00"] and ["12:00", "13:00"] overlap',
    ),
    "overlapping intervals of an exception": (
        {**ZONE, "exceptions": {"2026-12-24": [INTERVAL, INTERVAL]}},
        "exceptions.2026-12-24",
        "overlap",
    ),
    "too many intervals": (
        {**ZONE, "weekly": {"fr": [[f"{h:02}:00", f"{h:02}:30"] for h in range(11)]}},
        "weekly.fr",
        "has 11 intervals; must be at most 10",
    ),
    "exceptions that are no object": (
        {**ZONE, "exceptions": ["2026-12-24"]},
        "exceptions",
        '["2026-12-24"] is not an object; must have a list of intervals for each date',
    ),
    "an exception that is no list": (
        {**ZONE, "exceptions": {"2026-12-24": False}},
        "exceptions.2026-12-24",
        "false is not a list",
    ),
    "a wrong time in an exception": (
        {**ZONE, "exceptions": {"2026-12-24": [INTERVAL, ["17:00", "25:00"]]}},
        "exceptions.2026-12-24.1",
        '"25:00" is not an end',
    ),
    "too many exceptions": (
        {**ZONE, "exceptions": {str(date(2026, 1, 1) + timedelta(i)): [] for i in range(101)}},
        "exceptions",
        "has 101 dates; must be at most 100",
    ),
}
WRONG |= {
    f"the date {text}": (
        {**ZONE, "exceptions": {text: []}},
        "exceptions",
        f'{json.dumps(text)} is not a date; must be one such as "2026-12-24"',
    )
    for text in ("2026-02-29", "20261224", "2026-W52-4", "24.12.2026", "2026-12-24T00:00", "")
}
WRONG |= {
    f"the start {start!r}": (
        {**ZONE, "weekly": {"mo": [[start, "14:00"]]}},
        "weekly.mo.0",
        f'{json.dumps(start)} is not a start; must be HH:MM, from "00:00" to "23:59"',
    )
    for start in ("24:00", "9:00", "09:60", "11:00:00", "11.00", "11:00\n", "１１:00", 1100, None)
}
WRONG |= {
    f"the end {end!r}": (
        {**ZONE, "weekly": {"mo": [["11:00", end]]}},
        "weekly.mo.0",
        f'{json.dumps(end)} is not an end; must be HH:MM, from "00:00" to "24:00"',
    )
    for end in ("24:01", "25:00", "2:00", "-1:00", "", 2, True)
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_what_would_be_right(case: str) -> None:
    document, name, problem = WRONG[case]
    with pytest.raises(InvalidValue) as refused:
        OpeningHours.read(document)
    assert refused.value.field == name
    assert problem in refused.value.problem


def test_ten_intervals_a_day_and_a_hundred_exceptions_are_fine() -> None:
    ten = [[f"{h:02}:00", f"{h + 1:02}:00"] for h in range(10)]
    dates = {str(date(2026, 1, 1) + timedelta(i)): ten for i in range(100)}
    assert OpeningHours.read({**ZONE, "weekly": {"mo": ten}, "exceptions": dates})


def test_intervals_of_two_days_may_overlap() -> None:
    assert hours(fr=[["22:00", "04:00"]], sa=[["03:00", "05:00"]])


def test_hours_survive_being_stored() -> None:
    known = OpeningHours.read(RESTAURANT)
    assert parse_text(known.text()) == known
    assert parse_text(known.text()).document() == known.document()
    assert known.text() == (
        '{"timeZone":"Europe/Berlin","weekly":{"mo":[["11:00","14:00"],["17:00","23:30"]],'
        '"fr":[["11:00","02:00"]],"sa":[["11:00","02:00"]]},'
        '"exceptions":{"2026-12-24":[],"2026-12-31":[["18:00","02:00"]]}}'
    )


@pytest.mark.parametrize(
    ("declared", "canonical"),
    [
        (ZONE, {**ZONE, "weekly": {}, "exceptions": {}}),
        (
            {**ZONE, "weekly": {"tu": [], "mo": [["17:00", "00:00"], ["11:00", "11:30"]]}},
            {**ZONE, "weekly": {"mo": [["11:00", "11:30"], ["17:00", "24:00"]]}, "exceptions": {}},
        ),
        (
            {**ZONE, "exceptions": {"2026-12-31": [["00:00", "00:00"]], "2026-12-24": []}},
            {
                **ZONE,
                "weekly": {},
                "exceptions": {"2026-12-24": [], "2026-12-31": [["00:00", "24:00"]]},
            },
        ),
        (
            {**ZONE, "weekly": {"su": [["11:00", "11:00"]]}},
            {**ZONE, "weekly": {"su": [["11:00", "11:00"]]}, "exceptions": {}},
        ),
    ],
)
def test_equal_hours_have_one_form(declared: object, canonical: dict[str, Any]) -> None:
    known = OpeningHours.read(declared)
    assert json.dumps(known.document()) == json.dumps(canonical)
    assert OpeningHours.read(canonical) == known
    assert hash(OpeningHours.read(canonical)) == hash(known)


def test_answers_do_not_change_what_is_equal() -> None:
    asked, fresh = OpeningHours.read(RESTAURANT), OpeningHours.read(RESTAURANT)
    asked.is_open(at("2026-11-24T12:00+01:00"))
    assert asked == fresh
    assert hash(asked) == hash(fresh)


def test_a_stored_text_is_read_once() -> None:
    text = OpeningHours.read(RESTAURANT).text()
    assert parse_text(text) is parse_text(str(text.encode(), "utf-8"))


@pytest.mark.parametrize(
    "text", ["", "{", "null", "{}", '{"timeZone":"Mars/Base"}', "[" * 100_000, '{"timeZone":1e999}']
)
def test_a_stored_text_that_cannot_be_read_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_text(text)


@pytest.fixture
def system_without_zones() -> Iterator[None]:
    zoneinfo.reset_tzpath(to=())
    ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    ZoneInfo.clear_cache()


@pytest.mark.usefixtures("system_without_zones")
def test_zones_are_found_where_the_system_has_none() -> None:
    known = hours("Europe/Berlin", daily=[["02:30", "05:00"]])
    assert known.next_change(at("2026-03-29T01:59+01:00")) == at("2026-03-29T03:00+02:00")


# A reference, written from the rules alone: it looks at the wall clock of every minute.

# Moments at which the clocks change (or not, for Kathmandu), at whole minutes.
CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00+00:00"),
    ("Europe/Berlin", "2026-10-25T01:00+00:00"),
    ("America/New_York", "2026-03-08T07:00+00:00"),
    ("America/New_York", "2026-11-01T06:00+00:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00+00:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30+00:00"),
    ("America/St_Johns", "2010-11-07T02:31+00:00"),
    ("America/Havana", "2026-11-01T05:00+00:00"),
    ("Africa/Cairo", "2026-04-23T22:00+00:00"),
    ("Pacific/Apia", "2011-12-30T10:00+00:00"),
    ("Pacific/Kwajalein", "1969-09-30T13:00+00:00"),
    ("Asia/Kathmandu", "2026-12-31T18:15+00:00"),
]


def interval_of(day: date, start: str, end: str) -> tuple[datetime, datetime]:
    begins = datetime.combine(day, time.fromisoformat(start))
    midnight = datetime.combine(day, time())
    hour, minute = end.split(":")
    ends = midnight + timedelta(hours=int(hour), minutes=int(minute))
    return begins, ends if ends > begins else ends + timedelta(days=1)


def open_by_the_wall_clock(document: dict[str, Any], wall: datetime) -> bool:
    for day in (wall.date() - timedelta(days=1), wall.date()):
        weekly = document["weekly"].get(WEEKDAYS[day.weekday()], [])
        for start, end in document["exceptions"].get(day.isoformat(), weekly):
            begins, ends = interval_of(day, start, end)
            if begins <= wall < ends:
                return True
    return False


def minutes_of(document: dict[str, Any], start: Instant, end: Instant) -> dict[Instant, bool]:
    zone = ZoneInfo(document["timeZone"])
    return {
        now: open_by_the_wall_clock(
            document, datetime.fromtimestamp(now, UTC).astimezone(zone).replace(tzinfo=None, fold=0)
        )
        for now in range(start, end, 60)
    }


def runs(minutes: dict[Instant, bool], end: Instant) -> tuple[tuple[Instant, Instant], ...]:
    found: list[tuple[Instant, Instant]] = []
    begin: Instant | None = None
    for now, is_open in [*minutes.items(), (end, False)]:
        if is_open and begin is None:
            begin = now
        if not is_open and begin is not None:
            found.append((begin, now))
            begin = None
    return tuple(found)


@st.composite
def days(draw: st.DrawFn) -> list[list[str]]:
    """Up to three intervals of one day, often at the wall times at which clocks change."""
    near = st.sampled_from(
        [0, 1, 30, 60, 61, 90, 119, 120, 121, 135, 150, 179, 180, 181, 1380, 1410]
    )
    minute = near | st.integers(0, 1439)
    bounds = sorted(draw(st.sets(minute, max_size=6)))
    pairs = [list(pair) for pair in zip(bounds[::2], bounds[1::2], strict=False)]
    if len(bounds) % 2:  # one that ends the day after
        pairs.append([bounds[-1], draw(st.integers(0, bounds[-1]) | near) % (bounds[-1] + 1)])
    written = [[f"{m // 60:02}:{m % 60:02}" for m in pair] for pair in pairs]
    if written and written[-1][1] == "23:59" and draw(st.booleans()):
        written[-1][1] = "24:00"
    return draw(st.permutations(written))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, Any], Instant]:
    """Hours, and a moment at which the clocks of their zone change."""
    zone, text = draw(st.sampled_from(CHANGES))
    change = at(text)
    here = datetime.fromtimestamp(change, ZoneInfo(zone)).date()
    dates = st.integers(-3, 3).map(lambda n: (here + timedelta(days=n)).isoformat())
    document = {
        "timeZone": zone,
        "weekly": draw(st.dictionaries(st.sampled_from(WEEKDAYS), days())),
        "exceptions": draw(st.dictionaries(dates, days(), max_size=3)),
    }
    return document, change


@given(
    worlds(),
    st.integers(-40 * 60, 20 * 60),
    st.integers(0, 48 * 60),
    st.lists(st.floats(0, 1), max_size=20),
)
@settings(max_examples=300)
@example(
    ({**RESTAURANT, "timeZone": "Europe/Berlin"}, at("2026-12-31T23:00+00:00")), -1440, 2880, []
)
def test_all_answers_are_those_of_a_look_at_every_minute(
    world: tuple[dict[str, Any], Instant], before: int, length: int, places: list[float]
) -> None:
    document, change = world
    known = OpeningHours.read(document)
    start = change + before * 60
    end = start + length * 60
    minutes = minutes_of(document, start, end)
    assert known.intervals(start, end) == runs(minutes, end)

    changes = [now for now in minutes if now > start and minutes[now] is not minutes[now - 60]]
    asked = [start, *changes, *(now - 1 for now in changes)]
    asked += [start + int(place * (end - start - 1)) for place in places]  # in any order
    for now in asked if minutes else []:
        assert known.is_open(now) is minutes[now - (now - start) % 60]
        expected = next((moment for moment in changes if moment > now), None)
        told = known.next_change(now)
        if expected is None:
            assert told is None or told >= end
        else:
            assert told == expected


@given(worlds(), st.integers(-60 * 60, 60 * 60))
@settings(max_examples=60)
def test_dropping_past_exceptions_changes_no_answer_about_the_future(
    world: tuple[dict[str, Any], Instant], seconds: int
) -> None:
    document, change = world
    known = OpeningHours.read(document)
    now = change + 24 * seconds
    left = known.without_past_exceptions(now)
    assert left.intervals(now, now + 30 * DAY) == known.intervals(now, now + 30 * DAY)


@given(worlds())
@settings(max_examples=60)
def test_any_hours_survive_being_stored(world: tuple[dict[str, Any], Instant]) -> None:
    known = OpeningHours.read(world[0])
    assert parse_text(known.text()) == known
    assert OpeningHours.read(known.document()).text() == known.text()
