"""Each transition is recorded with its cause, published once for each sequence, and kept in the
history.

Several stories run at the same time in the background, because some of them wait for the clock.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.feed import Feed, following
from tests.e2e.harness import USER, Business, Socket, System, eventually, wait_until

ONLINE = "ONLINE"
VIRTUAL_ONLY = "VIRTUAL_ONLY"
UNREACHABLE = "UNREACHABLE"
CONNECTED = "CONNECTED_NOT_ACCEPTING"
OFFLINE = "OFFLINE"
UNKNOWN = "UNKNOWN"

OPERATOR = "e2e-operator"
BACKEND = "e2e-backend"

SILENT_AFTER = 26
"""Seconds: two pings and the grace of the environment `local`, and one more."""


class Consumer:
    """Keeps what the feed delivers, by business and sequence, as docs/events.md advises."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._kept: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        self._stopped = threading.Event()
        self.received: list[tuple[str, int]] = []

    def run(self) -> None:
        while not self._stopped.is_set():
            for detail in self._feed.receive(seconds=1):
                business, sequence = detail["businessId"], detail["sequence"]
                kept = self._kept[business].setdefault(sequence, detail)
                assert kept == detail, "the same sequence always says the same"
                self.received.append((business, sequence))

    def stop(self) -> None:
        self._stopped.set()

    def of(self, business: Business) -> list[dict[str, Any]]:
        """What came about a business, by sequence."""
        return [each for _, each in sorted(self._kept[business.id].items())]


@pytest.fixture(scope="session")
def consumer(system: System) -> Iterator[Consumer]:
    with following(system.endpoints) as feed, ThreadPoolExecutor(1) as background:
        consumer = Consumer(feed)
        running = background.submit(consumer.run)
        yield consumer
        consumer.stop()
        running.result()


class Told:
    """What is expected of the feed about one business, as its story goes on."""

    def __init__(self, system: System, consumer: Consumer) -> None:
        self.business = Business(system)
        self.system = system
        self._consumer = consumer
        self._sequence = 0
        self._status = UNKNOWN
        self.began = time.time()

    def next(
        self,
        to: str,
        cause: str,
        by: str | None = None,
        *,
        attention: str | None = None,
        with_cleanup: bool = False,
    ) -> dict[str, Any]:
        """Wait for the next transition, and check everything that it says."""
        cleaned_up_at = 0.0

        def arrived() -> dict[str, Any] | None:
            nonlocal cleaned_up_at
            if with_cleanup and time.time() - cleaned_up_at > 3:
                self.system.clean_up()
                cleaned_up_at = time.time()
            found = self._consumer.of(self.business)
            return found[self._sequence] if len(found) > self._sequence else None

        detail = eventually(f"{self._status} becomes {to} ({cause})", arrived, seconds=20)
        self._sequence += 1
        assert detail["sequence"] == self._sequence, detail
        assert (detail["from"], detail["to"]) == (self._status, to), detail
        assert (detail["cause"], detail["by"]) == (cause, by), detail
        assert detail["attention"] == attention, detail
        assert detail["online"] is (to in (ONLINE, VIRTUAL_ONLY)), detail
        self._status = to
        return detail

    def check_history(self) -> None:
        """The history says the same as the feed, and its seconds add up."""
        answer = self.business.call("GET", "history")
        assert answer.status == 200, answer
        page = answer.body
        delivered = self._consumer.of(self.business)
        assert len(delivered) == self._sequence, delivered
        received = [
            sequence
            for business, sequence in self._consumer.received
            if business == self.business.id
        ]
        assert sorted(received) == [*range(1, self._sequence + 1)], "each once, without a gap"
        without = {"version", "businessId"}
        assert page["transitions"] == [
            {name: value for name, value in each.items() if name not in without}
            for each in reversed(delivered)
        ]
        assert page["next"] is None
        assert sum(page["seconds"].values()) == 86_400
        # Before it was declared, it was unknown.
        assert page["seconds"][UNKNOWN] >= 86_400 - (time.time() - self.began) - 2


Story = Callable[[Told, ExitStack], None]


