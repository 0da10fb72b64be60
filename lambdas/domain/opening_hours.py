"""Opening hours of a business: weekly hours in its time zone, and exceptions by date.

Everything is judged by the wall clock of the zone. A wall time is a number of seconds since
1970-01-01 00:00 on that clock: every date has 86400 of them, even when the clocks change.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from lambdas.domain.errors import InvalidValue
from lambdas.domain.instants import Instant

WEEKDAYS: Final = ("mo", "tu", "we", "th", "fr", "sa", "su")

MAX_INTERVALS: Final = 10
"""Intervals that may begin on one day."""

MAX_EXCEPTIONS: Final = 100

_MINUTE: Final = 60
_DAY: Final = 24 * 60 * _MINUTE
_MINUTES_OF_DAY: Final = 24 * 60

HORIZON: Final = 400 * _DAY
"""How many seconds ahead the next change is looked for."""

_AHEAD: Final = HORIZON + 30 * _DAY
"""Hours that never change are searched this far ahead, so that they are not searched each time."""

_STEP: Final = 3 * _DAY
"""Two changes of an offset that cancel each other are never this close.

The closest ones in the IANA data are nearly four days apart (Africa/Freetown, 1939).
"""

FIELDS: Final = ("timeZone", "weekly", "exceptions")
_START: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_END: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHOWN: Final = 40
"""Characters of a wrong value that an error shows."""

Interval = tuple[int, int]
"""Start and end, in minutes since midnight of the day of the start: 1560 is 02:00 the day after."""

Day = tuple[Interval, ...]
"""The intervals that begin on one day, in order."""

Span = tuple[Instant, Instant]
"""The time from one moment until just before another."""

_Stretch = tuple[Instant, Instant, bool, Instant]
"""A time without a change: (begin, end, is open, next change).

