"""Pushing a message: it reaches every device once, and the answer says how many it reached."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from local.rest import Answer
from tests.e2e.harness import Business, Socket, System, assert_problem, eventually
from tests.e2e.test_telemetry import metric

LIMIT = 128 * 1024


def assert_pushed(answer: Answer, *, sent: int, gone: int = 0) -> str:
    """Check the counts of a push, and return its message id."""
    assert answer.status == 200, answer
    counts = {name: answer.body[name] for name in ("sent", "gone", "failed")}
    assert counts == {"sent": sent, "gone": gone, "failed": 0}
    assert answer.body["reached"] is (sent > 0)
    message_id: str = answer.body["messageId"]
    assert message_id
    return message_id


def assert_no_more_messages(device: Socket) -> None:
    # A message that was pushed before would arrive before this answer.
    assert device.ask({"action": "ping", "id": "last"})["id"] == "last"


def test_a_message_reaches_every_device(business: Business, backend: str) -> None:
    order = {"order": 7, "items": ["Käsespätzle", {"extra": None}], "total": 12.5}
    with business.socket() as one, business.socket() as other:
        message_id = assert_pushed(business.push(backend, order), sent=2)
        for device in (one, other):
            assert device.receive() == {"type": "message", "id": message_id, "body": order}
            assert_no_more_messages(device)


def test_devices_of_another_business_get_no_message(
    system: System, business: Business, backend: str
) -> None:
    other = Business(system)
    with business.socket() as device, other.socket() as stranger:
        assert_pushed(business.push(backend, "hello"), sent=1)
        assert device.receive()["body"] == "hello"
        assert_no_more_messages(stranger)
    eventually("all connections are removed", lambda: not business.items() and not other.items())


def test_without_a_device_nobody_is_reached(business: Business, backend: str) -> None:
    assert_pushed(business.push(backend, {"order": 1}), sent=0)
    business.set_available(True)
    assert_pushed(business.push(backend, {"order": 1}), sent=0)
    business.set_available(False)


def test_a_socket_that_is_gone_is_counted_and_removed_unless_it_is_young(
    business: Business, backend: str
) -> None:
    with business.socket() as device:
        now = int(time.time())
        business.write_connection("gone=", connected_at=now - 120, last_seen_at=now)
        business.write_connection("young=", connected_at=now - 5, last_seen_at=now)
        assert_pushed(business.push(backend, "hello"), sent=1, gone=2)
        assert device.receive()["body"] == "hello"
        left = {item["connectionId"] for item in business.real()}
        assert left == {device.connection_id, "young="}


def test_a_message_can_be_any_json_value(business: Business, backend: str) -> None:
    bodies: list[Any] = [[1, "two", None], [], {}, "text", "", 0, True, "\U0001f355", "x" * 120_000]
    with business.socket() as device:
        for body in bodies:
            assert_pushed(business.push(backend, body), sent=1)
            assert device.receive()["body"] == body


class TestIdempotencyKey:
    def test_a_repeated_call_gets_the_first_answer_and_sends_nothing(
        self, business: Business, backend: str
    ) -> None:
        key = uuid.uuid4().hex
        with business.socket() as device:
            first = business.push(backend, {"order": 1}, key=key)
            again = business.push(backend, {"order": 1}, key=key)
            assert_pushed(first, sent=1)
            assert again.body == first.body
            assert device.receive()["id"] == first.body["messageId"]
            assert_no_more_messages(device)

    def test_only_one_of_simultaneous_calls_sends(self, business: Business, backend: str) -> None:
        key = uuid.uuid4().hex
        with business.socket() as device, ThreadPoolExecutor(5) as pool:
            calls = [pool.submit(business.push, backend, "hello", key=key) for _ in range(5)]
            answers = [call.result() for call in calls]
            # A call that comes while the first one is running gets 409, and can be repeated later.
            assert {answer.status for answer in answers} <= {200, 409}, answers
            done = [answer.body for answer in answers if answer.status == 200]
            done.append(business.push(backend, "hello", key=key).body)
            assert all(body == done[0] for body in done)
            assert device.receive()["id"] == done[0]["messageId"]
            assert_no_more_messages(device)


def test_a_too_large_message_is_refused_with_the_limit(business: Business, backend: str) -> None:
    with business.socket() as device:
        for size in (LIMIT + 1, LIMIT - 10):  # with what is around it, the latter is too large too
            answer = business.push(backend, "x" * (size - 2))
            assert_problem(answer, 413, "payload-too-large")
            assert str(LIMIT) in answer.body["detail"]
        assert_no_more_messages(device)


def test_operators_may_push_too(system: System, business: Business) -> None:
    with business.socket() as device:
        assert_pushed(business.push(system.token("operator"), "from an operator"), sent=1)
        assert device.receive()["body"] == "from an operator"


def test_messages_are_counted(system: System, business: Business, backend: str) -> None:
    before = metric(system, "MessagesSent", "Sum") or 0
    with business.socket() as one, business.socket() as other:
        assert_pushed(business.push(backend, "hello"), sent=2)
        one.receive()
        other.receive()
    eventually(
        "both are counted", lambda: (metric(system, "MessagesSent", "Sum") or 0) >= before + 2
    )
