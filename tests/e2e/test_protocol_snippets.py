"""Runs every code example of docs/protocol.md, unchanged, against the running system."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.http11 import Request
from websockets.sync.server import ServerConnection, serve

from local.token import access_token
from tests.e2e.harness import Business, System, eventually
from tests.protocol_document import Snippet, snippets

SNIPPETS = {snippet.name: snippet for snippet in snippets() if snippet.name}

NOT_RUN = {"browser", "websocat"}
"""Snippets that need a browser or websocat, which the tests do not have."""


@dataclass(frozen=True)
class Reader:
    """Runs snippets in a shell, with the variables that the document asks for."""

    business: Business
    environment: dict[str, str]
    folder: Path

    def run(self, name: str, **more: str) -> Any:
        """Run a shell snippet, and return the JSON that it prints, or None."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", SNIPPETS[name].code],
            env={**self.environment, **more},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else None


@dataclass(frozen=True)
class Program:
    """A running program that prints JSON lines."""

    process: subprocess.Popen[str]
    printed: list[dict[str, Any]] = field(default_factory=list)

    def listen(self) -> None:
        for line in self.process.stdout or ():
            self.printed.append(json.loads(line))

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.printed if message["type"] == kind]


@contextmanager
def device_program(environment: dict[str, str], folder: Path) -> Iterator[Program]:
    """Run the device program of the document until the block ends."""
    file = folder / "device.py"
    file.write_text(SNIPPETS["device"].code)
    with subprocess.Popen(
        [sys.executable, str(file)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        program = Program(process)
        listener = Thread(target=program.listen)
        listener.start()
        try:
            yield program
            assert process.poll() is None, "it ended by itself"
        finally:
            process.terminate()
            listener.join()
            assert process.stderr is not None
            errors = process.stderr.read()
    assert errors == ""


@pytest.fixture
def reader(system: System, business: Business, tmp_path: Path) -> Reader:
    endpoints = system.endpoints
    operator = access_token(endpoints, user="e2e-snippets-operator", roles=["operator"])
    backend = access_token(endpoints, user="e2e-snippets-backend", roles=["backend"])
    environment = {
        **os.environ,
        "REST_URL": endpoints.restUrl,
        "WEBSOCKET_URL": endpoints.websocketUrl,
        "BUSINESS": business.id,
        "TOKEN": business.token,
        "OPERATOR_TOKEN": operator,
        "BACKEND_TOKEN": backend,
    }
    return Reader(business, environment, tmp_path)


def ticket(reader: Reader) -> None:
    secret = reader.run("ticket")["ticket"]
    with reader.business.handshake(query=f"ticket={secret}", headers={}) as socket:
        socket.send('{"action": "ping"}')
        assert json.loads(socket.recv(timeout=10))["type"] == "pong"
    with (
        pytest.raises(InvalidStatus),
        reader.business.handshake(query=f"ticket={secret}", headers={}),
    ):
        pass


def device(reader: Reader) -> None:
    business = reader.business
    with device_program(reader.environment, reader.folder) as program:
        eventually("its ping is answered", lambda: program.of_type("pong"), seconds=20)
        assert business.status()["hasRealTimeConnection"] is True
        delivery = reader.run("message")
        (message,) = eventually("it gets the message", lambda: program.of_type("message"))
        assert (message["id"], message["body"]["order"]) == (delivery["messageId"], "A-1042")
        business.set_available(False)
        eventually("it gets availability.changed", lambda: program.of_type("availability.changed"))
        eventually("it is connected again", lambda: len(program.of_type("pong")) == 2, seconds=20)
        assert business.status()["hasRealTimeConnection"] is True


def test_the_device_opens_its_next_socket_before_it_closes_the_old_one(tmp_path: Path) -> None:
    events: list[str] = []

    def note_handshake(_: ServerConnection, __: Request) -> None:
        events.append(f"open {sum(event.startswith('open') for event in events) + 1}")

    def answer_pings(socket: ServerConnection) -> None:
        is_first = "open 2" not in events
        with suppress(ConnectionClosedError):  # when the program ends
            for _ in socket:
                after = 0 if is_first else 3600
                socket.send(json.dumps({"type": "pong", "reconnectAfter": after}))
        if is_first:
            events.append("close 1")

    with serve(answer_pings, "127.0.0.1", 0, process_request=note_handshake) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        environment = {**os.environ, "WEBSOCKET_URL": url, "BUSINESS": "b1", "TOKEN": "t"}
        with device_program(environment, tmp_path) as program:
            eventually("it closed the first socket", lambda: "close 1" in events)
            eventually(
                "its ping on the second socket is answered",
                lambda: len(program.of_type("pong")) == 2,
            )
            assert events == ["open 1", "open 2", "close 1"]
        server.shutdown()
        serving.join()


def available(reader: Reader) -> None:
    first = reader.run("available")
    assert (first["overallStatus"], first["socketsRemaining"]) == ("VIRTUAL_ONLY", 0)
    again = reader.run("available")
    assert again["leaseUntil"] >= first["leaseUntil"] > first["asOf"]
    assert len(reader.business.virtual()) == 1


def unavailable(reader: Reader) -> None:
    reader.run("available")
    status = reader.run("unavailable")
    assert (status["overallStatus"], status["leaseUntil"]) == ("OFFLINE", None)


def pause(reader: Reader) -> None:
    reader.run("available")
    status = reader.run("pause")
    assert status["isAvailableForOrders"] is False
    assert status["pausedUntil"] > status["asOf"]
    assert len(reader.business.virtual()) == 1


def resume(reader: Reader) -> None:
    reader.run("available")
    reader.run("pause")
    status = reader.run("resume")
    assert (status["isAvailableForOrders"], status["pausedUntil"]) == (True, None)
    assert reader.run("resume")["overallStatus"] == status["overallStatus"]


def operators_pause(reader: Reader) -> None:
    reader.run("available")
    status = reader.run("operators-pause")
    assert (status["isAvailableForOrders"], status["pausedBy"]) == (False, "e2e-snippets-operator")
    assert reader.run("available")["pausedUntil"] == status["pausedUntil"]


def set_opening_hours(reader: Reader) -> None:
    reader.run("available")
    answer = reader.run("set-opening-hours")
    assert answer["openingHours"]["timeZone"] == "Europe/Berlin"
    assert reader.business.status()["isAvailableForOrders"] is answer["openNow"]


def remove_opening_hours(reader: Reader) -> None:
    reader.run("available")
    reader.run("set-opening-hours")
    for _ in range(2):
        assert reader.run("remove-opening-hours")["isAvailableForOrders"] is True


def online(reader: Reader) -> None:
    assert reader.run("online")["online"] is None
    reader.run("available")
    assert reader.run("online")["online"] is True


def online_batch(reader: Reader) -> None:
    reader.run("available")
    assert reader.run("online-batch")["businesses"] == [
        {"businessId": reader.business.id, "online": True},
        {"businessId": "nobody-ever-declared-me", "online": None},
    ]


def status(reader: Reader) -> None:
    assert reader.run("status")["overallStatus"] == "UNKNOWN"
    reader.run("available")
    assert reader.run("status")["overallStatus"] == "VIRTUAL_ONLY"


def history(reader: Reader) -> None:
    reader.run("available")
    (first,) = eventually(
        "the declaration is recorded", lambda: reader.run("history")["transitions"], seconds=30
    )
    assert (first["from"], first["to"], first["cause"]) == ("UNKNOWN", "VIRTUAL_ONLY", "member")


def connections(reader: Reader) -> None:
    with reader.business.socket() as socket:
        (real,) = reader.run("connections")["real"]
        assert (real["connectionId"], real["active"]) == (socket.connection_id, True)


def message(reader: Reader) -> None:
    nobody = reader.run("message")
    assert (nobody["reached"], nobody["sent"]) == (False, 0)
    with reader.business.socket() as socket:
        assert reader.run("message") == nobody
        socket.socket.send('{"action": "ping"}')
        assert socket.receive()["type"] == "pong"


def attention(reader: Reader) -> None:
    page = reader.run("attention")
    assert page.keys() == {"businesses", "next", "asOf"}


def settings(reader: Reader) -> None:
    reader.run("available")
    assert reader.business.status()["needsAttention"] == "virtual-only"
    assert reader.run("settings")["needsAttention"] is None


def close_connection(reader: Reader) -> None:
    with reader.business.socket() as socket:
        assert reader.run("close-connection", CONNECTION=socket.connection_id) is None
        assert socket.is_closed()
        assert reader.business.real() == []


def cleanup(reader: Reader) -> None:
    with reader.business.socket():
        report = reader.run("cleanup")
        assert (report["dryRun"], report["real"], report["activeReal"]) == (True, 1, 1)


CHECKS: dict[str, Callable[[Reader], None]] = {
    check.__name__.replace("_", "-"): check
    for check in (
        *(ticket, device, available, unavailable, pause, resume, online, online_batch, status),
        *(operators_pause, set_opening_hours, remove_opening_hours),
        *(connections, history, message, attention, settings, close_connection, cleanup),
    )
}
"""By the name of each snippet: what checks that it works."""


@pytest.mark.parametrize("name", CHECKS)
def test_a_snippet_does_what_the_document_says(reader: Reader, name: str) -> None:
    CHECKS[name](reader)


def test_every_snippet_is_run_unless_it_needs_another_program() -> None:
    runnable = [s for s in snippets() if s.language != "json"]
    assert {snippet.name for snippet in runnable} == CHECKS.keys() | NOT_RUN


@pytest.mark.parametrize(
    "snippet", [s for s in SNIPPETS.values() if s.language == "sh"], ids=lambda s: s.name
)
def test_a_shell_snippet_has_valid_syntax(snippet: Snippet) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=snippet.code, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
