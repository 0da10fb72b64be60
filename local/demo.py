"""Plays the main story on the running local system, and prints what happens.

    make demo

A device connects and its business goes available; the device freezes, so orders would go nowhere;
the cleanup finds out, and on call is paged; the device comes back. Lines with `feed` are the
transitions that the change feed publishes meanwhile.

The exit code is 1, with an explanation, if something does not happen in time, or if another
business needs attention and keeps the alarm in ALARM.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from local.demo_output import Output
from local.feed import following
from local.polling import poll
from local.rest import call
from local.token import access_token
from operations.shared.local_system import LocalSystem, NotRunning
from operations.shared.repository import ROOT

PAGING_METRIC = "VirtualOnlyBusinesses"
USER = "demo"
OPERATOR = "demo-operator"

T = TypeVar("T")


class DidNotHappen(Exception):
    """A step of the story did not happen. The text says what was expected and what was seen."""


@dataclass
class Device:
    """The process of `local.device`, and the events that it printed so far."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)

    def read_events(self) -> None:
        for line in self.process.stdout or ():
            self.events.append(json.loads(line))

    def has_printed(self, event: str) -> bool:
        return any(line["event"] == event for line in self.events)

    def has_pong(self) -> bool:
        return any(line.get("message", {}).get("type") == "pong" for line in self.events)


