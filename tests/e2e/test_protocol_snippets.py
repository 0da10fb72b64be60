"""Runs every code example of docs/protocol.md, unchanged, against the running system."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.e2e.clients import running_program
from tests.e2e.harness import Business, System, eventually
from tests.protocol_document import snippets

SNIPPETS = {snippet.name: snippet for snippet in snippets() if snippet.name}

NOT_RUN = {"browser", "websocat"}
"""Run by test_clients.py; needs websocat, which the tests do not have."""


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


@pytest.fixture
def reader(system: System, business: Business, tmp_path: Path) -> Reader:
    endpoints = system.endpoints
    environment = {
        **os.environ,
        "REST_URL": endpoints.restUrl,
        "WEBSOCKET_URL": endpoints.websocketUrl,
        "BUSINESS": business.id,
        "TOKEN": business.token,
        "OPERATOR_TOKEN": system.token("operator"),
        "BACKEND_TOKEN": system.token("backend"),
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
    code = SNIPPETS["device"].code
    with running_program(code, reader.environment, reader.folder) as program:
        eventually("its ping is answered", lambda: program.of_type("pong"), seconds=20)
        assert business.status()["hasRealTimeConnection"] is True
        delivery = reader.run("message")
        (message,) = eventually("it gets the message", lambda: program.of_type("message"))
        assert (message["id"], message["body"]["order"]) == (delivery["messageId"], "A-1042")
        business.set_available(False)
        eventually("it gets availability.changed", lambda: program.of_type("availability.changed"))
        eventually("it is connected again", lambda: len(program.of_type("pong")) == 2, seconds=20)
        assert business.status()["hasRealTimeConnection"] is True
        assert program.process.poll() is None, "it ended by itself"
    assert program.errors == []


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
    assert (status["isAvailableForOrders"], status["pausedBy"]) == (False, "e2e-operator")
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


def test_a_snippet_that_is_not_run_has_valid_syntax() -> None:
    code = SNIPPETS["websocat"].code
    done = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
