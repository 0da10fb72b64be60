"""Writing settings that others may be writing at the same moment."""

from collections.abc import Callable
from typing import Final, TypeVar

from lambdas.domain.errors import Conflict, Unavailable

Backoff = Callable[[int], None]
"""Waits before attempt 1, 2, …; with jitter, so that racing calls part."""

_ATTEMPTS: Final = 6
"""How often a write that met another one is tried again before the caller is told."""

_Result = TypeVar("_Result")


def until_no_conflict(attempt: Callable[[], _Result], backoff: Backoff) -> _Result:
    """Read, decide and write, again and again until nobody came in between.

    Raises `Unavailable` when others always do.
    """
    for number in range(_ATTEMPTS):
        if number:
            backoff(number)
        try:
            return attempt()
        except Conflict:
            continue
    raise Unavailable("too many calls change this business at the same time")
