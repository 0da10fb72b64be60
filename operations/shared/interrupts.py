"""Ctrl-C in a tool that writes from many threads."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C."""

_Item = TypeVar("_Item")


@contextmanager
def interrupted_between(items: Iterable[_Item]) -> Iterator[Iterator[_Item]]:
    """Make Ctrl-C raise `KeyboardInterrupt` between two items.

    Anywhere else it could leave a lock of `concurrent.futures` held, and all threads waiting.
    """
    interrupted = threading.Event()

    def until_interrupted() -> Iterator[_Item]:
        for item in items:
            if interrupted.is_set():
                raise KeyboardInterrupt
            yield item

    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield until_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
