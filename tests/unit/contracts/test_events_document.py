"""docs/events.md shows the events that are published, and a consumer that stays right."""

import json
import re
from itertools import permutations
from typing import Any

import boto3
import pytest
from moto import mock_aws

from contracts import examples
from lambdas import protocol
from tests.builders import B1, NOW, transition
from tests.protocol_document import EVENTS, snippets, table

SNIPPETS = {snippet.name: snippet.code for snippet in snippets(EVENTS)}


def test_the_example_is_that_of_the_contract() -> None:
    assert json.loads(SNIPPETS["event"]) == examples.event()


def test_every_field_of_the_detail_is_explained() -> None:
    _, *rows = table("field of `detail`", EVENTS)
    explained = [name for fields, _ in rows for name in re.findall(r"`(\w+)`", fields)]
    assert explained == [*protocol.event_detail(transition())]


@pytest.mark.parametrize("order", [*permutations((1, 2, 3)), (2, 2, 1, 2), (1, 3, 3, 2)])
def test_the_consumer_keeps_the_latest_state_whatever_the_order(
    order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("STATES_TABLE", "states")
    with mock_aws():
        states = boto3.resource("dynamodb").create_table(
            TableName="states",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "businessId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "businessId", "AttributeType": "S"}],
        )
        consumer: dict[str, Any] = {}
        exec(SNIPPETS["keep"], consumer)
        for sequence in order:
            detail = protocol.event_detail(transition(sequence=sequence, at=NOW + sequence))
            body = json.dumps({**examples.event(), "detail": detail})
            consumer["handler"]({"Records": [{"body": body}]}, None)
        (kept,) = states.scan()["Items"]
    assert (kept["businessId"], kept["sequence"]) == (B1, max(order))
    assert kept["at"] == protocol.timestamp(NOW + max(order))
