"""The two clients of docs/protocol.md on bad networks, and with servers that refuse them.

They run as they are in the document, before a server and networks of the tests. Only named
constants are replaced, so that nobody waits 10 s for a pong or a minute for a reconnect.
`WITHOUT_BROWSER=1` skips the one in the browser.
"""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.bad_network import Proxy, Server, Socket, pong, running_proxy, running_server
from tests.e2e.clients import CODE, Client, Program, running_program, running_tab, with_constants
from tests.e2e.harness import eventually

DEVICE = CODE["device"]
for shipped, used in (
    ('os.environ["TOKEN"]', 'open("token").read()'),  # a token that can be away
    ("flush=True)\n", 'flush=True)\n    assert message.get("body") != "fail"\n'),
):
    assert shipped in DEVICE
    DEVICE = DEVICE.replace(shipped, used)

PAGE = """
    const messages = [];
    const REST_URL = location.origin;
    const WEBSOCKET_URL = "%s";
    const BUSINESS = "b1";
    const accessToken = async () => "t";
    console.log = (message) => {
      messages.push(message);
      if (message.body === "fail") throw new Error("handled badly");
    };
"""


@dataclass(frozen=True)
class World:
    """A server, the networks on which a client reaches its two APIs, and the client's token."""

    server: Server
    network: Proxy
    rest: Proxy
    token: Path

    def withhold_credentials(self) -> None:
        """Give no token from now on, and no answer to who asks for a ticket."""
        self.token.unlink()
        self.rest.swallows_new = True

    def give_credentials(self) -> None:
        self.token.write_text("t")
        self.rest.swallows_new = False

    def every_pong(self, **said: float) -> None:
        """Answer each ping with this."""
        self.server.on_ping = lambda socket: socket.send(pong(**said))

    def only_the_first_moves(self) -> None:
        """Let the first socket be told to move soon, and the others to stay."""

        def answer(socket: Socket) -> None:
            is_first = socket is self.server.sockets[0]
            socket.send(pong(every=0.05, reconnect_after=0.02) if is_first else pong())

        self.server.on_ping = answer


