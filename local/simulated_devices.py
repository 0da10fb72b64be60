"""Devices to play with in the console: real WebSockets, whose behaviour a person decides."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from websockets.exceptions import WebSocketException

from console.devices import DeviceDocument, DeviceState, NoSuchDevice
from console.errors import Unanswered
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.instants import timestamp
from local.device import Device
from local.rest import Answer, call
from local.token import access_token
from operations.shared.local_system import LocalSystem

USER: Final = "merchant"
"""The member of every business that the devices and the declarations sign in as."""

MAX_DEVICES: Final = 200

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
        self._start(device.run(token))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def _device(self, device_id: str) -> "_Device":
        with self._lock:
            if device_id not in self._devices:
                raise NoSuchDevice(device_id)
            return self._devices[device_id]


class _Device(Device):
    def __init__(
        self,
        device_id: str,
        business_id: BusinessId,
        system: LocalSystem,
        handshakes: asyncio.Semaphore,
    ) -> None:
        super().__init__(system, business_id, self._receive, name=device_id)
        self.id = device_id
        self.business_id = business_id
        self._handshakes = handshakes
        self._sockets = 0
        self._connection_id: str | None = None
        self._received = 0
        self._last_message: str | None = None
        self.enter("connecting")

    def enter(self, state: DeviceState) -> None:
        self._state, self._since = state, int(time.time())
        self.silent = state != "connected"

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

    async def run(self, token: str) -> None:
        """Connect, and stay connected until somebody ends it."""
        self._connection_id = None
        self._sockets += 1
        agent = f"simulated-device/{self.id}.{self._sockets}"
        try:
            async with self._handshakes:
                socket = await self.connect(token, user_agent=agent)
        except (OSError, TimeoutError, WebSocketException):
            self.enter("refused")
            return
        self.enter("connected")
        search = asyncio.create_task(self._find_connection_id(agent, token))
        try:
            if await self.hold(socket):
                self.enter("closed")
        finally:
            search.cancel()

    def silence(self) -> None:
        if self._state == "connected":
            self.enter("silent")

    def cut(self) -> None:
        if self.socket is not None:
            self.enter("cut")
            super().cut()

    async def wake(self) -> None:
        if self._state == "silent" and self.socket is not None:
            self.enter("connected")
            await self.ping(self.socket)

    def _receive(self, message: Any) -> None:
        with suppress(KeyError, TypeError, AttributeError):
            if message.get("type") == "message":
                self._received += 1
                self._last_message = json.dumps(message["body"])[:_LAST_MESSAGE]

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
