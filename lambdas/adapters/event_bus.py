"""The EventBridge bus that transitions are published on."""

import json
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from lambdas import protocol
from lambdas.adapters.pacing import wait_with_jitter
from lambdas.domain.errors import Unavailable
from lambdas.domain.transitions import Transition
from lambdas.use_cases.retrying import Backoff

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef

_MAX_ENTRIES: Final = 10
"""Events that one call takes: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html"""

_ATTEMPTS: Final = 4
"""How often an event is sent before its publisher gives up."""


class EventBus:
    """Publishes transitions, each at least once."""

    def __init__(
        self, client: "EventBridgeClient", name: str, *, backoff: Backoff = wait_with_jitter
    ) -> None:
        self._client = client
        self._name = name
        self._backoff = backoff

    def publish(self, transitions: Sequence[Transition]) -> None:
        """Publish transitions, in order as far as the bus keeps it.

        Raises `Unavailable` if the bus did not accept all of them. Some may be published then.
        """
        remaining = iter(transitions)
        while batch := list(islice(remaining, _MAX_ENTRIES)):
            self._publish_all([self._entry(transition) for transition in batch])

    def _publish_all(self, entries: "list[PutEventsRequestEntryTypeDef]") -> None:
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._backoff(attempt)
            try:
                answer = self._client.put_events(Entries=entries)
            except ParamValidationError:
                raise
            except (BotoCoreError, ClientError) as error:
                raise Unavailable("the event bus did not answer") from error
            # The results are in the order of the entries.
            results = zip(entries, answer["Entries"], strict=True)
            entries = [entry for entry, result in results if "ErrorCode" in result]
            if not entries:
                return
        raise Unavailable(f"the event bus did not accept {len(entries)} events")

    def _entry(self, transition: Transition) -> "PutEventsRequestEntryTypeDef":
        return {
            "EventBusName": self._name,
            "Source": protocol.EVENT_SOURCE,
            "DetailType": protocol.EVENT_TYPE,
            "Detail": json.dumps(protocol.event_detail(transition)),
        }
