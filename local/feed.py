"""Follows the change feed of the running local system: a queue that gets the events of its bus."""

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from lambdas.protocol import EVENT_SOURCE, EVENT_TYPE
from operations.shared.local_system import LocalSystem


@dataclass(frozen=True)
class Feed:
    """A queue that gets events of the bus."""

    sqs: Any
    queue: str

    def receive(self, *, seconds: int = 0) -> list[dict[str, Any]]:
        """Take the transitions that have arrived. If there are none, wait for them for so long."""
        received = self.sqs.receive_message(
            QueueUrl=self.queue, MaxNumberOfMessages=10, WaitTimeSeconds=seconds
        ).get("Messages", [])
        for message in received:
            self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["detail"] for message in received]


@contextmanager
def following(system: LocalSystem, *, business: str | None = None) -> Iterator[Feed]:
    """Subscribe a queue to the bus until the end of the block: for one business or for all."""
    sqs, events = system.client("sqs"), system.client("events")
    bus, name = system.eventBusName, f"feed-{secrets.token_hex(4)}"
    pattern: dict[str, Any] = {"source": [EVENT_SOURCE], "detail-type": [EVENT_TYPE]}
    if business is not None:
        pattern["detail"] = {"businessId": [business]}
    with ExitStack() as stack:
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]
        stack.callback(sqs.delete_queue, QueueUrl=queue)
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
        stack.callback(events.delete_rule, Name=name, EventBusName=bus)
        target = {"Id": "queue", "Arn": attributes["Attributes"]["QueueArn"]}
        events.put_targets(Rule=name, EventBusName=bus, Targets=[target])
        stack.callback(events.remove_targets, Rule=name, EventBusName=bus, Ids=["queue"])
        yield Feed(sqs, queue)
