"""`make replay` on real DynamoDB, EventBridge and SQS APIs."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest

from lambdas.adapters.history import HistoryTable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.instants import timestamp
from lambdas.domain.transitions import Transition
from lambdas.protocol import event_detail
from operations.data import replay
from tests.builders import B1, NOW, FakeClock, transition
from tests.dynamodb import create_history_table, create_table

B2 = BusinessId("b2")


@dataclass
class Deployed:
    """An environment with a history and a bus, and a queue that gets all events."""

    environment: str
    history: HistoryTable
    queue: str
    client: Any
    history_name: str

    def run(self, *arguments: str, start: int = NOW, end: int = NOW + 60) -> int:
        window = ["--from", timestamp(start), "--to", timestamp(end)]
        return replay.main(["--environment", self.environment, *window, *arguments])

    def received(self) -> list[Any]:
        """The details of the events that arrived. MiniStack delivers them at once."""
        sqs = boto3.client("sqs", region_name="us-east-1")
        found: list[Any] = []
        while messages := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                found.append(json.loads(message["Body"])["detail"])
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return found


@pytest.fixture
def deployed(deploy: Callable[[dict[str, str]], str], ministack: Any) -> Iterator[Deployed]:
    name = f"replay-{uuid4().hex[:10]}"
    events = boto3.client("events", region_name="us-east-1")
    sqs = boto3.client("sqs", region_name="us-east-1")
    events.create_event_bus(Name=name)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    pattern = json.dumps({"source": ["business-connections"]})
    events.put_rule(Name=name, EventBusName=name, EventPattern=pattern)
    targets: Any = [{"Id": "queue", "Arn": arn["Attributes"]["QueueArn"]}]
    events.put_targets(Rule=name, EventBusName=name, Targets=targets)
    table, history = create_table(ministack), create_history_table(ministack)
    environment = deploy({"TableName": table, "HistoryTableName": history, "EventBusName": name})
    kept = HistoryTable(ministack, table=table, history=history, keep_seconds=90, clock=FakeClock())
    yield Deployed(environment, kept, queue, ministack, history)
    sqs.delete_queue(QueueUrl=queue)


SEQUENCES = range(1, 31)


@pytest.fixture
def filled(deployed: Deployed) -> Deployed:
    """Both businesses had 30 transitions, one every ten seconds."""
    for sequence in SEQUENCES:
        for business_id in (B1, B2):
            each = transition(
                business_id=business_id, sequence=sequence, at=NOW + 10 * (sequence - 1)
            )
            deployed.history.commit(each, settings_version=1)
    return deployed


def test_a_window_of_all_businesses_is_published_as_it_was_recorded(
    filled: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert filled.run(start=NOW + 10, end=NOW + 100) == 0
    assert capsys.readouterr().out == "published 20 transitions\n"
    received = filled.received()
    for business_id in (B1, B2):
        expected = filled.history.list_between(business_id, NOW + 10, NOW + 100, limit=99)
        of_business = [each for each in received if each["businessId"] == business_id]
        assert sorted(of_business, key=lambda each: each["sequence"]) == [
            event_detail(each) for each in reversed(expected)
        ]


def test_a_window_of_one_business_is_published_again_and_again(filled: Deployed) -> None:
    for _ in range(2):
        assert filled.run("--business", "b2", end=NOW + 20) == 0
        received = filled.received()
        assert {each["businessId"] for each in received} == {"b2"}
        assert sorted(each["sequence"] for each in received) == [1, 2, 3]


def test_a_dry_run_counts_and_publishes_nothing(
    filled: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert filled.run("--dry-run", end=NOW + 300) == 0
    assert capsys.readouterr().out == "would publish 60 transitions\n"
    assert filled.received() == []


def test_an_item_that_is_no_transition_is_skipped(filled: Deployed) -> None:
    item = {"pk": {"S": "BUSINESS#b1"}, "sk": {"S": "x"}, "at": {"N": str(NOW)}}
    filled.client.put_item(TableName=filled.history_name, Item=item)
    assert filled.run(end=NOW) == 0
    assert len(filled.received()) == 2


def test_an_outage_stops_it_with_a_word_on_how_to_go_on(
    deploy: Callable[[dict[str, str]], str],
    ministack: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"TableName": create_table(ministack), "HistoryTableName": "gone", "EventBusName": "b"}
    window = ["--from", timestamp(NOW), "--to", timestamp(NOW)]
    assert replay.main(["--environment", deploy(names), *window]) == 1
    told = capsys.readouterr().err
    assert told.startswith("stopped: ")
    assert "run it again" in told


def test_an_interrupt_keeps_the_count_and_a_job_in_the_background_can_be_interrupted_too(
    filled: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def walk_and_stop(*_: Any) -> Iterator[Transition]:
        yield from filled.history.list_between(B1, NOW, NOW + 300, limit=20)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(HistoryTable, "walk", walk_and_stop)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert filled.run(end=NOW + 300) == 130
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    told = capsys.readouterr()
    assert told.err == "interrupted: run it again to go on\n"
    assert told.out == "published 20 transitions\n"
    assert len(filled.received()) == 20


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "yesterday", "--to", timestamp(NOW)], "FROM: must be a moment in RFC 3339"),
        (["--from", timestamp(NOW), "--to", "2026-13-01T00:00:00Z"], "TO: must be a moment in RFC"),
        (["--from", timestamp(NOW + 1), "--to", timestamp(NOW)], "FROM: must not be after TO"),
        (
            ["--from", timestamp(NOW), "--to", timestamp(NOW), "--business", "b#1"],
            "BUSINESS: must be 1 to 64 characters",
        ),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay.main(["--environment", "dev", *arguments]) == 2
    assert told in capsys.readouterr().err
