"""The two clients of docs/protocol.md on bad networks, and with servers that refuse them.

They run as they are in the document, in front of a server and a network of the tests. Only their
named constants are replaced, so that nobody waits 10 s for a pong.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.bad_network import Proxy, Server, Socket, pong, running_proxy, running_server
from tests.e2e.browser import NoBrowser, find_chromium, running_browser
from tests.e2e.harness import eventually
from tests.protocol_document import snippets

CODE = {snippet.name: snippet.code for snippet in snippets()}

FAST = {"DEADLINE": 0.6, "BACK_OFF": 0.1}
NEVER = 3600.0


@dataclass(frozen=True)
class World:
    """A server, and the networks on which a client reaches its two APIs."""

    server: Server
    network: Proxy
    rest: Proxy


class Client(Protocol):
    def handled(self) -> list[dict[str, Any]]:
        """Return the messages that the client's user got, in order."""

    def withhold_credentials(self) -> None:
        """Let the client get no token or ticket from now on."""

    def give_credentials(self) -> None: ...


Start = Callable[..., Client]
"""Starts a client, with these values for its constants."""


@dataclass(frozen=True)
class Program:
    """The device in Python."""

    process: subprocess.Popen[str]
    token: Path
    printed: list[dict[str, Any]] = field(default_factory=list)

    def listen(self) -> None:
        for line in self.process.stdout or ():
            self.printed.append(json.loads(line))

    def handled(self) -> list[dict[str, Any]]:
        return self.printed

    def withhold_credentials(self) -> None:
        self.token.rename(self.token.with_suffix(".away"))

    def give_credentials(self) -> None:
        self.token.with_suffix(".away").rename(self.token)


@dataclass(frozen=True)
class Tab:
    """The client in a browser."""

    page: Page
    rest: Proxy

    def handled(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.page.evaluate("messages")
        return messages

    def withhold_credentials(self) -> None:
        self.rest.refuses = True

    def give_credentials(self) -> None:
        self.rest.refuses = False


def with_constants(code: str, values: dict[str, float]) -> str:
    for name, value in values.items():
        code, found = re.subn(rf"^((?:const )?{name} =) [\d.]+", rf"\1 {value}", code, flags=re.M)
        assert found == 1, f"the client has no constant {name}"
    return code


def replaced(code: str, old: str, new: str) -> str:
    assert old in code
    return code.replace(old, new)


@contextmanager
def running_program(world: World, folder: Path, constants: dict[str, float]) -> Iterator[Program]:
    code = with_constants(CODE["device"], constants)
    code = replaced(code, 'os.environ["TOKEN"]', 'open("token").read()')
    failure = '    assert message.get("body") != "fail"\n'
    code = replaced(code, "flush=True)\n", f"flush=True)\n{failure}")
    token = folder / "token"
    token.write_text("t")
    file = folder / "device.py"
    file.write_text(code)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(file)],
            env={
                **os.environ,
                "WEBSOCKET_URL": f"ws://127.0.0.1:{world.network.port}",
                "BUSINESS": "b1",
            },
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        program = Program(process, token)
        listener = Thread(target=program.listen)
        listener.start()
        try:
            yield program
            assert process.poll() is None, "it ended by itself"
        finally:
            process.kill()
            listener.join()
            print((folder / "log").read_text())


@contextmanager
def running_tab(browser: Browser, world: World, constants: dict[str, float]) -> Iterator[Tab]:
    prelude = f"""
        const messages = [];
        const REST_URL = location.origin;
        const WEBSOCKET_URL = "ws://127.0.0.1:{world.network.port}";
        const BUSINESS = "b1";
        const accessToken = async () => "t";
        console.log = (message) => {{
          messages.push(message);
          if (message.body === "fail") throw new Error("handled badly");
        }};
    """
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: print(message.text))
    page.goto(f"http://127.0.0.1:{world.rest.port}")
    page.add_script_tag(content=prelude + with_constants(CODE["browser"], constants))
    try:
        yield Tab(page, world.rest)
        assert errors == []
    finally:
        page.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        chromium = find_chromium()
    except NoBrowser as error:
        pytest.fail(str(error), pytrace=False)
    with running_browser(chromium) as browser:
        yield browser


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        server, sockets, rest = stack.enter_context(running_server())
        network = stack.enter_context(running_proxy(sockets))
        yield World(server, network, stack.enter_context(running_proxy(rest)))