@contextmanager
def running_world(folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        server, sockets, rest = stack.enter_context(running_server())
        network = stack.enter_context(running_proxy(sockets))
        world = World(server, network, stack.enter_context(running_proxy(rest)), folder / "token")
        world.give_credentials()
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        yield world


Start = Callable[..., Client]
"""Starts the client, with these values for its constants."""


@contextmanager
def starter(kind: str, world: World, browser: Browser | None) -> Iterator[Start]:
    if kind == "browser" and not browser:
        pytest.skip("WITHOUT_BROWSER=1")
    with ExitStack() as stack:
        url = f"ws://127.0.0.1:{world.network.port}"

        def start(**constants: float) -> Client:
            values = {"BACK_OFF": 0.1, **constants}
            if browser and kind == "browser":
                script = PAGE % url + with_constants(CODE["browser"], values)
                page = f"http://127.0.0.1:{world.rest.port}"
                return stack.enter_context(running_tab(browser, page, script))
            environment = {**os.environ, "WEBSOCKET_URL": url, "BUSINESS": "b1"}
            code = with_constants(DEVICE, values)
            return stack.enter_context(running_program(code, environment, world.token.parent))

        yield start


@pytest.fixture(params=["device", "browser"])
def start(request: pytest.FixtureRequest, world: World, browser: Browser | None) -> Iterator[Start]:
    with starter(request.param, world, browser) as start:
        yield start


def wait(client: Client, what: str, condition: Callable[[], object]) -> None:
    eventually(what, lambda: client.failures() >= 0 and condition(), every=0.01)


def wait_for_socket(world: World, client: Client, *, pings: int = 1) -> Socket:
    """Wait until the newest socket was pinged so often, and return it."""
    sockets = world.server.sockets
    wait(client, "a ping", lambda: sockets and len(sockets[-1].pings) >= pings)
    return sockets[-1]


def pushes(client: Client) -> list[str]:
    return [message["id"] for message in client.handled() if message["type"] == "message"]


def assert_reached(world: World, client: Client, push: str) -> None:
    """Fail unless a push reaches the client, once, over whatever sockets it has."""

    def reached() -> bool:
        for socket in world.server.open_sockets():
            socket.push(push)
        return push in pushes(client)

    wait(client, f"{push} is handled", reached)
    for socket in world.server.open_sockets():
        socket.push(push)
        socket.push(f"after {push}")
    wait(client, "so is the next", lambda: f"after {push}" in pushes(client))
    assert pushes(client).count(push) == 1


def test_a_client_names_its_device_and_pings_at_once_and_then_as_the_last_pong_says(
    world: World, start: Start
) -> None:
    intervals = iter([0.05, 0.2, 0.05])
    world.server.on_ping = lambda socket: socket.send(pong(every=next(intervals, 3600)))
    socket = wait_for_socket(world, start(), pings=4)
    assert re.fullmatch(r"[A-Za-z0-9][\w.:@-]{0,63}", socket.handshake["deviceId"])
    first, second, third, fourth = socket.pings
    assert second - first >= 0.04
    assert third - second >= 0.16
    assert fourth - third >= 0.04


def test_a_client_leaves_a_network_that_swallows_everything(world: World, start: Start) -> None:
    world.every_pong(every=0.05)
    client = start(DEADLINE=0.3)
    first = wait_for_socket(world, client)
    world.network.swallow()
    wait(client, "another socket", lambda: world.server.sockets[-1] is not first)
    assert_reached(world, client, "m1")


def test_a_client_stays_on_a_network_that_is_only_slow(world: World, start: Start) -> None:
    world.every_pong(every=0.01)
    client = start()
    socket = wait_for_socket(world, client)
    world.network.piece, world.network.delay = 8, 0.005
    wait_for_socket(world, client, pings=len(socket.pings) + 5)
    assert world.server.sockets == [socket]


def test_a_client_survives_resets_and_refused_connections(world: World, start: Start) -> None:
    client = start()
    wait_for_socket(world, client)
    world.network.refuses = True
    world.network.reset()
    wait(client, "it tries again", lambda: len(world.network.attempts) >= 3)
    world.network.refuses = False
    assert_reached(world, client, "m1")


HINDRANCES: dict[str, tuple[Callable[[World], None], Callable[[World], None]]] = {
    "401": (
        lambda world: setattr(world.server, "refusal", 401),
        lambda world: setattr(world.server, "refusal", None),
    ),
    "no credentials": (World.withhold_credentials, World.give_credentials),
    "a dead network": (
        lambda world: setattr(world.network, "swallows_new", True),
        lambda world: setattr(world.network, "swallows_new", False),
    ),
    "no answer": (
        lambda world: setattr(world.server, "answers_only_first", True),
        lambda world: setattr(world.server, "answers_only_first", False),
    ),
}
"""What can keep a client from a new socket: how it begins and how it ends."""


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_a_client_keeps_its_socket_until_the_next_one_works(
    world: World, start: Start, hindrance: str
) -> None:
    begin, end = HINDRANCES[hindrance]
    world.every_pong(every=0.05)
    client = start(DEADLINE=10 if hindrance == "401" else 0.3)
    first = wait_for_socket(world, client)
    begin(world)
    world.only_the_first_moves()
    wait(
        client,
        "a failure",
        lambda: client.failures() or any(not socket.is_open for socket in world.server.sockets),
    )
    assert_reached(world, client, "m1")
    assert first.is_open
    end(world)
    wait(client, "it moved", lambda: not first.is_open)
    wait(client, "one socket", lambda: len(world.server.open_sockets()) == 1)
    assert_reached(world, client, "m2")


def test_a_socket_that_closes_while_its_client_moves_is_replaced_once(
    world: World, start: Start
) -> None:
    def close_first(socket: Socket) -> None:
        is_first = socket is world.server.sockets[0]
        socket.send(pong(reconnect_after=0 if is_first else 3600))
        if is_first:
            socket.connection.close()

    world.server.on_ping = close_first
    client = start()
    wait(client, "another socket", lambda: len(world.server.sockets) == 2)
    assert_reached(world, client, "m1")
    assert len(world.server.sockets) == 2


def test_a_message_that_cannot_be_handled_ends_nothing(world: World, start: Start) -> None:
    world.every_pong(every=0.05)
    client = start()
    socket = wait_for_socket(world, client)
    for text in ("not JSON", "null"):
        socket.send(text)
    socket.push("m1", "fail")
    socket.push("m1", "again")
    wait(client, "it goes on", lambda: pushes(client) == ["m1", "m1"])
    wait_for_socket(world, client, pings=len(socket.pings) + 3)
    assert world.server.sockets == [socket]


def test_a_failure_of_the_gateway_is_no_silence(world: World, start: Start) -> None:
    failure = {"message": "Internal server error", "connectionId": "c", "requestId": "r"}
    world.server.on_ping = lambda socket: socket.send(failure)
    socket = wait_for_socket(world, start(PING_EVERY=0.1), pings=3)
    assert world.server.sockets == [socket]


def test_a_client_pings_before_the_interval_is_over(world: World, start: Start) -> None:
    world.every_pong(every=0.3)
    client = start()
    socket = wait_for_socket(world, client)
    wait(
        client,
        "a ping in time",
        lambda: any(second - first < 0.3 for first, second in pairwise(socket.pings)),
    )


def test_tickets_that_never_come_do_not_keep_a_tab_offline(
    world: World, browser: Browser | None
) -> None:
    with starter("browser", world, browser) as start:
        client = start(DEADLINE=0.05)
        wait_for_socket(world, client)
        before = len(world.rest.attempts)
        world.withhold_credentials()
        world.network.reset()
        # Over HTTP/1.1, Chromium opens at most six connections to a host.
        wait(client, "a seventh request", lambda: len(world.rest.attempts) >= before + 7)


@pytest.fixture(scope="module", autouse=True)
def refused(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser | None
) -> Iterator[list[tuple[World, Client]]]:
    """Clients whose sockets are all closed again. They mostly wait, while other tests run.

    The first two sockets are closed at once, the others after they lived longer than the back-off.
    """

    def close(server: Server, socket: Socket) -> None:
        socket.send(pong(every=2.6))  # the second ping comes after more than 2 s
        if len(server.sockets) > 2 and len(socket.pings) == 1:
            return
        socket.send({"type": "error", "id": None, "code": "not_registered", "detail": "gone"})
        socket.connection.close()

    with ExitStack() as stack:
        running: list[tuple[World, Client]] = []
        for kind in ("device", "browser") if browser else ("device",):
            world = stack.enter_context(running_world(tmp_path_factory.mktemp(kind)))
            world.server.on_ping = partial(close, world.server)
            start = stack.enter_context(starter(kind, world, browser))
            running.append((world, start(BACK_OFF=2)))
        yield running


def test_a_client_reconnects_ever_more_slowly_with_fresh_credentials(
    refused: list[tuple[World, Client]],
) -> None:
    for world, client in refused:
        sockets = world.server.sockets
        wait(client, "three sockets", lambda sockets=sockets: len(sockets) >= 3)  # type: ignore[misc]
        first, second, third = world.network.attempts[:3]
        assert second - first >= 0.5
        assert third - second >= 1
        tickets = [socket.handshake.get("ticket") for socket in sockets[:3]]
        assert tickets in (["t1", "t2", "t3"], [None] * 3)


def test_the_back_off_begins_again_after_a_socket_that_lived(
    refused: list[tuple[World, Client]],
) -> None:
    for world, client in refused:

        def began_again(world: World = world) -> bool:
            closed = [socket.pings[-1] for socket in world.server.sockets]
            opened = world.network.attempts[1:]
            waited = [after - before for before, after in zip(closed, opened, strict=False)]
            return any(seconds < 1 for seconds in waited[2:])  # it would be 1 to 2 s

        wait(client, "a quick reconnect", began_again)


def test_the_program_closes_its_socket_when_it_is_interrupted(world: World, tmp_path: Path) -> None:
    with starter("device", world, None) as start:
        program = start()
        assert isinstance(program, Program)
        socket = wait_for_socket(world, program)
        program.process.send_signal(signal.SIGINT)
        program.process.wait(10)
    eventually("the socket is closed", lambda: not socket.is_open)
    assert socket.connection.close_code == 1000
    assert program.errors[-1] == "KeyboardInterrupt\n"
    assert "was never retrieved" not in "".join(program.errors)
