"""The devices to play with, on a gateway that accepts or refuses all of them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from console.devices import DeviceState
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import BusinessId
from local import simulated_devices as module
from local.simulated_devices import SimulatedDevices, simulated_devices
from operations.shared.local_system import LocalSystem
from tests.e2e.harness import eventually

NOBODY = "127.0.0.1:1"
SHOP = BusinessId("shop-1")

SYSTEM = LocalSystem(
    restUrl=f"http://{NOBODY}",
    websocketUrl=f"ws://{NOBODY}",
    alarmNames=[],
    **dict.fromkeys(
        (
            *("awsEndpointUrl", "region", "tableName", "cleanupFunctionName", "userPoolId"),
            *("userPoolClientId", "onCallTopicArn", "eventBusName", "historyTableName"),
            *("consoleUrl", "awsSessionToken"),
        ),
        "",
    ),
)


@pytest.fixture(autouse=True)
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The businesses that each token was asked for."""
    asked: list[set[str]] = []

    def access_token(_system: object, *, user: str, businesses: set[str]) -> str:
        asked.append(businesses)
        return "token"

    monkeypatch.setattr(module, "access_token", access_token)
    return asked


@contextmanager
def gateway() -> Iterator[LocalSystem]:
    """Accept sockets in one thread until the end of the block, and say nothing."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> Server:
        return await serve(ServerConnection.wait_closed, "127.0.0.1", 0)

    async def stop() -> None:
        server.close()
        await server.wait_closed()

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=5)
    (port,) = {socket.getsockname()[1] for socket in server.sockets}
    try:
        yield replace(SYSTEM, websocketUrl=f"ws://127.0.0.1:{port}")
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def wait_for(devices: SimulatedDevices, state: DeviceState) -> None:
    eventually(state, lambda: all(each["state"] == state for each in devices.documents()))


def test_a_device_that_nobody_answers_is_refused_and_can_try_again() -> None:
    with simulated_devices(SYSTEM) as devices:
        (device,) = devices.connect([SHOP])
        wait_for(devices, "refused")
        with gateway() as system:
            devices._devices[device]._system = system
            devices.wake(device)
            wait_for(devices, "connected")


def test_fifty_devices_need_no_fifty_threads() -> None:
    with gateway() as system, simulated_devices(system) as devices:
        before = threading.active_count()
        devices.connect([SHOP] * 50)
        wait_for(devices, "connected")
        # A few more look for the ids of the connections.
        assert threading.active_count() - before < 10


def test_one_token_serves_all_businesses_of_a_request(tokens: list[set[str]]) -> None:
    shops = [BusinessId(f"shop-{number}") for number in range(5)]
    with simulated_devices(SYSTEM) as devices:
        devices.connect(shops)
        devices.connect(shops[:2])
    assert tokens == [set(shops)]


def test_there_is_a_limit_and_devices_that_have_ended_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_DEVICES", 3)
    with gateway() as system, simulated_devices(system) as devices:
        first, second, third = devices.connect([SHOP] * 3)
        wait_for(devices, "connected")
        with pytest.raises(InvalidValue, match="3"):
            devices.connect([SHOP])
        devices.cut(second)
        eventually("it is cut", lambda: devices.documents()[1]["state"] == "cut")
        (fourth,) = devices.connect([SHOP])
        assert [each["id"] for each in devices.documents()] == [first, third, fourth]
