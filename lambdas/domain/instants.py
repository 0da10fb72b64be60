"""Moments, and how they are written for people."""

from datetime import UTC, datetime

Instant = int
"""Seconds since the epoch, UTC."""


def timestamp(instant: Instant) -> str:
    """An instant in RFC 3339, for example ``2026-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(instant, UTC).isoformat().replace("+00:00", "Z")
