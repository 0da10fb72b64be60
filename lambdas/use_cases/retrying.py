"""Writes settings that others may be writing at the same moment."""

from collections.abc import Callable
from typing import Final, TypeVar

from lambdas.domain.errors import Conflict, TooManyCalls

Backoff = Callable[[int], None]
"""Waits before attempt 1, 2, …; for a random time, so that racing calls spread out."""

_ATTEMPTS: Final = 6
"""How often a write is tried before it fails because of conflicts."""

_Result = TypeVar("_Result")


def until_no_conflict(attempt: Callable[[], _Result], backoff: Backoff) -> _Result:
    """The result of an attempt to read, decide and write. Repeats it after a `Conflict`.

    Raises `TooManyCalls` after too many conflicts.
    """
    for number in range(_ATTEMPTS):
        if number:
            backoff(number)
        try:
            return attempt()
        except Conflict:
            continue
    raise TooManyCalls("too many calls change this business at the same time")