def _connected(told: Told, stack: ExitStack) -> Socket:
    return stack.enter_context(told.business.socket())


def _pause(told: Told, role: str, seconds: float) -> None:
    token = told.system.token(role)
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    body = {"until": until.isoformat(timespec="seconds"), "reason": "test"}
    answer = told.business.call("PUT", "pause", token=token, body=body)
    assert answer.status == 200, answer


def people_and_devices(told: Told, stack: ExitStack) -> None:
    business, operator = told.business, told.system.token("operator")
    device = _connected(told, stack)
    business.set_available(True)
    told.next(ONLINE, "member", USER)
    device.socket.close()
    told.next(VIRTUAL_ONLY, "device_disconnected")
    device = _connected(told, stack)
    told.next(ONLINE, "device_connected")
    assert device.ask({"action": "ping"})["type"] == "pong"
    closed = business.call("DELETE", f"connections/{device.connection_id}", token=operator)
    assert closed.status == 204, closed
    told.next(VIRTUAL_ONLY, "operator", OPERATOR)
    _connected(told, stack)
    told.next(ONLINE, "device_connected")
    _pause(told, "operator", 600)
    told.next(CONNECTED, "operator", OPERATOR)
    assert business.call("DELETE", "pause", token=operator).status == 200
    told.next(ONLINE, "operator", OPERATOR)
    _pause(told, "backend", 6)
    told.next(CONNECTED, "backend", BACKEND)
    told.next(ONLINE, "pause_ended", with_cleanup=True)


def silence_and_attention(told: Told, stack: ExitStack) -> None:
    device = _connected(told, stack)
    told.business.set_available(True)
    told.next(ONLINE, "member", USER)
    heard = told.business.real()[0]["lastSeenAt"]
    wait_until(int(heard) + SILENT_AFTER)
    silent = told.next(VIRTUAL_ONLY, "silence", with_cleanup=True)
    assert silent["at"] == _text(int(heard) + SILENT_AFTER), "to the second"
    eventually("it is marked", lambda: "attention" in told.business.settings())
    told.business.age_attention(40)
    told.next(VIRTUAL_ONLY, "silence", attention="virtual-only", with_cleanup=True)
    device.socket.close()
    _connected(told, stack)
    told.next(ONLINE, "device_connected")


def a_socket_that_is_gone_and_a_lease_that_ends(told: Told, stack: ExitStack) -> None:
    now = int(time.time())
    told.business.write_connection("gone=", connected_at=now - 120, last_seen_at=now - 5)
    told.business.set_available(True)
    told.next(ONLINE, "member", USER)
    wait_until(now + 7)  # it has missed a ping then
    told.next(VIRTUAL_ONLY, "cleanup", with_cleanup=True)
    ended = int(time.time())
    told.business.end_leases(ended)
    lease = told.next(UNREACHABLE, "lease_ended", with_cleanup=True)
    assert lease["at"] == _text(ended)


