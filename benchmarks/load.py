"""Puts the running local system under load, and checks that everything agrees in the end.

    make run                                   # in another terminal
    python -m benchmarks.load [--minutes 10] [--devices 40]

Devices ping every five seconds. Meanwhile some of them close their sockets, lose them or freeze,
and connect again; messages are pushed; users declare their businesses available and unavailable;
and the cleanup runs again and again. In the end the table, the sockets, the census and the history
must agree. Prints what was done and how long it took: on the emulator, so compare the times with
each other only. Exits with 1 if something does not agree.
"""

import argparse
import asyncio
import json
import random
import secrets
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from local.device import Device
from local.rest import Answer, call
from local.token import access_token
from operations.shared.environment import LOCAL, DeployedEnvironment
from operations.shared.local_system import LocalSystem
from operations.shared.verbs import exit_code

DEVICES_PER_BUSINESS: Final = 2

CHURN_EVERY: Final = 1.0
"""Seconds between two devices that close their sockets, lose them or freeze."""
PUSH_EVERY: Final = 0.5
DECLARE_EVERY: Final = 1.0
CLEAN_EVERY: Final = 5.0

SETTLE_SECONDS: Final = 180
"""Within which everything must agree after the load: a frozen device is noticed after a minute."""

HANDSHAKES_AT_ONCE: Final = 8


