"""A WebSocket server that does what a test tells it, behind a network that fails on demand."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve


@dataclass(eq=False)
class _Link:
    """A TCP connection that goes through the proxy."""

    client: asyncio.StreamWriter
    swallows: bool
    server: asyncio.StreamWriter | None = None

    def reset(self) -> None:
        for writer in filter(None, (self.client, self.server)):
            writer.transport.abort()


@dataclass
class Proxy:
    """Passes TCP connections on to a port of this machine. Its fields may be set at any time."""

    target: int
    port: int = 0
    refuses: bool = False
    """Reset new connections."""
    swallows_new: bool = False
    """Accept new connections, and answer nothing."""
    piece: int = 65_536
    """How many bytes are passed on at a time."""
    delay: float = 0
    """Seconds before each piece."""
    attempts: list[float] = field(default_factory=list)
    """When each connection was made (`time.monotonic`)."""
    _links: set[_Link] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(init=False)

    def swallow(self) -> None:
        """Pass nothing on any more, in either direction, and close nothing: a half-open network."""
        for link in tuple(self._links):
            link.swallows = True

    def reset(self) -> None:
        """Reset all connections."""
        for link in tuple(self._links):
            self._loop.call_soon_threadsafe(link.reset)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts.append(time.monotonic())
        if self.refuses:
            writer.transport.abort()
            return
        link = _Link(writer, self.swallows_new)
        self._links.add(link)
        from_server, link.server = await asyncio.open_connection("127.0.0.1", self.target)
        with suppress(ConnectionError):
            await asyncio.gather(
                self._pass_on(link, reader, link.server), self._pass_on(link, from_server, writer)
            )
        link.reset()
        self._links.discard(link)

    async def _pass_on(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(self.piece):
            await asyncio.sleep(self.delay)
            if not link.swallows:
                sink.write(data)
                await sink.drain()
        if not link.swallows:
            sink.close()

    async def run(self, ready: threading.Event, end: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        async with await asyncio.start_server(self.accept, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await asyncio.to_thread(end.wait)
            while self._links:
                for link in tuple(self._links):
                    link.reset()
                await asyncio.sleep(0.001)


@contextmanager
def running_proxy(target: int) -> Iterator[Proxy]:
    """Run a proxy until the block ends."""
    proxy, ready, end = Proxy(target), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(proxy.run(ready, end)))
    thread.start()
    try:
        assert ready.wait(10)
        yield proxy
    finally:
        end.set()
        thread.join()


@dataclass(eq=False)
class Socket:
    """A socket that a client opened."""

    connection: ServerConnection
    handshake: dict[str, str]
    """The query of the handshake."""
    pings: list[float] = field(default_factory=list)
    """When each ping came (`time.monotonic`)."""
    is_open: bool = True

    def send(self, message: object) -> None:
        self.connection.send(message if isinstance(message, str) else json.dumps(message))

    def push(self, message_id: str, body: object = None) -> None:
        self.send({"type": "message", "id": message_id, "body": body})


def pong(*, every: float = 3600, reconnect_after: float = 3600) -> dict[str, Any]:
    return {"type": "pong", "pingEvery": every, "reconnectAfter": reconnect_after}


@dataclass
class Server:
    """The two APIs, as far as a client needs them, without a rule of their own."""

    on_ping: Callable[[Socket], None] = lambda socket: socket.send(pong())
    refusal: int | None = None
    """The status with which handshakes are refused."""
    answers_only_first: bool = False
    """Leave the pings of every socket but the first without an answer."""
    sockets: list[Socket] = field(default_factory=list)
    """All that were ever open, oldest first."""
    tickets: int = 0
    """How many were issued."""

    def open_sockets(self) -> list[Socket]:
        return [socket for socket in self.sockets if socket.is_open]

    def decide(self, connection: ServerConnection, _: Request) -> Response | None:
        if self.refusal:
            return connection.respond(HTTPStatus(self.refusal), "refused")
        return None

    def serve_socket(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        socket = Socket(connection, {name: value for name, (value,) in query.items()})
        self.sockets.append(socket)
        with suppress(ConnectionClosed):
            for text in connection:
                assert json.loads(text) == {"action": "ping"}
                socket.pings.append(time.monotonic())
                if socket is self.sockets[0] or not self.answers_only_first:
                    self.on_ping(socket)
        socket.is_open = False


@contextmanager
def running_server() -> Iterator[tuple[Server, int, int]]:
    """Run a server until the block ends. Yields it and its two ports, for sockets and for REST."""
    server = Server()

    class Rest(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("text/html", "<!doctype html><link rel=icon href=data:,>")

        def do_POST(self) -> None:
            server.tickets += 1
            self._answer("application/json", json.dumps({"ticket": f"t{server.tickets}"}))

        def _answer(self, kind: str, body: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with (
        serve(server.serve_socket, "127.0.0.1", 0, process_request=server.decide) as sockets,
        ThreadingHTTPServer(("127.0.0.1", 0), Rest) as rest,
    ):
        threads = [
            threading.Thread(target=sockets.serve_forever),
            threading.Thread(target=rest.serve_forever, args=[0.01]),
        ]
        for thread in threads:
            thread.start()
        try:
            yield server, sockets.socket.getsockname()[1], rest.server_port
        finally:
            for socket in server.open_sockets():
                socket.connection.socket.close()
            sockets.shutdown()
            rest.shutdown()
            for thread in threads:
                thread.join()