The state may have begun before `begin`. A next change more than `HORIZON` ahead may be none.
"""


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """When a business is open. `read` and `parse_text` make one from what was declared or stored.

    An interval belongs to the day on which it begins and may end on the next day. An exception
    replaces the intervals that begin on its date and no others. A wall time that occurs twice is
    judged the same both times.
    """

    time_zone: str
    """An IANA name."""
    weekly: tuple[Day, ...]
    """Seven days, Monday first."""
    exceptions: tuple[tuple[date, Day], ...]
    """In order of their dates."""

    _zone: ZoneInfo = field(init=False, repr=False, compare=False)
    _by_day: dict[int, Day] = field(init=False, repr=False, compare=False)
    """By days since 1970-01-01."""
    _known: _Stretch = field(default=(0, 0, False, 0), init=False, repr=False, compare=False)
    """What `_stretch` returned last: a cache. Threads share it; one assignment replaces it."""

    def __post_init__(self) -> None:
        # ZoneInfo uses the zones of the system and falls back to the package tzdata by itself.
        # Lambda's image may have none. Where it has some, they may be older or newer.
        object.__setattr__(self, "_zone", ZoneInfo(self.time_zone))
        object.__setattr__(self, "_by_day", {_day_number(on): d for on, d in self.exceptions})

    @classmethod
    def read(cls, document: object) -> Self:
        """Read the JSON document in which opening hours are declared. Raises `InvalidValue`."""
        known = _read_object(
            "openingHours", document, "have the field timeZone, and may have weekly and exceptions"
        )
        for name in known:
            if name not in FIELDS:
                raise InvalidValue(
                    _cut(name), f"is not a field of opening hours; those are {', '.join(FIELDS)}"
                )
        return cls(
            _read_time_zone(known),
            _read_weekly(known.get("weekly", {})),
            _read_exceptions(known.get("exceptions", {})),
        )

    def document(self) -> dict[str, Any]:
        """The canonical JSON document.

        All three fields; days and intervals in order; no weekday that is closed; an interval that
        ends at midnight ends at "24:00".
        """
        return {
            "timeZone": self.time_zone,
            "weekly": {
                name: _written(day) for name, day in zip(WEEKDAYS, self.weekly, strict=True) if day
            },
            "exceptions": {on.isoformat(): _written(day) for on, day in self.exceptions},
        }

    def text(self) -> str:
        """The canonical document as compact JSON. Equal hours have equal texts."""
        return json.dumps(self.document(), separators=(",", ":"))

    def is_open(self, now: Instant) -> bool:
        """Whether the business is open at this moment. It is open at a start, closed at an end."""
        begin, end, is_open, _ = self._known
        if begin <= now < end:
            return is_open
        return self._stretch(now)[2]

    def next_change(self, now: Instant) -> Instant | None:
        """The first moment after `now` at which the business opens or closes.

        None if there is none in the next 400 days.
        """
        change = self._stretch(now)[3]
        return change if change <= now + HORIZON else None

    def intervals(self, start: Instant, end: Instant) -> tuple[Span, ...]:
        """When the business is open between two moments: in order, none touching the next."""
        return tuple(_merged(self._pieces(start, end)))

    def without_past_exceptions(self, now: Instant) -> Self:
        """These hours without the exceptions that cannot matter any more.

        An exception is past when its date is over, and so is every interval that begins on it,
        with the exception and without it. Clocks that go back may bring a date back.
        """
        earliest = min(
            begin + offset for begin, _, offset in _by_offset(self._zone, now, now + 2 * _DAY)
        )
        kept = tuple((on, day) for on, day in self.exceptions if self._over_at(on, day) > earliest)
        return self if kept == self.exceptions else replace(self, exceptions=kept)

    def _over_at(self, on: date, exception: Day) -> int:
        """The wall time at which everything is over that begins on the date of an exception."""
        ends = (end for _, end in exception + self.weekly[on.weekday()])
        return _day_number(on) * _DAY + max((_MINUTES_OF_DAY, *ends)) * _MINUTE

    def _stretch(self, now: Instant) -> _Stretch:
        """The stretch around `now`, looked for only if it is not the one of the last call."""
        known = self._known
        if not known[0] <= now < known[1]:
            known = self._search(now)
            object.__setattr__(self, "_known", known)
        return known

    def _search(self, now: Instant) -> _Stretch:
        closed_since, limit = now - _DAY, now + _AHEAD
        is_open, begin, change = False, closed_since, limit
        for opens, closes in _merged(self._pieces(closed_since, limit)):
            if now < opens:
                change = opens
                break
            if now < closes:
                is_open, begin, change = True, opens, closes
                break
            begin = closes
        # At the limit only the search ended. Until 400 days before it, "no change" holds.
        end = change if change < limit else limit - HORIZON
        return begin, end, is_open, change

    def _pieces(self, start: Instant, end: Instant) -> Iterator[Span]:
        """When the business is open between two moments, in order of the starts.

        Pieces may touch or overlap: they are cut where days meet and where the clocks may change.
        """
        for begin, until, offset in _by_offset(self._zone, start, end):
            first, last = begin + offset, until + offset
            # What began the day before may still be open.
            for day in range(first // _DAY - 1, (last - 1) // _DAY + 1):
                midnight = day * _DAY
                for opens, closes in self._beginning_on(day):
                    opening = max(midnight + opens * _MINUTE, first)
                    closing = min(midnight + closes * _MINUTE, last)
                    if opening < closing:
                        yield opening - offset, closing - offset

    def _beginning_on(self, day: int) -> Day:
        exception = self._by_day.get(day)
        if exception is not None:
            return exception
        return self.weekly[(day + 3) % 7]  # 1970-01-01 was a Thursday


@lru_cache(maxsize=2048)
def parse_text(text: str) -> OpeningHours:
    """Read what `OpeningHours.text` wrote. Raises ValueError if that is not what it is.

    Cached: many businesses have the same hours, and one run reads all of them.
    """
    try:
        return OpeningHours.read(json.loads(text))
    except (InvalidValue, RecursionError) as wrong:
        raise ValueError(f"cannot read stored opening hours: {wrong}") from wrong


def _merged(pieces: Iterable[Span]) -> Iterator[Span]:
    """Join the pieces that touch or overlap. They come in order of their starts."""
    joined: Span | None = None
    for begin, end in pieces:
        if joined is None:
            joined = begin, end
        elif begin <= joined[1]:
            joined = joined[0], max(joined[1], end)
        else:
            yield joined
            joined = begin, end
    if joined is not None:
        yield joined


def _by_offset(
    zone: ZoneInfo, start: Instant, end: Instant
) -> Iterator[tuple[Instant, Instant, int]]:
    """Cut a window where the clocks of a zone change: (begin, end, seconds ahead of UTC).

    Also cuts where nothing changes, at least every `_STEP`.
    """
    begin, offset = start, _offset(zone, start)
    while begin < end:
        until = min(begin + _STEP, end)
        following = _offset(zone, until)
        if following != offset:
            until = _first_change(zone, begin, until)
            following = _offset(zone, until)
        yield begin, until, offset
        begin, offset = until, following


def _first_change(zone: ZoneInfo, after: Instant, until: Instant) -> Instant:
    """The moment at which the offset of `after` ends. At `until` there is another one."""
    offset = _offset(zone, after)
    moments = range(after, until)
    return after + bisect_left(moments, True, key=lambda at: _offset(zone, at) != offset)


def _offset(zone: ZoneInfo, at: Instant) -> int:
    """How many seconds the clocks of a zone are ahead of UTC."""
    return int(datetime.fromtimestamp(at, zone).replace(tzinfo=UTC).timestamp()) - at


def _day_number(on: date) -> int:
    """Days since 1970-01-01."""
    return on.toordinal() - date(1970, 1, 1).toordinal()


@cache
def _zone_names() -> frozenset[str]:
    # Not what `ZoneInfo` finds: on some systems that includes "localtime" and zones with leap
    # seconds ("right/Europe/Berlin").
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


def _read_time_zone(document: dict[str, Any]) -> str:
    right = 'must be the IANA name of a time zone, such as "Europe/Berlin"'
    if "timeZone" not in document:
        raise InvalidValue("timeZone", f"is missing; {right}")
    name = document["timeZone"]
    if not isinstance(name, str) or name not in _zone_names():
        raise InvalidValue("timeZone", f"{_shown(name)} is not a time zone; {right}")
    return name


def _read_weekly(value: object) -> tuple[Day, ...]:
    days = _read_object("weekly", value, "have a list of intervals for each weekday")
    for name in days:
        if name not in WEEKDAYS:
            raise InvalidValue(
                "weekly", f"{_shown(name)} is not a weekday; must be one of {', '.join(WEEKDAYS)}"
            )
    return tuple(_read_day(f"weekly.{name}", days.get(name, [])) for name in WEEKDAYS)


def _read_exceptions(value: object) -> tuple[tuple[date, Day], ...]:
    days = _read_object("exceptions", value, "have a list of intervals for each date")
    if len(days) > MAX_EXCEPTIONS:
        raise InvalidValue("exceptions", f"has {len(days)} dates; must be at most {MAX_EXCEPTIONS}")
    return tuple(
        sorted(
            (_read_date("exceptions", on), _read_day(f"exceptions.{on}", day))
            for on, day in days.items()
        )
    )


def _read_date(name: str, value: str) -> date:
    try:
        # `fromisoformat` alone would take other forms too, such as 20261224.
        if _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise InvalidValue(name, f'{_shown(value)} is not a date; must be one such as "2026-12-24"')


def _read_day(name: str, value: object) -> Day:
    if not isinstance(value, list):
        raise InvalidValue(
            name,
            f'{_shown(value)} is not a list; must be a list of intervals: [["11:00", "14:00"]], '
            "or [] for closed",
        )
    if len(value) > MAX_INTERVALS:
        raise InvalidValue(name, f"has {len(value)} intervals; must be at most {MAX_INTERVALS}")
    day = tuple(sorted(_read_interval(f"{name}.{i}", each) for i, each in enumerate(value)))
    for earlier, later in pairwise(day):
        if later[0] < earlier[1]:
            first, second = (json.dumps(each) for each in _written((earlier, later)))
            raise InvalidValue(
                name,
                f"{first} and {second} overlap; an interval must end before the next begins, "
                "or just when it does",
            )
    return day


def _read_interval(name: str, value: object) -> Interval:
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidValue(
            name,
            f'{_shown(value)} is not an interval; must be a start and an end: ["11:00", "14:00"]',
        )
    start, end = value
    if not isinstance(start, str) or not _START.fullmatch(start):
        raise InvalidValue(
            name, f'{_shown(start)} is not a start; must be HH:MM, from "00:00" to "23:59"'
        )
    if not isinstance(end, str) or not _END.fullmatch(end):
        raise InvalidValue(
            name, f'{_shown(end)} is not an end; must be HH:MM, from "00:00" to "24:00"'
        )
    opens, closes = _minutes(start), _minutes(end)
    return opens, closes if closes > opens else closes + _MINUTES_OF_DAY


def _minutes(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


def _written(day: Day) -> list[list[str]]:
    return [[_time(opens), _time(closes)] for opens, closes in day]


def _time(minutes: int) -> str:
    if minutes > _MINUTES_OF_DAY:
        minutes -= _MINUTES_OF_DAY
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _read_object(name: str, value: object, right: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValue(name, f"{_shown(value)} is not an object; must {right}")
    return value


def _shown(value: object) -> str:
    """A wrong value as JSON, cut."""
    return _cut(json.dumps(value, default=repr))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
