"""Keeps an answer of AWS for some seconds, so that many tabs cost as much as one."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from console.errors import Unanswered
from operations.shared.verbs import CannotBegin

T = TypeVar("T")


class Cached(Generic[T]):
    """What `load` returned, or how it failed, in the last `seconds`.

    One thread loads. Others that ask at the same time wait for what it gets.
    """

    def __init__(
        self,
        load: Callable[[], T],
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: Callable[[], T] | None = None
        self._kept_until = 0.0

    def get(self) -> T:
        """The value. Raises `Unanswered` if AWS could not be asked."""
        with self._lock:
            if self._kept is None or self._clock() >= self._kept_until:
                self._kept = self._loaded()
                self._kept_until = self._clock() + self._seconds
            kept = self._kept
        return kept()

    def _loaded(self) -> Callable[[], T]:
        try:
            value = self._load()
        except (BotoCoreError, ClientError, CannotBegin, Unanswered) as error:
            text = str(error)

            def fail() -> T:
                raise Unanswered(text)

            return fail
        return lambda: value
