"""Publishes the transitions that a stream of the history's changes brings.

What is in the history was recorded, so each transition is published at least once, and nothing else
is. A batch that Lambda repeats is published again; consumers recognize a transition by its business
and sequence.
"""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.adapters.items import read_business_id, read_transition
from lambdas.bootstrap import Service
from lambdas.domain.transitions import Transition
from lambdas.handlers.entry_point import Event, entry_point, logger
from lambdas.observability import MetricName


@entry_point
def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
    """Publish all transitions of a batch of records.

    A record that is no transition goes to the dead-letter queue, and the others are published.
    Raises `Unavailable` if the bus does not accept all events: Lambda then repeats the batch.
    """
    transitions: list[Transition] = []
    poisoned: list[tuple[Mapping[str, Any], ValueError]] = []
    for record in event["Records"]:
        if record["eventName"] != "INSERT":
            continue  # a transition that was deleted for its age
        try:
            transitions.append(read_transition(record["dynamodb"]["NewImage"]))
        except ValueError as error:
            logger.exception("not a transition")
            poisoned.append((record["dynamodb"], error))
    # First, so that nothing about a poisoned record can keep the others back.
    service.event_bus.publish(transitions)
    if transitions:
        service.metrics.count(MetricName.TRANSITIONS_PUBLISHED, len(transitions))
    for change, why in poisoned:
        service.dead_letters.add(read_business_id(change["Keys"]), why, change)
    return {"published": len(transitions)}
