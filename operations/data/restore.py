"""Brings settings back into the live table from a table that was restored from a backup.

    make restore ENVIRONMENT=prod RESTORED=<restored table> [DAMAGED="b1 b2"] [DRY_RUN=1]

It restores the businesses whose settings are missing in the live table, and the DAMAGED ones, whose
settings are there and wrong. Pauses and opening hours are settings too. With the settings come the
virtual connections whose lease still runs, if the business is available: as many as a business can
have, those that run longest. All other businesses stay as they are. Real connections, tickets and
the marks of attention are not restored: devices have new sockets, and the next cleanup marks anew.

It can be interrupted and run again: a business that is already as it was restored is not written.
One that changed after the restore is overwritten only if DAMAGED names it again.
Exit codes: 0 done, 1 some businesses could not be restored, 2 it could not begin, 130 interrupted.
"""

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, TextIO

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.adapters.table import Table
from lambdas.bootstrap import now
from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue, Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.leases import make_room
from lambdas.domain.model import ActingAs, Business, Clock, Settings, VirtualConnection
from lambdas.table_schema import SETTINGS_KEY
from lambdas.use_cases.retrying import Backoff
from lambdas.use_cases.settings import write_settings
from operations.data.progress import Progress, in_parallel, to_its_end
from operations.data.retrying import until_written, wait_a_while
from operations.shared.environment import DeployedEnvironment
from operations.shared.verbs import CannotBegin, exit_code, interrupted_between, verb_parser

_IN_FLIGHT: Final = 16
"""Businesses that are read and written at the same time."""

_WAITING: Final = 16
"""Businesses that are read from the restored table ahead, so that no thread waits for it."""


class Outcome(StrEnum):
    """The result for one business, as the summary names it."""

    RESTORED = "restored"
    LEFT = "left as they are"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Restore:
    """Restores businesses, one by one."""

    live: Table
    restored: Table
    damaged: Collection[BusinessId]
    clock: Clock = now
    backoff: Backoff = wait_a_while
    dry_run: bool = False
    """Say what would be done, and do nothing."""
    counts: Counter[Outcome] = field(default_factory=Counter)
    """The results so far."""

    def require_damaged(self) -> None:
        """Raise `CannotBegin` if the restored table lacks a business that is to be restored."""
        missing = [each for each in self.damaged if self.restored.load(each).settings is None]
        if missing:
            raise CannotBegin(
                f"the restored table has no settings of {', '.join(missing)}: check the names, or"
                " restore another moment"
            )

    def take(self, then: Business) -> Outcome:
        """Restore one business if its settings are missing or damaged."""
        try:
            return until_written(lambda: self._attempt(then), self.backoff)
        except (Unavailable, _Unreadable) as error:
            print(f"{then.business_id}: {error}", file=sys.stderr)
            return Outcome.FAILED

    def count(self, outcome: Outcome) -> None:
        self.counts[outcome] += 1

    def __str__(self) -> str:
        would = "would be " if self.dry_run else ""
        return (
            f"businesses: {self.counts[Outcome.RESTORED]} {would}{Outcome.RESTORED},"
            f" {self.counts[Outcome.LEFT]} {Outcome.LEFT},"
            f" {self.counts[Outcome.FAILED]} {Outcome.FAILED}"
        )

    def _attempt(self, then: Business) -> Outcome:
        live, at = self.live.load(then.business_id), self.clock()
        if live.settings is not None and then.business_id not in self.damaged:
            return Outcome.LEFT
        if then.settings is None or SETTINGS_KEY in then.unreadable:
            raise _Unreadable("its settings in the restored table cannot be read")
        live_version = live.settings.version if live.settings is not None else 0
        # Greater than any version before, so that no call under way overwrites it.
        settings = _as_restored(then.settings, version=max(at, live_version + 1))
        put: Sequence[VirtualConnection] = ()
        remove: Sequence[VirtualConnection] = ()
        if settings.available:
            ends = {lease.user_id: lease.expires_at for lease in live.virtual}
            # A lease that was renewed since is not shortened.
            put = [
                each
                for each in then.virtual
                if each.expires_at > max(at, ends.get(each.user_id, 0))
            ]
            put, remove = make_room(live, put, at)
        else:
            remove = live.virtual
        same = (
            live.settings is not None
            and _as_restored(live.settings, version=settings.version) == settings
        )
        if same and not put and not remove:
            return Outcome.LEFT
        if self.dry_run:
            state = "available" if settings.available else "unavailable"
            print(f"{then.business_id}: would be {state}, with {len(put)} virtual connections back")
        else:
            write_settings(self.live, live, settings, put=put, remove=remove)
        return Outcome.RESTORED