without_browser = pytest.mark.skipif(
    os.environ.get("WITHOUT_BROWSER") == "1", reason="WITHOUT_BROWSER=1"
)


@pytest.fixture(params=["device", pytest.param("browser", marks=without_browser)])
def start(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(**constants: float) -> Client:
            values = {**FAST, **constants}
            running: AbstractContextManager[Client]
            if request.param == "device":
                running = running_program(world, tmp_path, values)
            else:
                running = running_tab(request.getfixturevalue("browser"), world, values)
            return stack.enter_context(running)

        yield start


def connected(world: World, client: Client, *, pings: int = 1) -> Socket:
    """Wait for one more socket with so many pings, and return it."""
    eventually(
        "a socket is pinged",
        lambda: (
            client.handled() is not None  # lets the browser work
            and world.server.sockets
            and len(world.server.sockets[-1].pings) >= pings
        ),
    )
    return world.server.sockets[-1]


def ids(client: Client) -> list[str]:
    return [message["id"] for message in client.handled() if message["type"] == "message"]


def test_a_client_names_its_device_and_pings_as_soon_as_it_is_connected(
    world: World, start: Start
) -> None:
    socket = connected(world, start(PING_EVERY=NEVER))
    assert re.fullmatch(r"[A-Za-z0-9][\w.:@-]{0,63}", socket.handshake["deviceId"])


def test_a_client_pings_as_the_last_pong_says(world: World, start: Start) -> None:
    intervals = iter([0.05, 0.5, 0.05])
    world.server.on_ping = lambda socket: socket.send(pong(every=next(intervals, NEVER)))
    socket = connected(world, start(PING_EVERY=NEVER), pings=4)
    first, second, third, fourth = socket.pings
    assert second - first >= 0.04
    assert third - second >= 0.4
    assert fourth - third >= 0.04


def test_a_client_leaves_a_network_that_swallows_everything(world: World, start: Start) -> None:
    world.server.on_ping = lambda socket: socket.send(pong(every=0.2))
    client = start()
    first = connected(world, client)
    world.network.swallow()
    eventually("there is another socket", lambda: client.handled() and world.server.sockets[1:])
    second = connected(world, client)
    assert second is not first
    second.push("m1")
    eventually("it gets a push", lambda: ids(client) == ["m1"])


def test_a_client_whose_pongs_are_late_stays(world: World, start: Start) -> None:
    world.server.on_ping = lambda socket: socket.send(pong(every=0.01))
    client = start(DEADLINE=5)
    socket = connected(world, client)
    world.network.piece, world.network.delay = 8, 0.005
    before = len(socket.pings)
    connected(world, client, pings=before + 5)
    assert world.server.sockets == [socket]


def test_a_client_reconnects_after_a_reset_and_refused_connections(
    world: World, start: Start
) -> None:
    client = start()
    connected(world, client)
    world.network.refuses = True
    world.network.reset()
    eventually(
        "it tries again", lambda: client.handled() is not None and len(world.network.attempts) > 3
    )
    world.network.refuses = False
    eventually("there is another socket", lambda: client.handled() and world.server.sockets[1:])


def test_a_client_gives_up_a_handshake_that_never_ends(world: World, start: Start) -> None:
    world.network.swallows_new = True
    client = start()
    eventually(
        "it tries again", lambda: client.handled() is not None and len(world.network.attempts) > 1
    )
    world.network.swallows_new = False
    connected(world, client)


def moving(socket: Socket) -> None:
    socket.send(pong(reconnect_after=0.05 if "first" not in vars(socket) else NEVER))


def move_first(world: World) -> None:
    """Let the first socket, and no other, be told to move soon."""

    def answer(socket: Socket) -> None:
        is_first = socket is world.server.sockets[0]
        socket.send(pong(reconnect_after=0.05 if is_first else NEVER))

    world.server.on_ping = answer


def test_a_client_opens_its_next_socket_before_it_closes_the_old_one(
    world: World, start: Start
) -> None:
    open_at_pings: list[int] = []

    def answer(socket: Socket) -> None:
        open_at_pings.append(len(world.server.open_sockets()))
        socket.send(pong(reconnect_after=0.05 if len(open_at_pings) == 1 else NEVER))

    world.server.on_ping = answer
    client = start()
    eventually("it moved", lambda: client.handled() is not None and len(open_at_pings) == 2)
    eventually("it closed the first", lambda: len(world.server.open_sockets()) == 1)
    assert open_at_pings == [1, 2]
    assert world.server.open_sockets() == world.server.sockets[1:]


@pytest.mark.parametrize("hindrance", ["403 and 429", "no credentials", "a dead network"])
def test_a_move_that_fails_is_repeated_and_leaks_no_socket(
    world: World, start: Start, hindrance: str
) -> None:
    ready = False

    def answer(socket: Socket) -> None:
        is_first = socket is world.server.sockets[0]
        if is_first and hindrance == "403 and 429":
            world.server.refusals.extend([403, 429])
        elif is_first and hindrance == "no credentials":
            client.withhold_credentials()
        elif is_first:
            world.network.swallows_new = True
        socket.send(pong(reconnect_after=0.05 if is_first else NEVER))

    del ready
    world.server.on_ping = lambda socket: socket.send(pong(every=0.1))
    client = start()
    first = connected(world, client)
    world.server.on_ping = answer
    tries = len(world.network.attempts), len(world.rest.attempts)
    eventually("the move begins", lambda: client.handled() and len(first.pings) >= 2)
    if hindrance == "403 and 429":
        eventually("it was refused", lambda: client.handled() and not world.server.refusals)
    elif hindrance == "a dead network":
        eventually(
            "it tried", lambda: client.handled() and len(world.network.attempts) > tries[0] + 1
        )
    first.push("m1")
    eventually("the first socket still works", lambda: ids(client) == ["m1"])
    assert first.is_open
    if hindrance == "no credentials":
        client.give_credentials()
    world.network.swallows_new = False
    eventually(
        "it moved", lambda: client.handled() and world.server.sockets[1:] and not first.is_open
    )
    (second,) = world.server.open_sockets()
    second.push("m2")
    eventually("the second socket works", lambda: ids(client) == ["m1", "m2"])


def test_a_push_that_comes_twice_is_handled_once(world: World, start: Start) -> None:
    client = start()
    socket = connected(world, client)
    for id in ("m1", "m1", "m2"):
        socket.push(id)
    eventually("it gets both", lambda: "m2" in ids(client))
    assert ids(client) == ["m1", "m2"]


def test_a_message_that_cannot_be_handled_ends_nothing(world: World, start: Start) -> None:
    world.server.on_ping = lambda socket: socket.send(pong(every=0.1))
    client = start()
    socket = connected(world, client)
    for text in ("not JSON", "null", "[]", '{"type": "pong"}'):
        socket.send(text)
    socket.push("m1", "fail")
    socket.push("m1", "right")
    eventually("it goes on", lambda: ids(client) == ["m1", "m1"])
    connected(world, client, pings=len(socket.pings) + 3)
    assert world.server.sockets == [socket]


def test_a_failure_of_the_gateway_is_no_silence(world: World, start: Start) -> None:
    def fail(socket: Socket) -> None:
        socket.send({"message": "Internal server error", "connectionId": "c", "requestId": "r"})

    world.server.on_ping = fail
    socket = connected(world, start(PING_EVERY=0.1), pings=3)
    assert world.server.sockets == [socket]


@pytest.mark.parametrize("what", ["every socket is closed", "every handshake is refused"])
def test_a_client_reconnects_ever_more_slowly_with_fresh_credentials(
    world: World, start: Start, what: str
) -> None:
    def close(socket: Socket) -> None:
        socket.send(pong())
        socket.send({"type": "error", "id": None, "code": "not_registered", "detail": "gone"})
        socket.connection.close()

    world.server.on_ping = close
    if what == "every handshake is refused":
        world.server.refusals.extend([401, 403, 429])
    client = start(BACK_OFF=60)
    eventually(
        "three attempts", lambda: client.handled() is not None and len(world.network.attempts) >= 3
    )
    first, second, third, *_ = world.network.attempts
    assert second - first >= 0.5
    assert third - second >= 1
    if isinstance(client, Tab):
        assert world.server.tickets >= 3
