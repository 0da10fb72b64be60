"""Writes the settings of many businesses at once, from a CSV file or JSON lines.

    make import FILE=businesses.csv ENVIRONMENT=dev [OVERWRITE=1]

The file names the columns (or fields) `id`, `accepting` and, optionally, `expectsSocket` (true
where it is left out). Each wrong line is named on standard error and nothing is written for it; all
others are written. Running it again is safe and quick, whether the last run came to its end or not:
what is as the file says is left alone, and so is what somebody else than an import has written
(--overwrite changes that, too). Prints a summary as JSON. Exit codes: 0 all lines are fine, 1 some
are not, 2 it could not begin, 130 interrupted.
"""

import argparse
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, TextIO

from botocore.exceptions import ClientError

from lambdas.bootstrap import now
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.domain.model import Business, Clock, Settings
from lambdas.domain.ports import Store
from lambdas.domain.retrying import Backoff, until_no_conflict
from operations.business_file import BadLine, Declaration, Unreadable, read_businesses
from operations.deployment import NoDeployment, open_table

IMPORT: Final = UserId("operations/import")
"""Who wrote the settings that an import wrote. Those it may change again."""

IN_FLIGHT: Final = 32
"""Businesses that are read and written at the same time."""

WAITING: Final = 32
"""Lines that are read ahead, so that nobody in flight waits for the file."""

_ATTEMPTS: Final = 8
"""How often a line is tried while the table cannot take it."""

_PROGRESS_SECONDS: Final = 1.0
_INTERRUPTED: Final = 130


