"""A device of a business: it holds a WebSocket, sends pings, and prints what it receives as JSON.

    python -m local.device --business b1 --user u1

Stop it with Ctrl-C. `kill -STOP <pid>` freezes it, so that its socket stays open and silent.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode

from local.token import access_token
from operations.shared.local_system import LocalSystem, NotRunning

PING_EVERY: Final = 5.0


class Device:
    """A WebSocket of a business that pings, and hands over what it receives."""

    def __init__(
        self,
        system: LocalSystem,
        business: str,
        receive: Callable[[Any], None],
        *,
        name: str | None = None,
        ping_every: float = PING_EVERY,
    ) -> None:
        self.business = business
        self.silent = False
        self.socket: ClientConnection | None = None
        self._system = system
        self._name = name
        self._hand_over = receive
        self._ping_every = ping_every

    async def connect(self, token: str, *, user_agent: str | None = None) -> ClientConnection:
        """Open a socket. Raises `OSError`, `TimeoutError`, and `InvalidStatus` if it is refused."""
        self.socket = await connect(
            socket_url(self._system, self.business, self._name),
            additional_headers={"Authorization": f"Bearer {token}"},
            user_agent_header=user_agent,
            open_timeout=60,
            close_timeout=2,
            # Only the service's own pings keep a connection active, not the library's control
            # frames.
            ping_interval=None,
        )
        return self.socket

    async def hold(self, socket: ClientConnection) -> bool:
        """Ping until the socket ends. Return whether it ended otherwise than by `cut`."""
        pings = asyncio.create_task(self._keep_pinging(socket))
        try:
            with suppress(ConnectionClosed):
                async for message in socket:
                    self._hand_over(_parsed(message))
        finally:
            pings.cancel()
            socket.transport.abort()
        if self.socket is not socket:
            return False
        self.socket = None
        return True

    async def close(self) -> None:
        """Close the socket as a device that is switched off."""
        if self.socket is not None:
            await self.socket.close()

    def cut(self) -> None:
        """Lose the socket without closing it."""
        if self.socket is not None:
            self.socket.transport.abort()
            self.socket = None

    async def _keep_pinging(self, socket: ClientConnection) -> None:
        while True:
            if not self.silent:
                await self.ping(socket)
            await asyncio.sleep(self._ping_every)

    async def ping(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            await socket.send('{"action": "ping"}')


def socket_url(system: LocalSystem, business: str, device: str | None = None) -> str:
    """Where a device of a business connects. Its name is the `deviceId`."""
    name = {} if device is None else {"deviceId": device}
    return f"{system.websocketUrl}?{urlencode({'businessId': business, **name})}"


def _parsed(message: str | bytes) -> Any:
    try:
        return json.loads(message)
    except ValueError:
        return str(message)


def print_event(event: str, **details: Any) -> None:
    """Print one JSON line at once, because another program may read along."""
    print(json.dumps({"event": event, **details}), flush=True)


async def hold(system: LocalSystem, business: str, user: str, ping_every: float) -> int:
    """Stay connected until the socket closes or the process receives a signal to end."""
    device = Device(
        system,
        business,
        lambda message: print_event("received", message=message),
        ping_every=ping_every,
    )
    try:
        socket = await device.connect(access_token(system, user=user, businesses=[business]))
    except InvalidStatus as refusal:
        print_event("refused", status=refusal.response.status_code)
        return 1
    print_event("connected", businessId=business)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, lambda: asyncio.ensure_future(device.close()))
    await device.hold(socket)
    if socket.close_code == CloseCode.ABNORMAL_CLOSURE:
        print_event("closed", code=None, reason="the connection broke")
        return 1
    print_event("closed", code=socket.close_code, reason=socket.close_reason)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.device", description=__doc__)
    parser.add_argument("--business", required=True)
    parser.add_argument("--user", default="u1")
    parser.add_argument("--ping-every", type=float, default=PING_EVERY, metavar="SECONDS")
    wanted = parser.parse_args()
    try:
        system = LocalSystem.running()
    except NotRunning as error:
        print(error, file=sys.stderr)
        return 1
    return asyncio.run(hold(system, wanted.business, wanted.user, wanted.ping_every))


if __name__ == "__main__":
    sys.exit(main())
