"""Starts the local system, makes a business for each test, and waits for conditions."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from boto3.dynamodb.types import TypeDeserializer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from lambdas.table_schema import LAST_TRANSITION_KEY
from local.device import socket_url
from local.polling import poll
from local.rest import Answer, call
from local.token import access_token
from operations.shared.local_system import LocalSystem
from operations.shared.repository import ROOT

USER = "e2e-josé"
"""Not ASCII: a name may have any alphabet, in each place where it is stored, sent or logged."""

Item = dict[str, Any]
T = TypeVar("T")


def eventually(
    what: str, condition: Callable[[], T | None], *, seconds: float = 10, every: float = 0.1
) -> T:
    """Wait until a condition gives a true value, and return that. Fails when the time is up."""
    answer = poll(condition, timeout=seconds, every=every)
    assert answer, f"not within {seconds} s: {what}"
    return answer


def wait_until(moment: float) -> None:
    """Wait for a moment of the clock (seconds since the epoch)."""
    time.sleep(max(0.0, moment - time.time()))


def assert_problem(answer: Answer, status: int, kind: str) -> None:
    """Fail unless an answer is a problem document of this kind."""
    assert (answer.status, answer.content_type) == (status, "application/problem+json"), answer
    assert answer.body["type"].endswith(f":{kind}"), answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class System:
    """A running system, and the demo that runs on it."""

    endpoints: LocalSystem
    state: Path
    port: int
    demo: subprocess.Popen[str]
    _clients: dict[str, Any] = field(default_factory=dict)
    _tokens: dict[tuple[str, ...], str] = field(default_factory=dict)
    _unused_ids: list[str] = field(default_factory=list)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.endpoints.client(service)
        return self._clients[service]

    def call(self, method: str, path: str, **request: Any) -> Answer:
        """Call a path of the REST API."""
        return call(method, f"{self.endpoints.restUrl}{path}", **request)

    def token(self, *roles: str) -> str:
        """A token with these roles, for somebody who is a member of no business."""
        if roles not in self._tokens:
            user = f"e2e-{'-'.join(roles) or 'stranger'}"
            self._tokens[roles] = access_token(self.endpoints, user=user, roles=roles)
        return self._tokens[roles]

    def new_member(self) -> tuple[str, str]:
        """The id of a new business, and a token of `USER`, its member.

        Getting a token takes a second, so each of them names many businesses.
        """
        if not self._unused_ids:
            self._unused_ids.extend(f"e2e-{uuid.uuid4().hex[:12]}" for _ in range(50))
            self._tokens[USER,] = access_token(
                self.endpoints, user=USER, businesses=self._unused_ids
            )
        return self._unused_ids.pop(), self._tokens[USER,]

    def run_tool(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m <tool>` as a user would, against the running system."""
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={**os.environ, "LOCAL_STATE": str(self.state), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def clean_up(self, **options: bool) -> dict[str, int]:
        """Invoke the cleanup and return its report."""
        answer = self.client("lambda").invoke(
            FunctionName=self.endpoints.cleanupFunctionName, Payload=json.dumps(options).encode()
        )
        report: dict[str, int] = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, report
        return report


@contextmanager
def running_system(state: Path) -> Iterator[System]:
    """Start a system on a free port, and the demo on it. Stop both at the end, as Ctrl-C would."""
    port = free_port()
    output = state / "run.output"
    environment = {
        **os.environ,
        "LOCAL_STATE": str(state),
        "LOCAL_PORT": str(port),
        "CONSOLE_PORT": "0",
        "LOCAL_CANARY": "1",
    }
    with output.open("w") as log:
        run = subprocess.Popen(
            [sys.executable, "-m", "local.run"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        file = state / "endpoints.json"

        def started() -> bool:
            assert run.poll() is None, output.read_text()
            return file.exists()

        eventually("the system is ready", started, seconds=180)
        with subprocess.Popen(
            [sys.executable, "-m", "local.demo"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as demo:
            try:
                yield System(LocalSystem(**json.loads(file.read_text())), state, port, demo)
            finally:
                demo.terminate()  # it then ends its devices too
        _stop_and_check(run, file, output)
    finally:
        run.kill()
        run.wait()


def _stop_and_check(run: subprocess.Popen[bytes], file: Path, output: Path) -> None:
    """Press Ctrl-C. Fails unless the system ends with all its processes and its file."""
    started = descendants(run.pid)
    assert started, "a running system has processes"
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=20) == 0, output.read_text()
    assert output.read_text().endswith("Stopped.\n")
    assert not file.exists()
    eventually("none of its processes is left", lambda: not started & _processes().keys())


def _processes() -> dict[int, int]:
    """The parent of every running process, by process id."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in listed.stdout.splitlines())
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}


def descendants(ancestor: int) -> set[int]:
    """The ids of all processes that a process has started, and those of theirs."""
    parents = _processes()
    found: set[int] = set()
    while new := {
        pid for pid, parent in parents.items() if parent in {ancestor, *found} and pid not in found
    }:
        found |= new
    return found


class Business:
    """A business that only one test uses, unless `member` names it and a token of its member."""

    def __init__(self, system: System, member: tuple[str, str] | None = None) -> None:
        self.id, self.token = member or system.new_member()
        self._endpoints = system.endpoints
        self._table = system.client("dynamodb")

    # The APIs.

    def call(
        self, method: str, resource: str, *, token: str | None = None, **request: Any
    ) -> Answer:
        url = f"{self._endpoints.restUrl}/businesses/{self.id}/{resource}"
        return call(method, url, token=token or self.token, **request)

    def push(self, token: str, body: Any, *, key: str | None = None) -> Answer:
        """Push a message to the devices. `body` is sent as JSON unless it is bytes."""
        headers = {} if key is None else {"Idempotency-Key": key}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", "messages", token=token, raw=raw, headers=headers)

    def set_available(self, available: bool) -> dict[str, Any]:
        answer = self.call("PUT", "availability", body={"available": available})
        assert answer.status == 200, answer
        status: dict[str, Any] = answer.body
        return status

    def status(self) -> dict[str, Any]:
        answer = self.call("GET", "status")
        assert answer.status == 200, answer
        status: dict[str, Any] = answer.body
        return status

    @contextmanager
    def socket(self, device_id: str | None = None) -> Iterator["Socket"]:
        """Open a socket of this business, and wait until its item is stored."""
        before = {item["sk"] for item in self.real()}
        with self.handshake(url=socket_url(self._endpoints, self.id, device_id)) as opened:
            new = eventually(
                "the connection is stored",
                lambda: next((i for i in self.real() if i["sk"] not in before), None),
            )
            yield Socket(opened, new["connectionId"])

    def handshake(
        self,
        *,
        url: str | None = None,
        query: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[ClientConnection]:
        """Open a socket. `url` or `query`, and `headers`, replace what a device would send."""
        if query is not None:
            url = f"{self._endpoints.websocketUrl}?{query}"
        if headers is None:
            headers = {"Authorization": f"Bearer {self.token}"}
        return connect(
            url or socket_url(self._endpoints, self.id),
            additional_headers=headers,
            ping_interval=None,
        )

    # The table.

    def items(self) -> list[Item]:
        """What the service's calls have stored of this business.

        The last transition is left out: the recorder writes it in its own time.
        """
        return [item for item in self._all_items() if item["sk"] != LAST_TRANSITION_KEY]

    def _all_items(self) -> list[Item]:
        found = self._table.query(
            TableName=self._endpoints.tableName,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": f"BUSINESS#{self.id}"}},
            ConsistentRead=True,
        )
        plain = TypeDeserializer().deserialize
        return [{name: plain(value) for name, value in i.items()} for i in found["Items"]]

    def settings(self) -> Item:
        (settings,) = (i for i in self.items() if i["sk"] == "BUSINESS")
        return settings

    def real(self) -> list[Item]:
        return [i for i in self.items() if i.get("isVirtualConnection") is False]

    def virtual(self) -> list[Item]:
        return [i for i in self.items() if i.get("isVirtualConnection") is True]

    def write_connection(
        self, connection: str, *, connected_at: int, last_seen_at: int, **more: str
    ) -> None:
        """Write the item of a real connection, bypassing the service."""
        self._table.put_item(
            TableName=self._endpoints.tableName,
            Item={
                "pk": {"S": f"BUSINESS#{self.id}"},
                "sk": {"S": f"CONNECTION#{connection}"},
                "connectionId": {"S": connection},
                "userId": {"S": USER},
                "isVirtualConnection": {"BOOL": False},
                "connectedAt": {"N": str(connected_at)},
                "lastSeenAt": {"N": str(last_seen_at)},
                "ttl": {"N": str(connected_at + 8000)},
                **{name: {"S": value} for name, value in more.items()},
            },
        )

    def age_attention(self, seconds: int) -> None:
        """Make the episode that a cleanup found begin that much earlier, bypassing the service."""
        self._table.update_item(
            TableName=self._endpoints.tableName,
            Key={"pk": {"S": f"BUSINESS#{self.id}"}, "sk": {"S": "BUSINESS"}},
            UpdateExpression="SET attentionSince = attentionSince - :seconds",
            ExpressionAttributeValues={":seconds": {"N": str(seconds)}},
        )

    def end_leases(self, moment: int) -> None:
        """Let all leases end at that moment, bypassing the service."""
        for lease in self.virtual():
            self._table.update_item(
                TableName=self._endpoints.tableName,
                Key={"pk": {"S": lease["pk"]}, "sk": {"S": lease["sk"]}},
                UpdateExpression="SET #ttl = :moment",
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues={":moment": {"N": str(moment)}},
            )

    def delete_item(self, sort_key: str) -> None:
        self._table.delete_item(
            TableName=self._endpoints.tableName,
            Key={"pk": {"S": f"BUSINESS#{self.id}"}, "sk": {"S": sort_key}},
        )

    def delete_items(self) -> None:
        """Delete all items, so that no later census counts them."""
        for item in self._all_items():
            self.delete_item(item["sk"])


@dataclass(frozen=True)
class Socket:
    """An open socket whose connection is stored."""

    socket: ClientConnection
    connection_id: str

    def ask(self, message: Any) -> dict[str, Any]:
        """Send a message and return the answer. `message` is sent as JSON unless it is text or
        bytes.
        """
        sent = message if isinstance(message, str | bytes) else json.dumps(message)
        self.socket.send(sent)
        return self.receive()

    def receive(self) -> dict[str, Any]:
        received: dict[str, Any] = json.loads(self.socket.recv(timeout=10))
        return received

    def is_closed(self) -> bool:
        """Wait for the service to close the socket, and return whether it did."""
        try:
            self.socket.recv(timeout=10)
        except ConnectionClosed:
            return True
        except TimeoutError:
            return False
        return False