class Outcome(StrEnum):
    """What became of a line; the words of the summary."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED_NEWER = "skippedNewer"
    """Somebody else than an import wrote these settings: they are newer than the file."""
    BAD = "bad"


@dataclass(slots=True)
class Summary:
    """What became of all lines. `read` is the sum of the others."""

    read: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skippedNewer: int = 0  # noqa: N815 - its name in the summary that is printed
    bad: int = 0

    def count(self, outcome: Outcome) -> None:
        self.read += 1
        setattr(self, outcome, getattr(self, outcome) + 1)

    def __str__(self) -> str:
        return (
            f"{self.read} lines: {self.created} created, {self.updated} updated,"
            f" {self.unchanged} unchanged, {self.skippedNewer} skipped as newer, {self.bad} bad"
        )


@dataclass(frozen=True, slots=True)
class Importer:
    """Makes the settings of one business what a line says, unless somebody knows better."""

    store: Store
    clock: Clock
    backoff: Backoff
    overwrite: bool = False
    """Also what somebody else than an import wrote."""
    dry_run: bool = False
    """Say what would be done, and do nothing."""

    def take(self, declared: Declaration) -> Outcome:
        """Read, decide and write; again if somebody else wrote meanwhile, or the table was busy.

        Raises `Unavailable` when the table stays so.
        """
        for attempt in range(1, _ATTEMPTS):
            try:
                return until_no_conflict(lambda: self._attempt(declared), self.backoff)
            except Unavailable:
                self.backoff(attempt)
        return until_no_conflict(lambda: self._attempt(declared), self.backoff)

    def _attempt(self, declared: Declaration) -> Outcome:
        before = self.store.load(declared.business_id)
        outcome = self._decide(before.settings, declared)
        if outcome in {Outcome.CREATED, Outcome.UPDATED} and not self.dry_run:
            self._write(before, declared)
        return outcome

    def _decide(self, settings: Settings | None, declared: Declaration) -> Outcome:
        if settings is None:
            return Outcome.CREATED
        if (settings.available, settings.expects_socket) == (
            declared.accepting,
            declared.expects_socket,
        ):
            return Outcome.UNCHANGED
        if settings.updated_by != IMPORT and not self.overwrite:
            return Outcome.SKIPPED_NEWER
        return Outcome.UPDATED

    def _write(self, before: Business, declared: Declaration) -> None:
        accepting, expects_socket = declared.accepting, declared.expects_socket
        at = self.clock()
        settings = (
            before.settings.imported(accepting, expects_socket, at=at, by=IMPORT)
            if before.settings
            else Settings.first(accepting, at=at, by=IMPORT, expects_socket=expects_socket)
        )
        # No virtual connection survives a business that does not accept orders. Its sockets do:
        # who connects while a business is closed is connected, and hears no orders.
        remove = () if declared.accepting else before.virtual
        self.store.write_settings(before, settings, remove=remove)


@dataclass(slots=True)
class ImportRun:
    """Takes all lines, many at once and never more than a few ahead of the table.

    The summary is true at every moment, also when the run was ended by an exception.
    """

    importer: Importer
    report: TextIO
    """Where people read about bad lines and progress."""
    monotonic: Callable[[], float] = time.monotonic
    summary: Summary = field(default_factory=Summary)
    _pending: dict[Future[Outcome], Declaration] = field(default_factory=dict)
    _told_at: float = 0

    def over(self, lines: Iterable[Declaration | BadLine]) -> Summary:
        """Take all lines. What ends it early lets those in flight come to their end first."""
        self._told_at = self.monotonic()
        pool = ThreadPoolExecutor(max_workers=IN_FLIGHT)
        try:
            for line in _without_duplicates(lines):
                if isinstance(line, BadLine):
                    self._refuse(line)
                else:
                    self._pending[pool.submit(self.importer.take, line)] = line
                self._collect(at_most=IN_FLIGHT + WAITING - 1)
            self._collect(at_most=0)
        finally:
            pool.shutdown(cancel_futures=True)
            for future in self._pending:
                if not future.cancelled() and future.exception() is None:
                    self.summary.count(future.result())
        return self.summary

    def _collect(self, *, at_most: int) -> None:
        """Wait until at most so many lines are pending, and count those that are done."""
        while len(self._pending) > at_most:
            done, _ = wait(self._pending, _PROGRESS_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                self._count(future)
            self._tell_progress()
        self._tell_progress()

    def _count(self, future: Future[Outcome]) -> None:
        line = self._pending.pop(future)
        try:
            outcome = future.result()
        except Unavailable as error:
            wrong = f"{line.business_id} may not be written ({error}), run the import again"
            self._refuse(BadLine(line.line, "table", wrong))
        else:
            self.summary.count(outcome)

    def _refuse(self, line: BadLine) -> None:
        self.summary.count(Outcome.BAD)
        self.report.write(f"{line}\n")

    def _tell_progress(self) -> None:
        if self.monotonic() - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = self.monotonic()
            self.report.write(f"{self.summary}\n")
            self.report.flush()


def _without_duplicates(
    lines: Iterable[Declaration | BadLine],
) -> Iterator[Declaration | BadLine]:
    """The first of the lines that name a business counts. Of all that is read, only the ids stay in
    memory: about 140 MB for a million of them.
    """
    first: dict[BusinessId, int] = {}
    for line in lines:
        if isinstance(line, Declaration):
            earlier = first.setdefault(line.business_id, line.line)
            if earlier != line.line:
                wrong = f"{line.business_id} is on line {earlier} already, must come once"
                yield BadLine(line.line, "id", wrong)
                continue
        yield line


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m operations.import_businesses",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--file", required=True, type=Path, help="CSV, or JSON lines")
    parser.add_argument("--environment", required=True, help="for example dev, or local")
    parser.add_argument(
        "--overwrite", action="store_true", help="change what others have written since, too"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do nothing"
    )
    wanted = parser.parse_args(arguments)
    try:
        with wanted.file.open("rb") as file:
            lines = read_businesses(file, wanted.file.name)
            importer = Importer(
                store=open_table(wanted.environment, connections=IN_FLIGHT),
                clock=now,
                backoff=_backoff,
                overwrite=wanted.overwrite,
                dry_run=wanted.dry_run,
            )
            with _interruptible(lines) as taken:
                return _run(ImportRun(importer, sys.stderr), taken)
    except (NoDeployment, Unreadable) as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        sys.stderr.write(f"{wanted.file} cannot be read: {error.strerror}\n")
    return 2


@contextmanager
def _interruptible(
    lines: Iterable[Declaration | BadLine],
) -> Iterator[Iterable[Declaration | BadLine]]:
    """Let Ctrl-C end the lines between two of them.

    Raised wherever the program happens to be, a `KeyboardInterrupt` can leave a lock of
    `concurrent.futures` held, and everybody waiting for it.
    """
    interrupted = threading.Event()

    def until_interrupted() -> Iterator[Declaration | BadLine]:
        for line in lines:
            if interrupted.is_set():
                raise KeyboardInterrupt
            yield line

    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield until_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)


def _run(run: ImportRun, lines: Iterable[Declaration | BadLine]) -> int:
    code = 0
    try:
        run.over(lines)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: run it again to go on\n")
        code = _INTERRUPTED
    except ClientError as error:  # a missing permission, or credentials that expired meanwhile
        sys.stderr.write(f"stopped: {error}\nrun it again to go on\n")
        code = 1
    sys.stdout.write(json.dumps(asdict(run.summary)) + "\n")
    return code or int(run.summary.bad > 0)


def _backoff(attempt: int) -> None:
    time.sleep(random.uniform(0, min(5.0, 0.05 * 2**attempt)))  # noqa: S311 - jitter, no secret


if __name__ == "__main__":
    sys.exit(main())