def opening_hours_that_end(told: Told, stack: ExitStack) -> None:
    device = _connected(told, stack)
    told.business.set_available(True)
    told.next(ONLINE, "member", USER)
    # The next full minute that is at least 10 seconds away: opening hours know no seconds.
    closes = datetime.fromtimestamp((time.time() + 10) // 60 * 60 + 60, UTC)
    opens = closes - timedelta(hours=1)
    day = ("mo", "tu", "we", "th", "fr", "sa", "su")[opens.weekday()]
    hours = {"timeZone": "UTC", "weekly": {day: [[f"{opens:%H:%M}", f"{closes:%H:%M}"]]}}
    answer = told.business.call("PUT", "opening-hours", body=hours)
    assert answer.status == 200, answer
    while time.time() < closes.timestamp():
        assert device.ask({"action": "ping"})["type"] == "pong"
        wait_until(min(time.time() + 8, closes.timestamp()))
    closed = told.next(CONNECTED, "opening_hours", with_cleanup=True)
    assert closed["at"] == _text(int(closes.timestamp()))


def an_import(told: Told, stack: ExitStack) -> None:
    file = Path(told.system.state) / "feed.csv"
    file.write_text(f"id,accepting\n{told.business.id},true\n")
    arguments = ["operations.data.import_businesses", "--file", str(file), "--environment", "local"]
    imported = told.system.run_tool(*arguments)
    assert imported.returncode == 0, imported.stderr
    told.next(UNREACHABLE, "import")


STORIES: tuple[Story, ...] = (
    people_and_devices,
    silence_and_attention,
    a_socket_that_is_gone_and_a_lease_that_ends,
    opening_hours_that_end,
    an_import,
)


def _text(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _play(story: Story, told: Told) -> None:
    with ExitStack() as stack:
        stack.callback(told.business.delete_items)
        story(told, stack)
        told.check_history()


@pytest.fixture(scope="session", autouse=True)
def stories(request: pytest.FixtureRequest, system: System) -> Iterator[dict[str, Future[None]]]:
    """Plays the stories in the background, if they are asked for, while other tests run."""
    asked_for = any("feed_story" in item.name for item in request.session.items)
    if not asked_for:
        yield {}
        return
    consumer = request.getfixturevalue("consumer")
    # Not in the threads: they would race for tokens.
    for role in ("operator", "backend"):
        system.token(role)
    ready = [(story, Told(system, consumer)) for story in STORIES]
    with ThreadPoolExecutor(len(STORIES)) as background:
        yield {story.__name__: background.submit(_play, story, told) for story, told in ready}


@pytest.mark.last
@pytest.mark.parametrize("name", [story.__name__ for story in STORIES])
def test_the_feed_story_of(stories: dict[str, Future[None]], name: str) -> None:
    stories[name].result(timeout=120)


def test_a_poisoned_record_goes_to_the_dead_letters_and_the_rest_flows(
    system: System, consumer: Consumer, business: Business
) -> None:
    sqs = system.client("sqs")
    (queue,) = [url for url in sqs.list_queues()["QueueUrls"] if "ChangeFeed" in url]
    system.client("dynamodb").put_item(
        TableName=system.endpoints.historyTableName,
        Item={
            "pk": {"S": f"BUSINESS#{business.id}"},
            "sk": {"S": "000000000000#000000000009"},
            "at": {"S": "noon"},
        },
    )

    def letter() -> dict[str, Any] | None:
        received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        bodies = [json.loads(message["Body"]) for message in received.get("Messages", [])]
        return next((each for each in bodies if each["businessId"] == business.id), None)

    found = eventually("the record is in the queue", letter)
    assert found["error"].startswith("ValueError: not a transition")
    assert found["record"]["NewImage"]["at"] == {"S": "noon"}
    business.set_available(False)
    (closed,) = eventually("the next transition comes", lambda: consumer.of(business))
    assert (closed["to"], closed["cause"]) == (OFFLINE, "member")


def test_an_item_that_cannot_be_read_stops_no_transition(
    system: System, consumer: Consumer, business: Business
) -> None:
    broken = {"pk": f"BUSINESS#{business.id}", "sk": "CONNECTION#broken=", "lastSeenAt": "noon"}
    system.client("dynamodb").put_item(
        TableName=system.endpoints.tableName,
        Item={name: {"S": value} for name, value in broken.items()},
    )
    business.set_available(True)
    (opened,) = eventually("the transition comes", lambda: consumer.of(business))
    assert (opened["to"], opened["cause"]) == (VIRTUAL_ONLY, "member")


def test_a_replay_delivers_the_same_transitions_again(
    system: System, consumer: Consumer, business: Business
) -> None:
    business.set_available(True)
    business.set_available(False)
    eventually("both were recorded", lambda: len(consumer.of(business)) >= 1)
    last = eventually(
        "the business is recorded as offline",
        lambda: [each for each in consumer.of(business) if each["to"] == OFFLINE],
    )[-1]
    before = consumer.received.count((business.id, last["sequence"]))
    window = ["--from", last["at"], "--to", last["at"], "--business", business.id]
    replayed = system.run_tool("operations.data.replay", "--environment", "local", *window)
    assert replayed.returncode == 0, replayed.stderr
    eventually(
        "it comes again",
        lambda: consumer.received.count((business.id, last["sequence"])) > before,
    )
