"""Devices to play with in the console: real WebSockets, whose behaviour a person decides."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlencode

import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from console.devices import DeviceDocument, DeviceState, NoSuchDevice
from console.errors import Unanswered
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.instants import timestamp
from local.rest import Answer, call
from local.token import access_token
from operations.shared.local_system import LocalSystem

USER: Final = "merchant"
"""The member of every business that the devices and the declarations sign in as."""

MAX_DEVICES: Final = 200
PING_EVERY: Final = 5.0

_TOKEN_LASTS: Final = 45 * 60
_HANDSHAKES_AT_ONCE: Final = 8
_LAST_MESSAGE: Final = 500
"""Characters of a pushed message that are kept."""


@contextmanager
def simulated_devices(system: LocalSystem) -> Iterator["SimulatedDevices"]:
    """Hold devices until the end of the block. One thread holds all their sockets."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="devices", daemon=True)
    thread.start()
    devices = SimulatedDevices(system, loop)
    try:
        yield devices
    finally:
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(devices.end(), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        if not thread.is_alive():
            loop.close()


class SimulatedDevices:
    """The devices of one local system (`console.devices.Devices`).

    Any thread may call its public methods. What happens to a socket happens on the loop.
    """

    def __init__(self, system: LocalSystem, loop: asyncio.AbstractEventLoop) -> None:
        self._system = system
        self._loop = loop
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._devices: dict[str, _Device] = {}
        self._tokens: dict[BusinessId, tuple[str, float]] = {}
        self._handshakes = asyncio.Semaphore(_HANDSHAKES_AT_ONCE)

    def documents(self) -> list[DeviceDocument]:
        with self._lock:
            return [device.document() for device in self._devices.values()]

    def connect(self, business_ids: Sequence[BusinessId]) -> list[str]:
        """Also raises `InvalidValue` if there would be too many devices."""
        self._sign_in(business_ids)
        with self._lock:
            self._make_room(len(business_ids))
            new = [
                _Device(f"d{next(self._numbers)}", business, self._system, self._handshakes)
                for business in business_ids
            ]
            self._devices.update((device.id, device) for device in new)
        for device in new:
            self._open(device)
        return [device.id for device in new]

    def silence(self, device_id: str) -> None:
        self._loop.call_soon_threadsafe(self._device(device_id).silence)

    def cut(self, device_id: str) -> None:
        self._loop.call_soon_threadsafe(self._device(device_id).cut)

    def close(self, device_id: str) -> None:
        self._start(self._device(device_id).close())

    def wake(self, device_id: str) -> None:
        device = self._device(device_id)
        self._sign_in([device.business_id])
        with self._lock:
            ended = device.has_ended()
            if ended:
                device.enter("connecting")  # so that it connects once if somebody asks twice
        if ended:
            self._open(device)
        else:
            self._start(device.wake())

    def set_available(self, business_id: BusinessId, available: bool) -> None:
        answer = _asked(
            lambda: call(
                "PUT",
                f"{self._system.restUrl}/businesses/{business_id}/availability",
                token=self._sign_in([business_id]),
                body={"available": available},
            )
        )
        if answer.status != 200:
            raise Unanswered(f"the REST API answered {answer.status}: {answer.body}")

    async def end(self) -> None:
        """Cut all devices, and wait until nothing runs on the loop."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _sign_in(self, business_ids: Sequence[BusinessId]) -> str:
        """Make sure that there is a token for each business, and return that of the last one.

        Raises `Unanswered`.
        """
        now = time.monotonic()
        with self._lock:
            missing = {
                each
                for each in business_ids
                if self._tokens.get(each, ("", now - _TOKEN_LASTS))[1] <= now - _TOKEN_LASTS
            }
        if missing:
            try:
                token = access_token(self._system, user=USER, businesses=missing)
            except (BotoCoreError, ClientError) as error:
                raise Unanswered(f"the user pool gave no access token: {error}") from error
            with self._lock:
                self._tokens.update((each, (token, now)) for each in missing)
        with self._lock:
            return self._tokens[business_ids[-1]][0]

    def _make_room(self, number: int) -> None:
        """Forget the oldest devices that have ended, if there are too many."""
        surplus = len(self._devices) + number - MAX_DEVICES
        ended = [device.id for device in self._devices.values() if device.has_ended()]
        if surplus > len(ended):
            raise InvalidValue("count", f"there can be {MAX_DEVICES} devices: close some of them")
        for device_id in ended[: max(0, surplus)]:
            del self._devices[device_id]

    def _open(self, device: "_Device") -> None:
        token = self._tokens[device.business_id][0]
        self._start(device.hold(token))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def _device(self, device_id: str) -> "_Device":
        with self._lock:
            if device_id not in self._devices:
                raise NoSuchDevice(device_id)
            return self._devices[device_id]


class _Device:
    def __init__(
        self,
        device_id: str,
        business_id: BusinessId,
        system: LocalSystem,
        handshakes: asyncio.Semaphore,
    ) -> None:
        self.id = device_id
        self.business_id = business_id
        self._system = system
        self._handshakes = handshakes
        self._socket: ClientConnection | None = None
        self._sockets = 0
        self._connection_id: str | None = None
        self._received = 0
        self._last_message: str | None = None
        self.enter("connecting")

    def enter(self, state: DeviceState) -> None:
        self._state, self._since = state, int(time.time())

    def has_ended(self) -> bool:
        return self._state in ("cut", "closed", "refused")

    def document(self) -> DeviceDocument:
        return {
            "id": self.id,
            "businessId": self.business_id,
            "state": self._state,
            "connectionId": self._connection_id,
            "since": timestamp(self._since),
            "received": self._received,
            "lastMessage": self._last_message,
        }

    async def hold(self, token: str) -> None:
        """Connect, and stay connected until somebody ends it."""
        self._connection_id = None
        self._sockets += 1
        agent = f"simulated-device/{self.id}.{self._sockets}"
        query = urlencode({"businessId": self.business_id, "deviceId": self.id})
        try:
            async with self._handshakes:
                socket = await connect(
                    f"{self._system.websocketUrl}?{query}",
                    additional_headers={"Authorization": f"Bearer {token}"},
                    user_agent_header=agent,
                    open_timeout=30,
                    close_timeout=2,
                    # Only the service's own pings keep a connection active.
                    ping_interval=None,
                )
        except (OSError, TimeoutError, WebSocketException):
            self.enter("refused")
            return
        self._socket = socket
        self.enter("connected")
        tasks = [
            asyncio.create_task(self._ping(socket)),
            asyncio.create_task(self._find_connection_id(agent, token)),
        ]
        try:
            async for message in socket:
                self._receive(message)
        except ConnectionClosed:
            pass
        finally:
            for task in tasks:
                task.cancel()
            socket.transport.abort()
            # Otherwise it was cut, and may have a new socket already.
            if self._socket is socket:
                self._socket = None
                self.enter("closed")

    def silence(self) -> None:
        if self._state == "connected":
            self.enter("silent")

    def cut(self) -> None:
        if self._socket is not None:
            self.enter("cut")
            self._socket.transport.abort()
            self._socket = None

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def wake(self) -> None:
        if self._state == "silent" and self._socket is not None:
            self.enter("connected")
            await self._send_ping(self._socket)

    async def _ping(self, socket: ClientConnection) -> None:
        while True:
            if self._state == "connected":
                await self._send_ping(socket)
            await asyncio.sleep(PING_EVERY)

    async def _send_ping(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            await socket.send(json.dumps({"action": "ping", "id": self.id}))

    def _receive(self, message: str | bytes) -> None:
        with suppress(ValueError, AttributeError):
            document = json.loads(message)
            if document.get("type") == "message":
                self._received += 1
                self._last_message = json.dumps(document["body"])[:_LAST_MESSAGE]

    async def _find_connection_id(self, agent: str, token: str) -> None:
        """Look for the connection by its client: the service does not tell a device its id."""
        url = f"{self._system.restUrl}/businesses/{self.business_id}/connections"
        for _ in range(10):
            with suppress(Unanswered):
                answer = await asyncio.to_thread(_asked, lambda: call("GET", url, token=token))
                if answer.status == 200:
                    for each in answer.body["real"]:
                        if each["userAgent"] == agent:
                            self._connection_id = each["connectionId"]
                            return
            await asyncio.sleep(0.5)


def _asked(ask: Callable[[], Answer]) -> Answer:
    """Call the REST API. Raises `Unanswered`."""
    try:
        return ask()
    except urllib3.exceptions.HTTPError as error:
        raise Unanswered(f"the REST API did not answer: {error}") from error