@dataclass
class Figures:
    """What was done, and how long it took."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[what].append(time.monotonic() - began)

    def print(self) -> None:
        for what, number in sorted(self.counts.items()):
            print(f"{what:42} {number:>8,}")
        print("\nmilliseconds                                 median   95 of 100   longest")
        for what, taken in sorted(self.seconds.items()):
            cuts = [round(1000 * cut) for cut in statistics.quantiles(taken, n=20)]
            print(f"{what:42} {cuts[9]:>8,} {cuts[18]:>11,} {round(1000 * max(taken)):>9,}")


class Load:
    """The devices, the users and the back end."""

    def __init__(self, system: LocalSystem, devices: int) -> None:
        self._system = system
        run = secrets.token_hex(3)
        count = max(1, devices // DEVICES_PER_BUSINESS)
        self.businesses = [f"load-{run}-{number}" for number in range(count)]
        self._token = access_token(system, user="load", businesses=self.businesses)
        self._backend = access_token(system, user="load-backend", roles=["backend"])
        handshakes = asyncio.Semaphore(HANDSHAKES_AT_ONCE)
        self.figures = Figures()
        self.devices = [
            LoadDevice(system, self.businesses[n % count], handshakes, self.figures)
            for n in range(devices)
        ]
        self._random = random.Random(run)  # noqa: S311 - only chooses who does what

    async def run(self, seconds: float) -> None:
        """Hold the load for so long, then let every device connect and ping."""
        held = [asyncio.create_task(device.run(self._token)) for device in self.devices]
        for business in self.businesses:
            await self._declare(business, available=True)
        acts = [
            _every(CHURN_EVERY, self._churn),
            _every(PUSH_EVERY, self._push),
            _every(DECLARE_EVERY, self._declare_any),
            _every(CLEAN_EVERY, self.clean_up),
        ]
        running = [asyncio.create_task(act) for act in acts]
        await asyncio.sleep(seconds)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for device in self.devices:
            device.silent = False
        await self._settle()
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    async def _settle(self) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while problems := await self._disagreements():
            if time.monotonic() > deadline:
                raise SystemExit("\n".join(["these do not agree:", *problems]))
            await asyncio.sleep(2)
        self.figures.counts["businesses that agree in the end"] = len(self.businesses)

    async def _disagreements(self) -> list[str]:
        """Compare the sockets, the table, the census and the history."""
        report = await self.clean_up()
        stored = await asyncio.to_thread(_walk)
        problems = []
        if report["real"] != (known := sum(len(b.real) for b in stored.values())):
            problems.append(f"the census has {report['real']} real connections, the table {known}")
        for business in self.businesses:
            sockets = sum(d.socket is not None for d in self.devices if d.business == business)
            rows = len(stored[business].real) if business in stored else 0
            if sockets != rows:
                problems.append(f"{business}: {sockets} sockets, {rows} stored")
            problems += await self._history_problems(business)
        return problems

    async def _history_problems(self, business: str) -> list[str]:
        status = (await self._call("GET", business, "status")).body["overallStatus"]
        transitions: list[Any] = []
        query = {"from": _in_hours(-24), "to": _in_hours(0)}
        while True:
            page = (await self._call("GET", business, f"history?{urlencode(query)}")).body
            transitions += page["transitions"]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        problems = []
        if transitions[0]["to"] != status:
            problems.append(f"{business} is {status}, its history ends with {transitions[0]['to']}")
        for later, earlier in pairwise(transitions):
            if (later["sequence"], later["from"]) != (earlier["sequence"] + 1, earlier["to"]):
                problems.append(f"{business}: a gap after transition {earlier['sequence']}")
        if transitions[-1]["sequence"] != 1:
            problems.append(f"{business}: the history begins with {transitions[-1]['sequence']}")
        return problems

    async def clean_up(self) -> Any:
        with self.figures.timed("cleanup of all"):
            answer = await asyncio.to_thread(
                lambda: self._system.client("lambda").invoke(
                    FunctionName=self._system.cleanupFunctionName, Payload=b"{}"
                )
            )
            report = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise SystemExit(f"the cleanup failed: {report}")
        self.figures.counts["cleanups"] += 1
        return report

    async def _churn(self) -> None:
        device = self._random.choice(self.devices)
        if device.socket is None:
            return
        what = self._random.choice(["closed by their device", "lost", "frozen"])
        self.figures.counts[f"sockets {what}"] += 1
        if what == "lost":
            device.cut()
        elif what == "frozen":
            device.silent = True
        else:
            await device.close()

    async def _push(self) -> None:
        business = self._random.choice(self.businesses)
        with self.figures.timed("push"):
            body = {"order": secrets.token_hex(4)}
            answer = await self._call("POST", business, "messages", body, token=self._backend)
        self.figures.counts["pushes"] += 1
        self.figures.counts["messages that the gateway took"] += answer.body["sent"]

    async def _declare_any(self) -> None:
        # More often available than not, so that most devices stay connected.
        available = self._random.random() < 0.8
        await self._declare(self._random.choice(self.businesses), available=available)

    async def _declare(self, business: str, *, available: bool) -> None:
        with self.figures.timed(f"available: {str(available).lower()}"):
            await self._call("PUT", business, "availability", {"available": available})
        self.figures.counts["declarations"] += 1

    async def _call(
        self, method: str, business: str, path: str, body: Any = None, token: str | None = None
    ) -> Answer:
        url = f"{self._system.restUrl}/businesses/{business}/{path}"
        answer = await asyncio.to_thread(
            lambda: call(method, url, token=token or self._token, body=body)
        )
        if answer.status not in (200, 202):
            raise SystemExit(f"{method} {url} answered {answer.status}: {answer.body}")
        return answer


class LoadDevice(Device):
    """A device that connects again whenever it loses its socket."""

    def __init__(
        self, system: LocalSystem, business: str, handshakes: asyncio.Semaphore, figures: Figures
    ) -> None:
        super().__init__(system, business, self._receive)
        self._handshakes = handshakes
        self._figures = figures
        self._sent_at: float | None = None

    async def run(self, token: str) -> None:
        """Stay connected until the task is cancelled."""
        while True:
            try:
                async with self._handshakes:
                    with self._figures.timed("handshake"):
                        socket = await self.connect(token)
            except (OSError, TimeoutError, WebSocketException):
                self._figures.counts["handshakes that failed"] += 1
                await asyncio.sleep(1)
                continue
            self._figures.counts["sockets"] += 1
            self.silent, self._sent_at = False, None
            await self.hold(socket)

    async def ping(self, socket: ClientConnection) -> None:
        self._sent_at = time.monotonic()
        await super().ping(socket)
        self._figures.counts["pings"] += 1

    def _receive(self, message: Any) -> None:
        if message["type"] == "pong" and self._sent_at is not None:
            self._figures.seconds["ping"].append(time.monotonic() - self._sent_at)
            self._sent_at = None
        self._figures.counts[f"received: {message['type']}"] += 1


def _in_hours(hours: int) -> str:
    return datetime.fromtimestamp(time.time() + hours * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _walk() -> dict[str, Any]:
    """Every business that is stored."""
    table = DeployedEnvironment(LOCAL).table(connections=1)
    return {business.business_id: business for business in table.walk(0, 1)}


async def _every(seconds: float, act: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Act again and again; not more often than this, and one act after the other."""
    while True:
        began = time.monotonic()
        await act()
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--devices", type=int, default=40)
    wanted = parser.parse_args()

    def verb() -> int:
        load = Load(LocalSystem.running(), wanted.devices)
        businesses = len(load.businesses)
        print(f"{wanted.devices} devices of {businesses} businesses, {wanted.minutes} minutes")
        asyncio.run(load.run(wanted.minutes * 60))
        load.figures.print()
        return 0

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
