"""The main story of this service in short, played against its deployed APIs from outside.

A device of a business connects, the business goes available and is online, the device pings and
hears a message, the business goes unavailable, and the device is told and its socket closed. The
canary plays it in production, and the smoke test after each deployment.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import urllib3
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from lambdas.observability import CanaryStep as Step

_PAUSES_PER_STEP: Final = 40
"""How often a step is tried, at most, before its time is over."""

T = TypeVar("T")


class SmokeTestFailed(Exception):
    """A step did not happen. The text says what was seen instead."""


class SmokeTest:
    """Plays the story once, with an access token of a member of `business`.

    Each step may take `timeout` seconds, and is tried again until then. `done` is called after
    each step with its seconds. Only a caller who `may_push` plays `Step.PUSH`.
    """

    def __init__(
        self,
        *,
        rest_url: str,
        websocket_url: str,
        business: str,
        token: str,
        timeout: float,
        may_push: bool,
        done: Callable[[Step, float], None],
    ) -> None:
        self._rest = rest_url.rstrip("/")
        self._websocket = websocket_url
        self._business = business
        self._token = token
        self._headers = {"Authorization": f"Bearer {token}"}
        self._timeout = timeout
        self._may_push = may_push
        self._done = done
        self.step = Step.BEGIN
        """The step that is being played, or that failed."""
        self._deadline = 0.0
        """When its time is over."""

    def run(self) -> None:
        """Play all steps. Raises `SmokeTestFailed`, after it has ended what it began."""
        try:
            self._run()
        except SmokeTestFailed:
            with suppress(SmokeTestFailed):
                self._declare(available=False)
            raise

    def _run(self) -> None:
        with self._playing(Step.BEGIN):
            self._eventually("GET /health answers 200", lambda: self._call("GET", "/health"))
            self._eventually("PUT availability false", lambda: self._declare(available=False))
        with ExitStack() as stack:
            with self._playing(Step.CONNECT):
                what = f"a device connects to {self._websocket}"
                device = stack.enter_context(self._eventually(what, self._connected))
            with self._playing(Step.ONLINE):
                self._eventually("PUT availability true", lambda: self._declare(available=True))
                self._eventually("the business is ONLINE", lambda: self._require_status("ONLINE"))
            with self._playing(Step.PING):
                asked = secrets.token_hex(4)
                self._send(device, {"action": "ping", "id": asked})
                self._receive(device, {"type": "pong", "id": asked})
            if self._may_push:
                with self._playing(Step.PUSH):
                    body = {"order": secrets.token_hex(4)}
                    path = self._of_business("messages")
                    self._eventually("POST messages", lambda: self._call("POST", path, body))
                    self._receive(device, {"type": "message", "body": body})
            with self._playing(Step.UNAVAILABLE):
                self._eventually("PUT availability false", lambda: self._declare(available=False))
                self._receive(device, {"type": "availability.changed", "available": False})
                self._wait_for_close(device)
        with self._playing(Step.OFFLINE):
            self._eventually("the business is OFFLINE", lambda: self._require_status("OFFLINE"))

    @contextmanager
    def _playing(self, step: Step) -> Iterator[None]:
        self.step = step
        began = time.monotonic()
        self._deadline = began + self._timeout
        yield
        self._done(step, time.monotonic() - began)

    def _eventually(self, what: str, attempt: Callable[[], T]) -> T:
        """Try until it raises no `SmokeTestFailed`, or until the time of the step is over."""
        while True:
            try:
                return attempt()
            except SmokeTestFailed as failure:
                if time.monotonic() > self._deadline:
                    raise SmokeTestFailed(
                        f"{what}: not within {self._timeout:g} s; {failure}"
                    ) from None
                time.sleep(self._timeout / _PAUSES_PER_STEP)

    # The REST API.

    def _declare(self, *, available: bool) -> None:
        self._call("PUT", self._of_business("availability"), {"available": available})

    def _require_status(self, wanted: str) -> None:
        status = self._call("GET", self._of_business("status"))
        seen = status.get("overallStatus") if isinstance(status, dict) else status
        if seen != wanted:
            raise SmokeTestFailed(f"overallStatus is {seen}")

    def _of_business(self, resource: str) -> str:
        return f"/businesses/{self._business}/{resource}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = urllib3.request(
                method,
                f"{self._rest}{path}",
                headers={**self._headers, "Content-Type": "application/json"},
                body=None if body is None else json.dumps(body),
                timeout=self._timeout,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise SmokeTestFailed(f"{method} {path}: {error}") from error
        # API Gateway's answer to a path that it does not know quotes the token, and answers are
        # logged.
        text = answer.data.decode(errors="replace").replace(self._token, "<token>")
        if answer.status != HTTPStatus.OK:
            raise SmokeTestFailed(f"{method} {path} answered {answer.status}: {text[:300]}")
        try:
            return json.loads(text)
        except ValueError:
            raise SmokeTestFailed(
                f"the answer to {method} {path} is not JSON: {text[:300]}"
            ) from None

    # The device.

    def _connected(self) -> ClientConnection:
        try:
            return connect(
                f"{self._websocket}?{urlencode({'businessId': self._business})}",
                additional_headers=self._headers,
                ping_interval=None,
                open_timeout=self._timeout,
                close_timeout=self._timeout,
            )
        except (OSError, WebSocketException) as error:
            raise SmokeTestFailed(str(error)) from error

    def _send(self, device: ClientConnection, message: Any) -> None:
        try:
            device.send(json.dumps(message))
        except (OSError, WebSocketException) as error:
            raise SmokeTestFailed(f"the device could not send: {error}") from error

    def _receive(self, device: ClientConnection, wanted: dict[str, Any]) -> None:
        """Wait for a message that has all these fields."""
        received: list[str] = []
        for text in self._messages(device):
            with suppress(ValueError):
                message = json.loads(text)
                if isinstance(message, dict) and wanted.items() <= message.items():
                    return
            received.append(text[:300])
        raise SmokeTestFailed(f"the device did not receive {wanted}, but {received or 'nothing'}")

    def _wait_for_close(self, device: ClientConnection) -> None:
        for _ in self._messages(device):
            pass
        if device.close_code is None:
            raise SmokeTestFailed(f"the socket was not closed within {self._timeout:g} s")

    def _messages(self, device: ClientConnection) -> Iterator[str]:
        """Yield what the device receives, until its socket is closed or the time is over."""
        with suppress(TimeoutError, ConnectionClosed):
            while (left := self._deadline - time.monotonic()) > 0:
                yield str(device.recv(timeout=left))
