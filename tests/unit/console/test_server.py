"""The console's server on a real port."""

import socket
from collections.abc import Iterable
from typing import Any

import pytest
import urllib3

from console.server import listen, port_of, serve, url_of
from operations.shared.verbs import CannotBegin


def greet(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["HTTP_HOST"].encode()]


def test_it_answers_until_the_end_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONSOLE_PORT", raising=False)
    listener = listen()
    url = url_of(listener)
    with serve(greet, listener):
        answer = urllib3.request("GET", url, retries=False)
        assert answer.data.decode() == url.removeprefix("http://").rstrip("/")
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", url, retries=False)


def test_somebody_who_sends_half_a_request_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CONSOLE_PORT", raising=False)
    listener = listen()
    with serve(greet, listener), socket.create_connection(("127.0.0.1", port_of(listener))) as half:
        half.sendall(b"GET / HT")
        assert urllib3.request("GET", url_of(listener), retries=False, timeout=5).status == 200


def test_it_is_reached_from_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONSOLE_PORT", raising=False)
    with listen() as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_busy_default_port_is_replaced_and_a_chosen_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CONSOLE_PORT", raising=False)
    with listen() as first, listen(default=port_of(first)) as second:
        assert port_of(first) != port_of(second)
        monkeypatch.setenv("CONSOLE_PORT", str(port_of(first)))
        with pytest.raises(CannotBegin, match="CONSOLE_PORT"):
            listen()


@pytest.mark.parametrize("port", ["http", "65536", "-1"])
def test_a_wrong_port_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("CONSOLE_PORT", port)
    with pytest.raises(CannotBegin, match="CONSOLE_PORT"):
        listen()
