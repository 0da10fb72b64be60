"""Writes the settings of many businesses at once, from a CSV file or JSON lines.

    make import FILE=businesses.csv ENVIRONMENT=dev [OVERWRITE=1]

The file has the columns (or fields) `id`, `accepting` and, optionally, `expectsSocket` and
`openingHours`: the document of `PUT …/opening-hours`, in CSV as JSON text in quotes. An empty cell,
or a missing column or field, leaves a business as it is; a new one expects a socket and has no
hours. `null` removes the hours of a business.

Each wrong line is named on standard error and skipped; all others are written. The import can be
interrupted and run again: settings that are as the file says are left alone, and so are settings
that were not written by an import (--overwrite changes those too). Prints a summary as JSON.
Exit codes: 0 all lines are fine, 1 some are not, 2 it could not begin, 130 interrupted.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, TextIO

from lambdas.bootstrap import now
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import IMPORT, BusinessId
from lambdas.domain.model import ActingAs, Clock, Instant, Settings
from lambdas.use_cases.ports import Store
from lambdas.use_cases.retrying import Backoff
from lambdas.use_cases.settings import write_settings
from operations.data.business_file import BadLine, Declaration, count_businesses, read_businesses
from operations.data.progress import Progress, in_parallel, to_its_end
from operations.data.retrying import until_written, wait_a_while
from operations.shared.environment import DeployedEnvironment
from operations.shared.verbs import CannotBegin, exit_code, interrupted_between, verb_parser

IN_FLIGHT: Final = 32
"""Businesses that are read and written at the same time."""

WAITING: Final = 32
"""Lines that are read ahead, so that no thread waits for the file."""


class Outcome(StrEnum):
    """The result of a line, as the summary names it."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED_NEWER = "skippedNewer"
    """The settings were not written by an import: they are newer than the file."""
    BAD = "bad"


@dataclass(slots=True)
class Summary:
    """The results of all lines. `read` is the sum of the others."""

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
            f"{self.created} created, {self.updated} updated, {self.unchanged} unchanged,"
            f" {self.skippedNewer} skipped as newer, {self.bad} bad"
        )


@dataclass(frozen=True, slots=True)
class Importer:
    """Writes what a line says into the settings of one business, unless others changed them."""

    store: Store
    clock: Clock
    backoff: Backoff
    overwrite: bool = False
    """Also change settings that were not written by an import."""
    dry_run: bool = False
    """Say what would be done, and do nothing."""

    def take(self, declared: Declaration) -> Outcome:
        """Read, decide and write. Raises `Unavailable` if the table is busy for long."""
        return until_written(lambda: self._attempt(declared), self.backoff)

    def _attempt(self, declared: Declaration) -> Outcome:
        before = self.store.load(declared.business_id)
        after = _after(before.settings, declared, at=self.clock())
        outcome = self._decide(before.settings, after)
        if outcome in {Outcome.CREATED, Outcome.UPDATED} and not self.dry_run:
            # A business that is not available has no virtual connections. Its sockets stay.
            remove = () if after.available else before.virtual
            write_settings(self.store, before, after, remove=remove)
        return outcome

    def _decide(self, before: Settings | None, after: Settings) -> Outcome:
        if before is None:
            return Outcome.CREATED
        if _imported_fields(before, after.updated_at) == _imported_fields(after, after.updated_at):
            return Outcome.UNCHANGED
        if before.updated_by != IMPORT and not self.overwrite:
            return Outcome.SKIPPED_NEWER
        return Outcome.UPDATED


def _after(before: Settings | None, declared: Declaration, *, at: Instant) -> Settings:
    """The settings that a line asks for."""
    hours = declared.opening_hours
    if hours == "as they are":
        hours = before.opening_hours if before else None
    expects_socket = declared.expects_socket
    if expects_socket is None:
        expects_socket = before.expects_socket if before else True
    accepting = declared.accepting
    if before is None:
        return Settings.first(
            accepting,
            at=at,
            by=IMPORT,
            acting_as=ActingAs.IMPORT,
            expects_socket=expects_socket,
            opening_hours=hours,
        )
    return before.imported(accepting, expects_socket, hours, at=at, by=IMPORT)


def _imported_fields(settings: Settings, at: Instant) -> tuple[object, ...]:
    """What an import sets. Exceptions to the hours that are past make no difference."""
    hours = settings.opening_hours
    return (
        settings.available,
        settings.expects_socket,
        hours and hours.without_past_exceptions(at),
    )


@dataclass(slots=True)
class ImportRun:
    """Imports all lines, many at once, and reads only a few lines ahead.

    The summary is right at every moment, also after an exception.
    """

    importer: Importer
    report: TextIO
    """Where bad lines and progress are written."""
    total: int | None = None
    """How many lines there are, if that is known."""
    summary: Summary = field(default_factory=Summary)

    def over(self, lines: Iterable[Declaration | BadLine]) -> Summary:
        """Import all lines. An exception is raised after the lines in flight are done."""
        progress = Progress(
            unit="lines",
            done=lambda: self.summary.read,
            results=lambda: self.summary,
            report=self.report,
            total=self.total,
        )
        with progress.shown():
            in_parallel(
                _without_duplicates(lines),
                self._take,
                self._count,
                at_once=IN_FLIGHT,
                waiting=WAITING,
            )
        return self.summary

    def _take(self, line: Declaration | BadLine) -> Outcome | BadLine:
        if isinstance(line, BadLine):
            return line
        try:
            return self.importer.take(line)
        except Unavailable as error:
            wrong = f"{line.business_id} may not be written ({error}), run the import again"
            return BadLine(line.line, "table", wrong)

    def _count(self, result: Outcome | BadLine) -> None:
        if isinstance(result, BadLine):
            self.report.write(f"{result}\n")
            result = Outcome.BAD
        self.summary.count(result)


def _without_duplicates(lines: Iterable[Declaration | BadLine]) -> Iterator[Declaration | BadLine]:
    """Turn each further line of the same business into a bad line.

    Keeps all ids in memory: about 140 MB for a million of them.
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
    parser = verb_parser("import", __doc__)
    parser.add_argument("--file", required=True, type=Path, help="CSV, or JSON lines")
    parser.add_argument(
        "--overwrite", action="store_true", help="also change settings that others have written"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do nothing"
    )
    wanted = parser.parse_args(arguments)

    def verb() -> int:
        try:
            with wanted.file.open("rb") as file:
                total = count_businesses(file, wanted.file.name)
                lines = read_businesses(file, wanted.file.name)
                environment = DeployedEnvironment(wanted.environment, profile=wanted.profile)
                importer = Importer(
                    store=environment.table(connections=IN_FLIGHT),
                    clock=now,
                    backoff=wait_a_while,
                    overwrite=wanted.overwrite,
                    dry_run=wanted.dry_run,
                )
                run = ImportRun(importer, sys.stderr, total)
                with interrupted_between(lines) as interruptible:
                    code = to_its_end(
                        lambda: run.over(interruptible), lambda: json.dumps(asdict(run.summary))
                    )
                return code or int(run.summary.bad > 0)
        except OSError as error:
            raise CannotBegin(f"{wanted.file} cannot be read: {error.strerror}") from error

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
