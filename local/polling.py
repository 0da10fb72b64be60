"""Asking again until something has happened."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def poll(ask: Callable[[], T | None], *, timeout: float, every: float) -> T | None:
    """Ask until the answer is true, and return it. Return None after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := ask()):
        if time.monotonic() > deadline:
            return None
        time.sleep(every)
    return answer