class Story:
    """One business, and the people who use it and watch over it."""

    def __init__(self, system: LocalSystem, stack: ExitStack) -> None:
        self._output = Output()
        stack.enter_context(self._output.shown())
        self._stack = stack
        self._system = system
        self._business = f"demo-{secrets.token_hex(4)}"
        self._token = access_token(system, user=USER, businesses=[self._business])
        self._operator = access_token(system, user=OPERATOR, roles=["operator"])
        self._cloudwatch = system.client("cloudwatch")
        self._lambda = system.client("lambda")
        self._sqs = system.client("sqs")
        self._alarm = self._paging_alarm()
        self._feed = stack.enter_context(following(system, business=self._business))
        self._transitions: list[dict[str, Any]] = []

    def tell(self) -> None:
        """Play the whole story. Raises `DidNotHappen`."""
        self._say(f"This is business {self._business}. The alarm {self._alarm} pages on call.")
        self._require_no_other_business_needs_attention()
        self._wait(
            "the alarm is OK before the story begins", self._alarm_is("OK"), seconds=100, usually=5
        )
        pager = self._stack.enter_context(self._pager())

        device = self._stack.enter_context(self._device())
        self._wait("the device connects", lambda: device.has_printed("connected"))
        self._wait("its ping is answered", device.has_pong)
        connected_at = time.monotonic()
        connection = self._wait("its connection is stored", self._stored_connection)
        self._say(f"A device is connected: CONNECTION#{connection}. It pings every few seconds.")

        self._stack.callback(self._set_availability, False)
        self._set_availability(True)
        self._say("The business declared itself available for orders.")
        self._show(self._wait("the status is ONLINE", self._status_is("ONLINE")))
        self._wait("the feed tells that it is ONLINE", self._was_told("ONLINE"))

        os.killpg(device.process.pid, signal.SIGSTOP)
        self._say("The device freezes: its socket stays open, but it sends nothing any more.")
        self._show(
            self._wait(
                "the silent device no longer counts (26 s after its last ping)",
                self._status_is("VIRTUAL_ONLY"),
                seconds=60,
                usually=25,
            )
        )
        self._say("Customers can still order, but no device receives the orders.")

        self._say("Its back end does not notice, and renews the lease every few seconds.")

        self._say(
            "The cleanup runs every minute; to keep this short, it is called by hand as well."
        )
        since = self._wait_with_cleanup(
            "a cleanup finds that it needs attention",
            self._renewing(lambda: self._status()["attentionSince"]),
            seconds=60,
            usually=3,
        )
        self._say(f"A cleanup found that it needs attention, since {since}.")
        self._wait("the feed tells that it is VIRTUAL_ONLY", self._was_told("VIRTUAL_ONLY"))
        self._wait(
            "the cleanup closes and removes the frozen connection (once it is 60 s old)",
            self._renewing(lambda: self._cleaned_up(connection)),
            seconds=90,
            usually=30,
        )
        age = time.monotonic() - connected_at
        self._say(
            f"The cleanup closed the socket and removed its item, {age:.0f} s after it connected."
        )
        self._wait_with_cleanup(
            "the alarm goes to ALARM (30 s after the cleanup found it)",
            self._renewing(self._alarm_is("ALARM")),
            seconds=120,
            usually=5,
        )
        if self._status()["attentionSince"] != since:
            raise DidNotHappen(f"a renewal moved attentionSince: {json.dumps(self._status())}")
        page = self._wait("the page reaches on call", lambda: pager("ALARM"), seconds=30)
        self._say(f"ALARM. On call reads: {page['NewStateReason']}")
        self._wait(
            "the feed tells that it needs attention",
            self._was_told("VIRTUAL_ONLY", attention="virtual-only"),
        )

        again = self._stack.enter_context(self._device())
        self._wait("the device is connected again", again.has_pong)
        self._say("The device is switched off and on again, and is connected.")
        self._show(self._wait("the status is ONLINE", self._status_is("ONLINE")))
        self._wait("the feed tells that it is ONLINE again", self._was_told("ONLINE"))
        try:
            self._wait_with_cleanup(
                "the alarm goes to OK (with the next census)",
                self._alarm_is("OK"),
                seconds=180,
                usually=30,
            )
        except DidNotHappen:
            self._require_no_other_business_needs_attention()
            raise
        self._wait("the all-clear reaches on call", lambda: pager("OK"), seconds=30)
        self._say("OK. On call can go back to sleep.")

    # What it prints.

    def _say(self, text: str) -> None:
        self._tell_transitions()
        self._output.say(text)

    def _tell_transitions(self) -> None:
        """Print the transitions that have arrived since the last time."""
        for each in self._feed.receive():
            self._transitions.append(each)
            self._output.transition(each)

    def _show(self, status: Mapping[str, Any]) -> None:
        self._say(f"Status {status['overallStatus']}, because:")
        for reason in status["reasons"]:
            self._say(f"    {reason['code']}: {reason['detail']}")

    def _wait(
        self,
        what: str,
        condition: Callable[[], T | None],
        *,
        seconds: float = 20,
        usually: float = 2,
    ) -> T:
        """Ask until the answer is true, and return it. Raises `DidNotHappen`.

        It may take `seconds`, and `usually` takes less.
        """

        def ask() -> T | None:
            self._tell_transitions()
            return condition()

        with self._output.waiting(what, usually=usually):
            answer = poll(ask, timeout=seconds, every=0.5)
        if not answer:
            raise DidNotHappen(
                f"expected within {seconds:.0f} s, and did not happen: {what}. "
                f"The status is {json.dumps(self._status())}"
            )
        return answer

    def _wait_with_cleanup(
        self, what: str, condition: Callable[[], T | None], *, seconds: float, usually: float
    ) -> T:
        def after_cleanup() -> T | None:
            answer = condition()
            if not answer:
                self._clean_up()
                time.sleep(2)
            return answer

        return self._wait(what, after_cleanup, seconds=seconds, usually=usually)

    # What people and devices do.

    @contextmanager
    def _device(self) -> Iterator[Device]:
        process = subprocess.Popen(
            [
                sys.executable,
                *("-m", "local.device"),
                *("--business", self._business, "--user", USER, "--ping-every", "4"),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        device = Device(process)
        threading.Thread(target=device.read_events, daemon=True).start()
        try:
            yield device
        finally:
            process.kill()
            process.wait()

    def _set_availability(self, available: bool) -> None:
        answer = call(
            "PUT",
            f"{self._system.restUrl}/businesses/{self._business}/availability",
            token=self._token,
            body={"available": available},
        )
        if answer.status != 200:
            raise DidNotHappen(f"PUT availability answered {answer.status}: {answer.body}")

    def _renewing(self, condition: Callable[[], T | None]) -> Callable[[], T | None]:
        def look() -> T | None:
            self._set_availability(True)
            return condition()

        return look

    def _clean_up(self) -> None:
        answer = self._lambda.invoke(FunctionName=self._system.cleanupFunctionName, Payload=b"{}")
        report = answer["Payload"].read()
        if "FunctionError" in answer:
            raise DidNotHappen(f"the cleanup failed: {report.decode()}")

    def _cleaned_up(self, connection: str) -> bool:
        self._clean_up()
        time.sleep(2)
        return self._stored_connection() != connection

    def _require_no_other_business_needs_attention(self) -> None:
        """Raise `DidNotHappen` with the way out if other businesses hold the alarm."""
        url = f"{self._system.restUrl}/businesses?attention=virtual-only&limit=100"
        answer = call("GET", url, token=self._operator)
        if answer.status != 200:
            raise DidNotHappen(f"GET /businesses answered {answer.status}: {answer.body}")
        others = {each["businessId"] for each in answer.body["businesses"]} - {self._business}
        if others:
            raise DidNotHappen(
                "The demo needs an alarm that is OK, but these businesses need attention and keep"
                f" it in ALARM: {', '.join(sorted(others))}.\n"
                "Connect their devices, or declare them unavailable, and try again:\n"
                + "\n".join(self._command_to_end(each) for each in sorted(others))
            )

    def _command_to_end(self, business: str) -> str:
        return (
            f"  curl -sS --fail-with-body -X PUT -d '{{\"available\": false}}'"
            f' -H "Authorization: Bearer $(make -s token BUSINESS={business})"'
            f" {self._system.restUrl}/businesses/{business}/availability"
        )

    # What the service shows.

    def _get(self, resource: str) -> dict[str, Any]:
        url = f"{self._system.restUrl}/businesses/{self._business}/{resource}"
        answer = call("GET", url, token=self._token)
        if answer.status != 200:
            raise DidNotHappen(f"GET {resource} answered {answer.status}: {answer.body}")
        body: dict[str, Any] = answer.body
        return body

    def _status(self) -> dict[str, Any]:
        status = self._get("status")
        self._output.is_now(status=status["overallStatus"])
        return status

    def _status_is(self, wanted: str) -> Callable[[], dict[str, Any] | None]:
        def look() -> dict[str, Any] | None:
            status = self._status()
            return status if status["overallStatus"] == wanted else None

        return look

    def _was_told(self, status: str, *, attention: str | None = None) -> Callable[[], bool]:
        """Whether the last transition that the feed told led to this."""

        def look() -> bool:
            last = self._transitions[-1] if self._transitions else {}
            return (last.get("to"), last.get("attention")) == (status, attention)

        return look

    def _stored_connection(self) -> str | None:
        stored = self._get("connections")["real"]
        return stored[0]["connectionId"] if stored else None

    def _paging_alarm(self) -> str:
        described = self._cloudwatch.describe_alarms(AlarmNames=self._system.alarmNames)
        for alarm in described["MetricAlarms"]:
            if alarm.get("MetricName") == PAGING_METRIC:
                return str(alarm["AlarmName"])
        raise DidNotHappen(f"the deployment has no alarm on {PAGING_METRIC}")

    def _alarm_is(self, wanted: str) -> Callable[[], bool]:
        def look() -> bool:
            (alarm,) = self._cloudwatch.describe_alarms(AlarmNames=[self._alarm])["MetricAlarms"]
            self._output.is_now(alarm=alarm["StateValue"])
            return bool(alarm["StateValue"] == wanted)

        return look

    @contextmanager
    def _pager(self) -> Iterator[Callable[[str], dict[str, Any] | None]]:
        """Subscribe a queue to the on-call topic. Yields a function that finds a page by state."""
        sns = self._system.client("sns")
        queue = self._sqs.create_queue(QueueName=self._business)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        subscription = sns.subscribe(
            TopicArn=self._system.onCallTopicArn,
            Protocol="sqs",
            Endpoint=attributes["Attributes"]["QueueArn"],
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
        pages: list[dict[str, Any]] = []

        def look(state: str) -> dict[str, Any] | None:
            received = self._sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            for message in received.get("Messages", []):
                self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                pages.append(json.loads(json.loads(message["Body"])["Message"]))
            return next(
                (
                    page
                    for page in pages
                    if (page["AlarmName"], page["NewStateValue"]) == (self._alarm, state)
                ),
                None,
            )

        try:
            yield look
        finally:
            sns.unsubscribe(SubscriptionArn=subscription)
            self._sqs.delete_queue(QueueUrl=queue)


def main() -> int:
    # Also on SIGTERM it must end its devices: a frozen one would stay forever.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    try:
        system = LocalSystem.running()
        with ExitStack() as stack:
            Story(system, stack).tell()
    except (NotRunning, DidNotHappen) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
