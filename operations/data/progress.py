"""How a tool that works for minutes says how far it is, and how it ends."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.domain.errors import Unavailable
from operations.shared.verbs import INTERRUPTED

PROGRESS_SECONDS: Final = 1.0

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Progress:
    """A line on `report` each second: how many of how many, how fast, and the results so far."""

    unit: str
    done: Callable[[], int]
    results: Callable[[], object]
    report: TextIO
    total: int | None = None
    """None if nobody knows."""
    is_estimate: bool = False
    """Whether `total` may be somewhat wrong."""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Write the lines until the end of the block."""
        began, over = time.monotonic(), threading.Event()

        def show() -> None:
            while not over.wait(PROGRESS_SECONDS):
                self.report.write(f"{self.line(time.monotonic() - began)}\n")
                self.report.flush()

        thread = threading.Thread(target=show, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def line(self, seconds: float) -> str:
        """The line so many seconds after the begin."""
        done = self.done()
        of = f" of {'about ' if self.is_estimate else ''}{self.total}" if self.total else ""
        return f"{done}{of} {self.unit}, {done / seconds:.0f} a second: {self.results()}"


def in_parallel(
    items: Iterable[_Item],
    take: Callable[[_Item], _Result],
    count: Callable[[_Result], None],
    *,
    at_once: int,
    waiting: int,
) -> None:
    """Take all items, `at_once` at the same time, and count each result in the calling thread.

    Reads only `waiting` items ahead. What `items` or `take` raises is raised after the items in
    flight are done and counted, so the counts are right then too.
    """
    pending: set[Future[_Result]] = set()

    def collect(at_most: int) -> None:
        while len(pending) > at_most:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                pending.remove(future)
                count(future.result())

    pool = ThreadPoolExecutor(at_once)
    try:
        for item in items:
            pending.add(pool.submit(take, item))
            collect(at_once + waiting - 1)
        collect(0)
    finally:
        pool.shutdown(cancel_futures=True)
        for future in pending:
            if not future.cancelled() and future.exception() is None:
                count(future.result())


def to_its_end(work: Callable[[], object], summary: Callable[[], str]) -> int:
    """Do the work, print its summary however it ends, and return the exit code.

    It is 0 if the work was done, 1 if an error stopped it, and 130 if it was interrupted.
    """
    code, told = 0, ""
    try:
        work()
    except KeyboardInterrupt:
        code, told = INTERRUPTED, "interrupted: run it again to go on"
    except (Unavailable, ClientError, BotoCoreError) as error:
        # For example a missing permission, or credentials that expired meanwhile.
        code, told = 1, f"stopped: {error}\nrun it again to go on"
    if told:
        print(told, file=sys.stderr)
    print(summary())
    return code
