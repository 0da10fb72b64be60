"""How a tool is interrupted: by Ctrl-C, or by SIGTERM, which a pipeline sends."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

INTERRUPTED: Final = 130
"""The exit code after an interrupt."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_Item = TypeVar("_Item")


@contextmanager
def interruptible() -> Iterator[None]:
    """Make every interrupt raise `KeyboardInterrupt` in the main thread."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with _on_interrupt(interrupt):
        yield


@contextmanager
def interrupted_between(items: Iterable[_Item]) -> Iterator[Iterator[_Item]]:
    """Make every interrupt raise `KeyboardInterrupt` between two items.

    Anywhere else it could leave a lock of `concurrent.futures` held, and all threads waiting.
    """
    interrupted = threading.Event()

    def until_interrupted() -> Iterator[_Item]:
        for item in items:
            if interrupted.is_set():
                raise KeyboardInterrupt
            yield item

    with _on_interrupt(lambda *_: interrupted.set()):
        yield until_interrupted()


@contextmanager
def _on_interrupt(handler: Callable[..., Any]) -> Iterator[None]:
    before = {each: signal.signal(each, handler) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handled in before.items():
            signal.signal(each, handled)
