"""Publishes transitions of the history again, for consumers that missed them.

    make replay ENVIRONMENT=prod FROM=2026-01-31T12:00:00Z TO=2026-01-31T13:00:00Z [BUSINESS=b1]

The events are the same as the first time, with the same sequences, so consumers recognize what they
have already. Those of one business come in order. Without BUSINESS it reads the whole history: for
each GB, that takes 131,000 read units (0.02 dollars in us-east-1).

It can be interrupted and run again: then it begins at FROM again. It needs
`cloudformation:DescribeStacks`, `dynamodb:Query` and `Scan` on the history, and `events:PutEvents`
on the bus.
Exit codes: 0 done, 1 stopped before the end, 2 it could not begin, 130 interrupted.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from infra import names
from lambdas.adapters.event_bus import EventBus
from lambdas.adapters.history import HistoryTable
from lambdas.bootstrap import now
from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.instants import Instant, read_instant
from lambdas.domain.transitions import Transition
from operations.data.progress import Progress, to_its_end
from operations.data.retrying import wait_a_while
from operations.shared.environment import DeployedEnvironment
from operations.shared.verbs import CannotBegin, exit_code, verb_parser

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_BATCH: Final = 10
"""Transitions that are published before they are counted: those of one call of EventBridge."""


@dataclass(slots=True)
class Replay:
    """Publishes transitions, and counts those that the bus accepted."""

    bus: EventBus | None
    """None: only count."""
    done: int = 0
    last: BusinessId | None = None
    """Whose transitions were the last ones."""

    def over(self, transitions: Iterable[Transition]) -> None:
        """Publish all of them. Raises `Unavailable`."""
        remaining = iter(transitions)
        while batch := list(islice(remaining, _BATCH)):
            if self.bus is not None:
                self.bus.publish(batch)
            self.done += len(batch)
            self.last = batch[-1].business_id


def _window(
    start: str, end: str, business: str | None
) -> tuple[Instant, Instant, BusinessId | None]:
    """Read the arguments: two moments, and the business if only one is wanted.

    Raises `CannotBegin`.
    """
    try:
        first, last = read_instant("FROM", start), read_instant("TO", end)
        business_id = identifiers.business_id(business, field="BUSINESS") if business else None
    except InvalidValue as error:
        raise CannotBegin(str(error)) from error
    if first > last:
        raise CannotBegin(f"FROM: must not be after TO, is {start}, and TO is {end}")
    return first, last, business_id


def main(arguments: Sequence[str] | None = None) -> int:
    parser = verb_parser("replay", __doc__)
    parser.add_argument("--from", required=True, dest="start", metavar="MOMENT", help="RFC 3339")
    parser.add_argument("--to", required=True, dest="end", metavar="MOMENT", help="RFC 3339")
    parser.add_argument("--business", help="only transitions of this business")
    parser.add_argument("--dry-run", action="store_true", help="count, and publish nothing")
    wanted = parser.parse_args(arguments)

    def verb() -> int:
        window = _window(wanted.start, wanted.end, wanted.business)
        environment = DeployedEnvironment(wanted.environment, profile=wanted.profile)
        dynamodb: DynamoDBClient = environment.client("dynamodb")
        history = HistoryTable(
            dynamodb,
            table=environment.table_name,
            history=environment.output("Data", names.HISTORY_TABLE_NAME),
            keep_seconds=now(),  # whatever is still there
            clock=now,
        )
        name = environment.output("Data", names.EVENT_BUS_NAME)
        bus = EventBus(environment.client("events"), name, backoff=wait_a_while)
        run = Replay(None if wanted.dry_run else bus)
        progress = Progress(
            unit="transitions",
            done=lambda: run.done,
            results=lambda: f"now those of {run.last or 'nobody yet'}",
            report=sys.stderr,
        )

        def work() -> None:
            with progress.shown():
                run.over(history.walk(*window))

        told = "would publish" if wanted.dry_run else "published"
        return to_its_end(work, lambda: f"{told} {run.done} transitions")

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