class _Unreadable(Exception):
    """The settings in the restored table are damaged too."""


def _as_restored(settings: Settings, *, version: int) -> Settings:
    """The settings with another version and without the mark of an episode.

    Their author does not cause the transition that follows.
    """
    return replace(
        settings,
        version=version,
        updated_as=ActingAs.IMPORT,
        episode=None,
    )


def restore(
    run: Restore, *, items: int | None = None, report: TextIO = sys.stderr
) -> Counter[Outcome]:
    """Restore all businesses, many at once, and return the counts. Raises `CannotBegin`.

    `items` is about how many the restored table has, if that is known; it is for the progress,
    which goes to `report`. The counts of the run are right after any exception, too.
    """
    run.require_damaged()
    items_read = 0

    def read() -> Iterator[Business]:
        nonlocal items_read
        for business in run.restored.walk(0, 1):
            if business.settings is None:
                continue
            yield business
            items_read += 1 + len(business.real) + len(business.virtual)
            items_read += int(business.last_transition is not None)

    progress = Progress(
        unit="items of the restored table",
        done=lambda: items_read,
        results=lambda: run,
        report=report,
        total=items,
        is_estimate=True,
    )
    with progress.shown(), interrupted_between(read()) as businesses:
        in_parallel(businesses, run.take, run.count, at_once=_IN_FLIGHT, waiting=_WAITING)
    return run.counts


def require_restored_table(dynamodb: Any, restored: str, *, live: str) -> int | None:
    """About how many items the restored table has, as far as AWS has counted them.

    Raises `CannotBegin` unless `restored` can be a table that was restored from `live`.
    """
    table, own = _described(dynamodb, restored), _described(dynamodb, live)
    source = table.get("RestoreSummary", {}).get("SourceTableArn", own["TableArn"])
    if table["TableArn"] == own["TableArn"]:
        problem = "is the live table: give the table that was restored from it"
    elif table["TableStatus"] != "ACTIVE":
        problem = f"is {table['TableStatus']}: wait until it is ACTIVE"
    elif table.get("DeletionProtectionEnabled"):
        # A restored table has no protection, so this is probably another environment's table.
        problem = "is protected from deletion, and a restored table is not: check RESTORED"
    elif table["KeySchema"] != own["KeySchema"]:
        problem = f"has other keys than {live}: check RESTORED"
    elif source != own["TableArn"]:
        problem = f"was restored from {source}, and must be restored from {own['TableArn']}"
    else:
        items: int | None = table.get("ItemCount")
        return items
    raise CannotBegin(f"the table {restored} {problem}")


def _described(dynamodb: Any, table: str) -> Any:
    try:
        return dynamodb.describe_table(TableName=table)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        region = dynamodb.meta.region_name
        raise CannotBegin(f"there is no table {table} in region {region}: check RESTORED") from None
    except (BotoCoreError, ClientError) as error:
        raise CannotBegin(f"the table {table} cannot be looked at: {error}") from error


def main() -> int:
    parser = verb_parser("restore", __doc__)
    parser.add_argument("--restored", required=True, metavar="TABLE", help="the restored table")
    parser.add_argument(
        "--damaged",
        action="append",
        default=[],
        metavar="BUSINESS",
        help="a business whose settings are there and wrong; may be repeated",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do nothing"
    )
    wanted = parser.parse_args()

    def verb() -> int:
        try:
            damaged = {identifiers.business_id(each, field=each) for each in wanted.damaged}
        except InvalidValue as error:
            raise CannotBegin(f"DAMAGED: {error.field!r} {error.problem}") from error
        environment = DeployedEnvironment(wanted.environment, profile=wanted.profile)
        dynamodb = environment.client("dynamodb", connections=_IN_FLIGHT)
        live, restored = environment.table_name, wanted.restored
        items = require_restored_table(dynamodb, restored, live=live)
        run = Restore(
            Table(dynamodb, live), Table(dynamodb, restored), damaged, dry_run=wanted.dry_run
        )
        code = to_its_end(lambda: restore(run, items=items), lambda: str(run))
        return code or int(run.counts[Outcome.FAILED] > 0)

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
