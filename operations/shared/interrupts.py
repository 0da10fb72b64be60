"""How a tool is interrupted: by Ctrl-C, by SIGTERM, which a pipeline sends, or because its terminal
is closed.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

INTERRUPTED: Final = 130
"""The exit code after an interrupt."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

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
def interrupts_held_back() -> Iterator[None]:
    """Let what interrupts the block happen at its end.

    A program that is being started can be ended only once `subprocess.Popen` has returned.
    """
    held_back: list[int] = []
    with _on_interrupt(lambda signum, _: held_back.append(signum)):
        yield
    for signum in held_back[:1]:
        signal.raise_signal(signum)


@contextmanager
def _on_interrupt(handler: Callable[..., Any]) -> Iterator[None]:
    # `nohup` makes a program ignore that its terminal is closed.
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    before = {each: signal.signal(each, handler) for each in _SIGNALS if each not in ignored}
    try:
        yield
    finally:
        for each, handled in before.items():
            signal.signal(each, handled)
