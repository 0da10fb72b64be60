"""Brings settings back into the live table from a table that was restored from a backup.

    make restore ENVIRONMENT=prod RESTORED=<restored table> [DAMAGED="b1 b2"]

It restores the businesses whose settings are missing in the live table, and the DAMAGED ones, whose
settings are there and wrong. Pauses and opening hours are settings too. With the settings come the
virtual connections whose lease still runs, if the business is available. All other businesses stay
as they are. Real connections, tickets and the marks of attention are not restored: devices have new
sockets, and the next cleanup marks anew.

It can be interrupted and run again: a business that is already as it was restored is not written.
One that changed after the restore is overwritten only if DAMAGED names it again.
Exit codes: 0 done, 1 some businesses could not be restored, 2 it could not begin, 130 interrupted.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.adapters.table import Table
from lambdas.bootstrap import now
from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue, Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import ActingAs, Business, Clock, Settings, VirtualConnection
from lambdas.domain.retrying import Backoff
from lambdas.table_schema import SETTINGS_KEY
from operations.shared.environment import DeployedEnvironment
from operations.shared.exit_codes import CannotBegin, exit_code
from operations.shared.interrupts import INTERRUPTED, interrupted_between
from operations.shared.patience import until_written, wait_a_while

_IN_FLIGHT: Final = 16
"""Businesses that are read and written at the same time."""

_BATCH: Final = 512
"""Businesses that are read from the restored table ahead of the writes."""

_MAX_LEASES: Final = 99
"""A transaction takes 100 items, and one of them is the settings."""


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

    def require_damaged(self) -> None:
        """Raise `CannotBegin` if the restored table lacks a business that is to be restored."""
        missing = [each for each in self.damaged if self.restored.load(each).settings is None]
        if missing:
            raise CannotBegin(
                f"the restored table has no settings of {', '.join(missing)}: check the names, or"
                " restore another moment"
            )

    def businesses(self) -> Iterator[Business]:
        """Read all businesses of the restored table that have settings."""
        scanned = self.restored.walk(0, 1)
        return (business for business in scanned if business.settings is not None)

    def take(self, then: Business) -> Outcome:
        """Restore one business if its settings are missing or damaged."""
        try:
            return until_written(lambda: self._attempt(then), self.backoff)
        except (Unavailable, _Unreadable) as error:
            print(f"{then.business_id}: {error}", file=sys.stderr)
            return Outcome.FAILED

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
            put = sorted(put, key=lambda lease: lease.expires_at)[-_MAX_LEASES:]
        else:
            remove = live.virtual[:_MAX_LEASES]
        same = (
            live.settings is not None
            and _as_restored(live.settings, version=settings.version) == settings
        )
        if same and not put and not remove:
            return Outcome.LEFT
        self.live.write_settings(live, settings, put=put, remove=remove)
        return Outcome.RESTORED


class _Unreadable(Exception):
    """The settings in the restored table are damaged too."""


def _as_restored(settings: Settings, *, version: int) -> Settings:
    """Return the settings with another version and without the marks of attention.

    Their author does not cause the transition that follows.
    """
    return replace(
        settings,
        version=version,
        updated_as=ActingAs.IMPORT,
        attention=None,
        attention_since=None,
        attention_reported=False,
    )


def restore(run: Restore) -> Counter[Outcome]:
    """Restore all businesses, many at once, and count the results. Raises `CannotBegin`."""
    run.require_damaged()
    counts: Counter[Outcome] = Counter()
    with (
        ThreadPoolExecutor(_IN_FLIGHT) as pool,
        interrupted_between(run.businesses()) as businesses,
    ):
        while batch := list(islice(businesses, _BATCH)):
            counts.update(pool.map(run.take, batch))
    return counts


def require_restored_table(dynamodb: Any, restored: str, *, live: str) -> None:
    """Raise `CannotBegin` unless `restored` can be a table that was restored from `live`."""
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
        return
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
    parser = argparse.ArgumentParser(
        prog="make restore",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--environment", required=True)
    parser.add_argument("--restored", required=True, metavar="TABLE", help="the restored table")
    parser.add_argument(
        "--damaged",
        action="append",
        default=[],
        metavar="BUSINESS",
        help="a business whose settings are there and wrong; may be repeated",
    )
    parser.add_argument("--profile", help="AWS credentials; the shell's by default")
    wanted = parser.parse_args()

    def verb() -> int:
        try:
            damaged = {identifiers.business_id(each, field=each) for each in wanted.damaged}
        except InvalidValue as error:
            raise CannotBegin(f"DAMAGED: {error.field!r} {error.problem}") from error
        environment = DeployedEnvironment(wanted.environment, profile=wanted.profile)
        dynamodb = environment.client("dynamodb", connections=_IN_FLIGHT)
        live, restored = environment.table_name, wanted.restored
        require_restored_table(dynamodb, restored, live=live)
        run = Restore(Table(dynamodb, live), Table(dynamodb, restored), damaged)
        try:
            counts = restore(run)
        except KeyboardInterrupt:
            print("interrupted: run it again to go on", file=sys.stderr)
            return INTERRUPTED
        except (Unavailable, ClientError) as error:
            print(f"stopped: {error}\nrun it again to go on", file=sys.stderr)
            return 1
        print("businesses: " + ", ".join(f"{counts[each]} {each}" for each in Outcome))
        return int(counts[Outcome.FAILED] > 0)

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
