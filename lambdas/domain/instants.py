"""Moments, and how they are written for people."""

from datetime import UTC, datetime
from typing import Final

Instant = int
"""Seconds since the epoch, UTC."""

END_OF_TIME: Final = 253_402_300_800
"""The year 10000: this instant and later ones cannot be written as a date."""


def timestamp(instant: Instant) -> str:
    """An instant in RFC 3339, for example ``2026-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(instant, UTC).isoformat().replace("+00:00", "Z")
