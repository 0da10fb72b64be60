"""docs/events.md shows the events that are published, and a consumer that stays right."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import permutations
from typing import Any

import boto3
import pytest
from moto import mock_aws

from contracts import examples
from lambdas import protocol
from lambdas.domain.model import Instant, OverallStatus
from tests.builders import B1, NOW, transition
from tests.protocol_document import EVENTS, snippets, table

SNIPPETS = {snippet.name: snippet.code for snippet in snippets(EVENTS)}


def test_the_example_is_that_of_the_contract() -> None:
    assert json.loads(SNIPPETS["event"]) == examples.event()


def test_every_field_of_the_detail_is_explained() -> None:
    _, *rows = table("field of `detail`", EVENTS)
    explained = [name for fields, _ in rows for name in re.findall(r"`(\w+)`", fields)]
    assert explained == [*protocol.event_detail(transition())]


@dataclass
class Consumer:
    """The program of the document, with a table of its own and an API that answers it."""

    program: dict[str, Any] = field(default_factory=dict)
    answer: protocol.BatchDocument | None = None
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def take(self, sequence: int, at: Instant) -> None:
        """Deliver the event of a business that is not online from then on."""
        recorded = transition(sequence=sequence, at=at, after=OverallStatus.OFFLINE)
        body = json.dumps({**examples.event(), "detail": protocol.event_detail(recorded)})
        self.program["handler"]({"Records": [{"body": body}]}, None)

    def start(self, *, online: bool, as_of: Instant) -> None:
        """Ask the API, which answers this."""
        self.answer = protocol.batch_document([B1], {B1: online}, as_of)
        self.program["start"]([B1])

    @property
    def kept(self) -> dict[str, Any]:
        (item,) = self.program["STATES"].scan()["Items"]
        return dict(item)


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Consumer]:
    found = Consumer()

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.asked.append((self.path, body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(found.answer).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("STATES_TABLE", "states")
    monkeypatch.setenv("TOKEN", "a.b.c")
    with mock_aws(), HTTPServer(("127.0.0.1", 0), Api) as server:
        monkeypatch.setenv("REST_URL", f"http://127.0.0.1:{server.server_port}/v1")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        boto3.resource("dynamodb").create_table(
            TableName="states",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "businessId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "businessId", "AttributeType": "S"}],
        )
        exec(SNIPPETS["keep"], found.program)
        yield found
        server.shutdown()


@pytest.mark.parametrize("order", [*permutations((1, 2, 3)), (2, 2, 1, 2), (1, 3, 3, 2)])
def test_the_consumer_keeps_the_latest_state_whatever_the_order(
    order: tuple[int, ...], consumer: Consumer
) -> None:
    for sequence in order:
        consumer.take(sequence, NOW + sequence)
    kept = consumer.kept
    assert (kept["businessId"], kept["sequence"]) == (B1, max(order))
    assert kept["at"] == protocol.timestamp(NOW + max(order))


def test_a_consumer_that_begins_with_an_answer_takes_the_events_after_it(
    consumer: Consumer,
) -> None:
    consumer.start(online=True, as_of=NOW)
    assert consumer.asked == [("/v1/businesses/online", {"businessIds": [B1]})]
    assert (consumer.kept["online"], consumer.kept["asOf"]) == (True, protocol.timestamp(NOW))
    consumer.take(7, NOW - 61)  # the answer knew it
    assert consumer.kept["online"] is True
    consumer.take(8, NOW - 60)  # the answer may not have known it
    assert (consumer.kept["online"], consumer.kept["sequence"]) == (False, 8)
    consumer.take(7, NOW - 61)
    assert consumer.kept["sequence"] == 8


def test_an_answer_replaces_only_what_is_older(consumer: Consumer) -> None:
    consumer.take(7, NOW)
    consumer.start(online=True, as_of=NOW + 60)
    assert consumer.kept["sequence"] == 7
    consumer.start(online=True, as_of=NOW + 61)
    assert "sequence" not in consumer.kept
    consumer.take(7, NOW)
    assert consumer.kept["online"] is True
    consumer.start(online=False, as_of=NOW + 90)
    assert consumer.kept["online"] is False
    consumer.start(online=True, as_of=NOW + 80)
    assert consumer.kept["online"] is False
