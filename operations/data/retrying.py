"""Trying again while the table is busy. An operator's tool can wait longer than a function."""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from lambdas.domain.errors import Unavailable
from lambdas.use_cases.retrying import Backoff, until_no_conflict

_ATTEMPTS: Final = 8

_Result = TypeVar("_Result")


def until_written(attempt: Callable[[], _Result], backoff: Backoff) -> _Result:
    """Read, decide and write, again if others wrote meanwhile or the table was busy.

    Raises `Unavailable` if it still is after many attempts.
    """
    for number in range(1, _ATTEMPTS):
        try:
            return until_no_conflict(attempt, backoff)
        except Unavailable:
            backoff(number)
    return until_no_conflict(attempt, backoff)


def wait_a_while(attempt: int) -> None:
    """Wait after attempt 1, 2, … for a random time of up to 5 seconds."""
    time.sleep(random.uniform(0, min(5.0, 0.05 * 2**attempt)))  # noqa: S311 - jitter, no secret
