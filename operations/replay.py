"""Publishes transitions of the history again, for consumers that missed them.

    make replay ENVIRONMENT=prod FROM=2026-01-31T12:00:00Z TO=2026-01-31T13:00:00Z [BUSINESS=b1]

The events are the same as the first time, with the same sequences, so consumers recognize what they
have already. Those of one business come in order. Without BUSINESS it reads the whole history: for
each GB, that takes 131,000 read units (0.02 dollars in us-east-1).

It can be interrupted and run again. It needs `cloudformation:DescribeStacks`, `dynamodb:Query` and
`Scan` on the history, and `events:PutEvents` on the bus.
Exit codes: 0 done, 1 stopped before the end, 2 it could not begin, 130 interrupted.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, TextIO

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.adapters.event_bus import EventBus
from lambdas.adapters.history import HistoryTable
from lambdas.bootstrap import now
from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue, Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.instants import Instant, read_instant
from lambdas.domain.transitions import Transition
from operations.shared.environment import DeployedEnvironment
from operations.shared.exit_codes import CannotBegin, exit_code
from operations.shared.interrupts import INTERRUPTED
from operations.shared.patience import wait_a_while

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_BATCH: Final = 100
"""Transitions that are published before the progress is shown."""

_PROGRESS_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Window:
    """The transitions to publish: those between two moments, both included."""

    start: Instant
    end: Instant
    business_id: BusinessId | None = None
    """None: of all businesses."""

    def find(self, history: HistoryTable) -> Iterator[Transition]:
        """Yield the transitions. Those of one business come in order."""
        return history.walk(self.start, self.end, self.business_id)


def replay(transitions: Iterable[Transition], bus: EventBus, progress: TextIO) -> int:
    """Publish transitions and return how many. Raises `Unavailable`."""
    published, shown_at = 0, time.monotonic()
    remaining = iter(transitions)
    while batch := list(islice(remaining, _BATCH)):
        bus.publish(batch)
        published += len(batch)
        if time.monotonic() - shown_at >= _PROGRESS_SECONDS:
            shown_at = time.monotonic()
            progress.write(f"{published} published, now those of {batch[-1].business_id}\n")
            progress.flush()
    return published


def _window(start: str, end: str, business: str | None) -> Window:
    """Read the arguments. Raises `CannotBegin`."""
    try:
        window = Window(
            read_instant("FROM", start),
            read_instant("TO", end),
            identifiers.business_id(business, field="BUSINESS") if business else None,
        )
    except InvalidValue as error:
        raise CannotBegin(str(error)) from error
    if window.start > window.end:
        raise CannotBegin(f"FROM: must not be after TO, is {start}, and TO is {end}")
    return window


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="make replay",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--environment", required=True)
    parser.add_argument("--from", required=True, dest="start", metavar="MOMENT", help="RFC 3339")
    parser.add_argument("--to", required=True, dest="end", metavar="MOMENT", help="RFC 3339")
    parser.add_argument("--business", help="only transitions of this business")
    parser.add_argument("--dry-run", action="store_true", help="count, and publish nothing")
    parser.add_argument("--profile", help="AWS credentials; the shell's by default")
    wanted = parser.parse_args(arguments)

    def verb() -> int:
        window = _window(wanted.start, wanted.end, wanted.business)
        environment = DeployedEnvironment(wanted.environment, profile=wanted.profile)
        dynamodb: DynamoDBClient = environment.client("dynamodb")
        history = HistoryTable(
            dynamodb,
            table=environment.table_name,
            history=environment.output("Data", "HistoryTableName"),
            keep_seconds=now(),  # whatever is still there
            clock=now,
        )
        name = environment.output("Data", "EventBusName")
        bus = EventBus(environment.client("events"), name, backoff=wait_a_while)
        try:
            found = window.find(history)
            if wanted.dry_run:
                print(f"would publish {sum(1 for _ in found)} transitions")
            else:
                print(f"published {replay(found, bus, sys.stderr)} transitions")
        except KeyboardInterrupt:
            print("interrupted: run it again to go on", file=sys.stderr)
            return INTERRUPTED
        except (Unavailable, ClientError, BotoCoreError) as error:
            print(f"stopped: {error}\nrun it again to go on", file=sys.stderr)
            return 1
        return 0

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
