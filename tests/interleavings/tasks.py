"""Operations that stop before each call to the outside, so that others can come in between."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Final, Protocol, Self, TypeVar
from unittest.mock import patch

from greenlet import GreenletExit, getcurrent, greenlet

from lambdas.domain.errors import DomainError, Unavailable

Result = TypeVar("Result")


class Caller(Protocol):
    """Whoever calls the store, the sockets or the history."""

    name: str

    def call(self, do: Callable[[], Result]) -> Result:
        """Make one call."""


class AtOnce:
    """Makes its calls without a stop."""

    def __init__(self, name: str) -> None:
        self.name = name

    def call(self, do: Callable[[], Result]) -> Result:
        return do()


def digest(what: object) -> bytes:
    """A digest of what `repr` says: millions of situations take little memory."""
    return blake2b(repr(what).encode(), digest_size=16).digest()


Note = Callable[[int, object], int]
"""Makes a number of the number for all earlier answers, and of the next answer."""


def no_note(heard: int, answer: object) -> int:
    """For whoever does not ask what was answered."""
    return 0


class Task:
    """One operation. It stops before each of its calls until somebody says `step`."""

    def __init__(self, name: str, operation: Callable[[Caller], object], note: Note) -> None:
        self.name = name
        self.outcome: str | None = None
        """How it ended: what it returned, or the name of the error that it raised."""
        self.heard = 0
        """A number for all answers that it has got so far. What it does next depends on them alone.
        """
        self._note = note
        self._loses_answer = False
        self._operation = operation
        self._scheduler = getcurrent()
        self._greenlet = greenlet(self._run)
        self._greenlet.switch()

    @property
    def is_over(self) -> bool:
        return self._greenlet.dead

    def step(self) -> None:
        """Make its next call, and go on until the one after it."""
        self._greenlet.switch()

    def lose(self) -> None:
        """Make its next call, but lose the answer."""
        self._loses_answer = True
        self._greenlet.switch()

    def kill(self) -> None:
        """End it before its next call, as if its process had died."""
        self._greenlet.throw(GreenletExit)
        self.outcome = "killed"

    def call(self, do: Callable[[], Result]) -> Result:
        self._scheduler.switch()
        try:
            result = do()
            if self._loses_answer:
                self._loses_answer = False
                raise Unavailable("the answer was lost")
        except DomainError as error:
            self.heard = self._note(self.heard, type(error).__name__)
            raise
        self.heard = self._note(self.heard, result)
        return result

    def _run(self) -> None:
        try:
            returned = self._operation(self)
        except DomainError as error:
            self.outcome = type(error).__name__
        else:
            self.outcome = str(returned)


class _InTurn:
    """Stands in for `ThreadPoolExecutor`: does every job at once, in the thread of its caller."""

    def __init__(self, **_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, job: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(job(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, job: Callable[..., Any], *arguments: Iterable[Any]) -> Iterator[Any]:
        return iter([job(*each) for each in zip(*arguments, strict=True)])


_WITH_THREADS: Final = ("availability", "push_messages", "cleanup", "parallel")


@contextmanager
def without_threads() -> Iterator[None]:
    """Let no operation of the domain start a thread: the order of calls is the scheduler's."""
    patches: list[Any] = [
        patch(f"lambdas.use_cases.{module}.ThreadPoolExecutor", _InTurn) for module in _WITH_THREADS
    ]
    # One part: the store of these tests holds one business.
    patches.append(patch("lambdas.use_cases.cleanup.PARTS_PER_WORKER", 1))
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()
