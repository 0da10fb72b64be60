"""A device of a business: holds a WebSocket, sends pings, and prints what it hears as JSON lines.

    python -m local.device --business b1 --user u1

Stop it with Ctrl-C. Freeze it as a machine freezes that nobody told goodbye: `kill -STOP <pid>`.
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

from local.system import Endpoints, NotRunning
from local.token import access_token


def say(event: str, **details: Any) -> None:
    """Print one JSON line at once, so that whoever reads along sees it now."""
    print(json.dumps({"event": event, **details}), flush=True)


async def hold(endpoints: Endpoints, business: str, user: str, ping_every: float) -> int:
    """Connect and stay until the socket closes or the process is told to end."""
    token = access_token(endpoints, user=user, businesses=[business])
    url = f"{endpoints.websocketUrl}?{urlencode({'businessId': business})}"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        # The service's own pings keep a connection active; the library's control frames do not.
        async with connect(url, additional_headers=headers, ping_interval=None) as socket:
            say("connected", businessId=business)
            loop = asyncio.get_running_loop()
            for signum in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(signum, lambda: asyncio.ensure_future(socket.close()))
            pings = asyncio.create_task(_ping(socket, ping_every))
            try:
                async for message in socket:
                    say("received", message=_parsed(message))
            finally:
                pings.cancel()
            say("closed", code=socket.close_code, reason=socket.close_reason)
            return 0
    except ConnectionClosed:
        say("closed", code=None, reason="the connection broke")
        return 1
    except InvalidStatus as refusal:
        say("refused", status=refusal.response.status_code)
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
        endpoints = Endpoints.of_running_system()
    except NotRunning as error:
        print(error, file=sys.stderr)
        return 1
    return asyncio.run(hold(endpoints, wanted.business, wanted.user, wanted.ping_every))


if __name__ == "__main__":
    sys.exit(main())
