"""Both APIs and an issuer of tokens on this machine, as their callers see them. Any part can break.

They know one business, and let in whoever shows the token that the issuer gives.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

ISSUED: Final = "header.issued.signature"
"""The access token that the issuer gives."""


@dataclass
class FakeApis:
    """Running APIs."""

    rest_url: str = ""
    websocket_url: str = ""
    broken: set[str] = field(default_factory=set)
    """What does not work: `health`, `routes`, `connect`, `declare`, `online`, `pong`, `push`,
    `told`, `close`, `offline` or `issuer`.
    """
    available: bool = False
    devices: list[ServerConnection] = field(default_factory=list)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    """The REST requests that were let in: method with path, and body."""
    forms: list[dict[str, list[str]]] = field(default_factory=list)
    """What was sent to the issuer."""

    _changed: threading.Condition = field(default_factory=threading.Condition)

    def has_no_device(self) -> bool:
        """Wait until all sockets are closed. False if some stay open."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.devices, timeout=10)

    @property
    def token_url(self) -> str:
        return f"{self.rest_url}/oauth/token"

    def answer(self, method: str, path: str, body: Any, shown: str) -> tuple[HTTPStatus, Any]:
        """Answer a REST request that was let in. `shown` is its Authorization header."""
        self.requests.append((f"{method} {path}", body))
        if "routes" in self.broken:
            # API Gateway's own words about a path that it does not know.
            reason = f"Authorization header requires 'Credential' parameter. Authorization={shown}"
            return HTTPStatus.FORBIDDEN, {"message": reason}
        match method, path.rpartition("/")[2]:
            case "GET", "health" if "health" not in self.broken:
                return HTTPStatus.OK, {"status": "ok"}
            case "PUT", "availability" if "declare" not in self.broken:
                self.available = body["available"]
                if not self.available:
                    self._send_away()
                return HTTPStatus.OK, {}
            case "GET", "status":
                online = self.available and bool(self.devices) and "online" not in self.broken
                offline = "OFFLINE" if "offline" not in self.broken else "UNREACHABLE"
                return HTTPStatus.OK, {"overallStatus": "ONLINE" if online else offline}
            case "POST", "messages":
                if "push" not in self.broken:
                    self._push({"type": "message", "id": "m1", "body": body})
                return HTTPStatus.OK, {"sent": len(self.devices)}
        return HTTPStatus.INTERNAL_SERVER_ERROR, {"detail": "it is broken"}

    def _push(self, message: Any) -> None:
        for device in list(self.devices):
            with suppress(ConnectionClosed):
                device.send(json.dumps(message))

    def _send_away(self) -> None:
        if "told" not in self.broken:
            self._push({"type": "availability.changed", "available": False})
        if "close" not in self.broken:
            for device in list(self.devices):
                device.close()

    def hold(self, device: ServerConnection) -> None:
        """Hold the socket of a device until it is closed."""
        with self._changed:
            self.devices.append(device)
        try:
            for text in device:
                if "pong" not in self.broken:
                    device.send(json.dumps({"type": "pong", "id": json.loads(text)["id"]}))
        except ConnectionClosed:
            pass
        finally:
            with self._changed:
                self.devices.remove(device)
                self._changed.notify_all()

    def is_let_in(self, authorization: str | None) -> bool:
        return authorization == f"Bearer {ISSUED}"

    def refuse(self, _: ServerConnection, request: Request) -> Response | None:
        """Refuse a handshake, or return None."""
        if self.is_let_in(request.headers.get("Authorization")) and "connect" not in self.broken:
            return None
        return Response(HTTPStatus.UNAUTHORIZED, "Unauthorized", Headers())


@contextmanager
def fake_apis() -> Iterator[FakeApis]:
    """Run the APIs until the end of the block."""
    apis = FakeApis()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._handle()

        def do_PUT(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def _handle(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/oauth/token":
                apis.forms.append(parse_qs(text.decode()))
                status, document = HTTPStatus.OK, {"access_token": ISSUED}
                if "issuer" in apis.broken:
                    status, document = HTTPStatus.UNAUTHORIZED, {"error": "invalid_client"}
            elif apis.is_let_in(shown := self.headers.get("Authorization", "")):
                body = json.loads(text) if text else None
                status, document = apis.answer(self.command, self.path, body, shown)
            else:
                status, document = HTTPStatus.UNAUTHORIZED, {"detail": "who are you?"}
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as rest,
        serve(apis.hold, "127.0.0.1", 0, process_request=apis.refuse, close_timeout=1) as websocket,
    ):
        apis.rest_url = f"http://127.0.0.1:{rest.server_address[1]}"
        apis.websocket_url = f"ws://127.0.0.1:{websocket.socket.getsockname()[1]}"
        threads = [
            threading.Thread(target=rest.serve_forever, kwargs={"poll_interval": 0.02}),
            threading.Thread(target=websocket.serve_forever),
        ]
        for thread in threads:
            thread.start()
        try:
            yield apis
        finally:
            rest.shutdown()
            websocket.shutdown()
            for thread in threads:
                thread.join()
