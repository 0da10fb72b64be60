"""Plays the main story on the running local system, and says what it sees.

A device connects and its business goes available; the device freezes without a word; the business
now only looks reachable; the cleanup finds out, and somebody is paged; the device comes back.

Ends with exit code 1 and one line of explanation when something does not happen in time.
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

from local.rest import call
from local.system import ROOT, Endpoints, NotRunning
from local.token import access_token

PAGING_METRIC = "VirtualOnlyBusinesses"
USER = "demo"

T = TypeVar("T")


class DidNotHappen(Exception):
    """The story went another way. Its text says what was expected and what was seen last."""


@dataclass
class Device:
    """The process of `local.device`, and what it said so far."""

    process: subprocess.Popen[str]
    heard: list[dict[str, Any]] = field(default_factory=list)

    def listen(self) -> None:
        for line in self.process.stdout or ():
            self.heard.append(json.loads(line))

    def has_heard(self, event: str) -> bool:
        return any(line["event"] == event for line in self.heard)

    def has_pong(self) -> bool:
        return any(line.get("message", {}).get("type") == "pong" for line in self.heard)


class Story:
    """One business, and the people who use it and watch over it."""

    def __init__(self, endpoints: Endpoints, stack: ExitStack) -> None:
        self._began = time.monotonic()
        self._stack = stack
        self._endpoints = endpoints
        self._business = f"demo-{secrets.token_hex(4)}"
        self._token = access_token(endpoints, user=USER, businesses=[self._business])
        self._cloudwatch = endpoints.client("cloudwatch")
        self._lambda = endpoints.client("lambda")
        self._sqs = endpoints.client("sqs")
        self._alarm = self._paging_alarm()

    def tell(self) -> None:
        """Play the whole story. Raises `DidNotHappen`."""
        self._say(f"This is business {self._business}. On call listens to the alarm {self._alarm}.")
        self._wait("the alarm is OK before the story begins", self._alarm_is("OK"), seconds=100)
        pager = self._stack.enter_context(self._pager())

        device = self._stack.enter_context(self._device())
        self._wait("the device connects", lambda: device.has_heard("connected"))
        self._wait("its ping is answered", device.has_pong)
        connected_at = time.monotonic()
        connection = self._wait("its connection is stored", self._stored_connection)
        self._say(f"A device is connected: CONNECTION#{connection}. It pings every few seconds.")

        self._stack.callback(self._set_availability, False)
        self._set_availability(True)
        self._say("The business declared itself available for orders.")
        self._show(self._wait("the status is ONLINE", self._status_is("ONLINE")))

        os.killpg(device.process.pid, signal.SIGSTOP)
        self._say("The device freezes: its socket stays open, and nothing comes from it any more.")
        self._show(
            self._wait("the status is VIRTUAL_ONLY", self._status_is("VIRTUAL_ONLY"), seconds=60)
        )
        self._say("Customers can still order, and nobody can hear it.")

        self._say("Its back end knows nothing of this, and renews the lease every few seconds.")

        self._say(
            "The cleanup runs every minute; to keep this short, it is called by hand as well."
        )
        since = self._wait_with_cleanup(
            "a cleanup finds that it needs attention",
            self._renewing(lambda: self._status()["attentionSince"]),
            seconds=60,
        )
        self._say(f"A cleanup found that it needs attention, since {since}.")
        self._wait(
            "the cleanup closes and removes the frozen connection (once it is 60 s old)",
            self._renewing(lambda: self._cleaned_up(connection)),
            seconds=90,
        )
        age = time.monotonic() - connected_at
        self._say(
            f"The cleanup closed the socket and removed its item, {age:.0f} s after it connected."
        )
        self._wait_with_cleanup(
            "the alarm goes to ALARM", self._renewing(self._alarm_is("ALARM")), seconds=120
        )
        if self._status()["attentionSince"] != since:
            raise DidNotHappen(f"a renewal moved attentionSince: {json.dumps(self._status())}")
        page = self._wait("the page reaches on call", lambda: pager("ALARM"), seconds=30)
        self._say(f"ALARM. On call reads: {page['NewStateReason']}")

        again = self._stack.enter_context(self._device())
        self._wait("the device is connected again", again.has_pong)
        self._say("The device is switched off and on again, and is connected.")
        self._show(self._wait("the status is ONLINE", self._status_is("ONLINE")))
        self._wait_with_cleanup("the alarm goes to OK", self._alarm_is("OK"), seconds=180)
        self._wait("the all-clear reaches on call", lambda: pager("OK"), seconds=30)
        self._say("OK. On call can go back to sleep.")

    # What people see.

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)

    def _show(self, status: Mapping[str, Any]) -> None:
        self._say(f"Status {status['overallStatus']}, because:")
        for reason in status["reasons"]:
            self._say(f"    {reason['code']}: {reason['detail']}")

    def _wait(self, what: str, condition: Callable[[], T | None], *, seconds: float = 20) -> T:
        """Ask again and again until the answer is true, and return it. Raises `DidNotHappen`."""
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            if time.monotonic() > deadline:
                raise DidNotHappen(
                    f"expected within {seconds:.0f} s, and did not happen: {what}. "
                    f"The status is {json.dumps(self._status())}"
                )
            time.sleep(0.5)
        return answer

    def _wait_with_cleanup(
        self, what: str, condition: Callable[[], T | None], *, seconds: float
    ) -> T:
        def after_cleanup() -> T | None:
            answer = condition()
            if not answer:
                self._clean_up()
                time.sleep(2)
            return answer

        return self._wait(what, after_cleanup, seconds=seconds)

    # What they do.

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
        threading.Thread(target=device.listen, daemon=True).start()
        try:
            yield device
        finally:
            process.kill()
            process.wait()

    def _set_availability(self, available: bool) -> None:
        answer = call(
            "PUT",
            f"{self._endpoints.restUrl}/businesses/{self._business}/availability",
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
        answer = self._lambda.invoke(
            FunctionName=self._endpoints.cleanupFunctionName, Payload=b"{}"
        )
        report = answer["Payload"].read()
        if "FunctionError" in answer:
            raise DidNotHappen(f"the cleanup failed: {report.decode()}")

    def _cleaned_up(self, connection: str) -> bool:
        self._clean_up()
        time.sleep(2)
        return self._stored_connection() != connection

    # What they look at.

    def _get(self, resource: str) -> dict[str, Any]:
        url = f"{self._endpoints.restUrl}/businesses/{self._business}/{resource}"
        answer = call("GET", url, token=self._token)
        if answer.status != 200:
            raise DidNotHappen(f"GET {resource} answered {answer.status}: {answer.body}")
        body: dict[str, Any] = answer.body
        return body

    def _status(self) -> dict[str, Any]:
        return self._get("status")

    def _status_is(self, wanted: str) -> Callable[[], dict[str, Any] | None]:
        def look() -> dict[str, Any] | None:
            status = self._status()
            return status if status["overallStatus"] == wanted else None

        return look

    def _stored_connection(self) -> str | None:
        stored = self._get("connections")["real"]
        return stored[0]["connectionId"] if stored else None

    def _paging_alarm(self) -> str:
        described = self._cloudwatch.describe_alarms(AlarmNames=self._endpoints.alarmNames)
        for alarm in described["MetricAlarms"]:
            if alarm.get("MetricName") == PAGING_METRIC:
                return str(alarm["AlarmName"])
        raise DidNotHappen(f"the deployment has no alarm on {PAGING_METRIC}")

    def _alarm_is(self, wanted: str) -> Callable[[], bool]:
        def look() -> bool:
            (alarm,) = self._cloudwatch.describe_alarms(AlarmNames=[self._alarm])["MetricAlarms"]
            return bool(alarm["StateValue"] == wanted)

        return look

    @contextmanager
    def _pager(self) -> Iterator[Callable[[str], dict[str, Any] | None]]:
        """Subscribe a queue to the on-call topic. Yields a look for the page with a state."""
        sns = self._endpoints.client("sns")
        queue = self._sqs.create_queue(QueueName=self._business)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        subscription = sns.subscribe(
            TopicArn=self._endpoints.onCallTopicArn,
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
    # However it is asked to end, it must take its devices with it: a frozen one would stay forever.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    try:
        endpoints = Endpoints.of_running_system()
        with ExitStack() as stack:
            Story(endpoints, stack).tell()
    except (NotRunning, DidNotHappen) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
