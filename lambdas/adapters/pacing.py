"""Waits between attempts, and keeps calls below a rate."""

import random
import threading
import time
from collections.abc import Callable


def wait_with_jitter(attempt: int) -> None:
    """Wait after attempt 1, 2, … for a random time of up to 40, 80, … ms, so that racing calls
    spread out.
    """
    time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter, no secret


class TokenBucket:
    """Lets `rate` calls through each second, and up to `burst` of them at once.

    `monotonic` and `sleep` count in seconds; tests pass their own.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval = 1 / rate
        self._burst = burst
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = monotonic() - burst * self._interval

    def take(self) -> None:
        """Wait until one more call may be made."""
        with self._lock:
            now = self._monotonic()
            # After a quiet time, at most `burst` calls may go at once.
            self._next = max(self._next, now - self._burst * self._interval) + self._interval
            wait = self._next - now
        if wait > 0:
            self._sleep(wait)
