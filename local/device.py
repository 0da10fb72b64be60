"""A device of a business: it holds a WebSocket, sends pings, and prints what it receives as JSON.

    python -m local.device --business b1 --user u1

Stop it with Ctrl-C. `kill -STOP <pid>` freezes it, so that its socket stays open and silent.
"""

import argparse
import asyncio
import itertools
import json
import signal
import sys
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from local.token import access_token
from operations.shared.local_system import LocalSystem, NotRunning


def print_event(event: str, **details: Any) -> None:
    """Print one JSON line at once, because another program may read along."""
    print(json.dumps({"event": event, **details}), flush=True)


async def hold(system: LocalSystem, business: str, user: str, ping_every: float) -> int:
    """Stay connected until the socket closes or the process receives a signal to end."""
    token = access_token(system, user=user, businesses=[business])
    url = f"{system.websocketUrl}?{urlencode({'businessId': business})}"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        # Only the service's own pings keep a connection active, not the library's control frames.
        async with connect(url, additional_headers=headers, ping_interval=None) as socket:
            print_event("connected", businessId=business)
            loop = asyncio.get_running_loop()
            for signum in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(signum, lambda: asyncio.ensure_future(socket.close()))
            pings = asyncio.create_task(_ping(socket, ping_every))
            try:
                async for message in socket:
                    print_event("received", message=_parsed(message))
            finally:
                pings.cancel()
            print_event("closed", code=socket.close_code, reason=socket.close_reason)
            return 0
    except ConnectionClosed:
        print_event("closed", code=None, reason="the connection broke")
        return 1
    except InvalidStatus as refusal:
        print_event("refused", status=refusal.response.status_code)
        return 1


async def _ping(socket: ClientConnection, every: float) -> None:
    for number in itertools.count(1):
        try:
            await socket.send(json.dumps({"action": "ping", "id": str(number)}))
        except ConnectionClosed:
            return
        await asyncio.sleep(every)


def _parsed(message: str | bytes) -> Any:
    try:
        return json.loads(message)
    except ValueError:
        return str(message)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.device", description=__doc__)
    parser.add_argument("--business", required=True)
    parser.add_argument("--user", default="u1")
    parser.add_argument("--ping-every", type=float, default=5.0, metavar="SECONDS")
    wanted = parser.parse_args()
    try:
        system = LocalSystem.running()
    except NotRunning as error:
        print(error, file=sys.stderr)
        return 1
    return asyncio.run(hold(system, wanted.business, wanted.user, wanted.ping_every))


if __name__ == "__main__":
    sys.exit(main())
