"""Moments, and how they are written for people."""

import re
from datetime import UTC, datetime
from typing import Final

from lambdas.domain.errors import InvalidValue

Instant = int
"""Seconds since the epoch, UTC."""

END_OF_TIME: Final = 253_402_300_800
"""The year 10000: this instant and later ones cannot be written as a date."""

_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:[0-5]\d)", re.ASCII | re.IGNORECASE
)


def timestamp(instant: Instant) -> str:
    """An instant in RFC 3339, for example ``2026-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(instant, UTC).isoformat().replace("+00:00", "Z")


def read_instant(field: str, moment: str) -> Instant:
    """A moment in RFC 3339, in seconds since the epoch. Raises `InvalidValue` for that field."""
    wrong = InvalidValue(field, "must be a moment in RFC 3339, for example 2026-01-31T12:00:00Z")
    if not _RFC_3339.fullmatch(moment):
        raise wrong
    try:
        return int(datetime.fromisoformat(moment.upper()).timestamp())
    except (ValueError, OverflowError):
        raise wrong from None
