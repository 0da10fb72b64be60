"""Two hours of devices on bad networks: how often is a living device refused because of sockets
that died unnoticed?

    python -m benchmarks.bad_networks

The devices are clients as the protocol wants them: they ping as they are told, and connect again
with back-off and jitter. Their router forgets each connection some time after it was opened. The
device notices, but API Gateway does not: for the service, the old socket is silent. A cleanup runs
every five minutes. The code of the service is the real one; store, sockets and time are simulated,
so the result is the same on every machine.
"""

import heapq
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lambdas.domain.errors import TooManyConnections
from lambdas.domain.identifiers import ConnectionId, DeviceId
from lambdas.use_cases.admission import Admission
from lambdas.use_cases.presence import Presence
from tests.builders import B1, RULES, U1, FakeClock, in_time, make_cleanup
from tests.fakes import FakeSockets, MemoryStore

_TWO_HOURS: Final = 2 * 3600
_LONGEST_BACK_OFF: Final = 60
"""Seconds that a client waits at most before it connects again."""
_CLEANUP_EVERY: Final = 300
_STAYED_CONNECTED: Final = 60
"""After a connection of so many seconds, a client's back-off begins anew."""


@dataclass(frozen=True)
class Devices:
    """Devices behind one router, which drops each of their connections after some seconds."""

    count: int
    dropped_after: int
    named: bool = True


@dataclass
class Result:
    """What became of the handshakes of one business."""

    handshakes: int = 0
    refused: int = 0
    longest_refusal: float = 0.0
    """Seconds from the first refusal of a device until it got in."""
    most_stored: int = 0
    """The highest number of connections that were stored at the same time."""


@dataclass
class _Device:
    name: str
    dropped_after: int
    named: bool
    failures: int = 0


@dataclass
class _Simulation:
    devices: Sequence[_Device]
    chance: random.Random
    clock: FakeClock = field(default_factory=FakeClock)
    store: MemoryStore = field(default_factory=MemoryStore)
    sockets: FakeSockets = field(default_factory=FakeSockets)
    result: Result = field(default_factory=Result)

    def run(self) -> Result:
        began = self.clock.now
        queue: list[tuple[float, int, Iterator[float]]] = []
        for life in [self._cleanups(), *map(self._life, self.devices)]:
            queue.append((self.chance.uniform(0, 5), len(queue), life))
        heapq.heapify(queue)
        while queue[0][0] < _TWO_HOURS:
            at, number, life = heapq.heappop(queue)
            self.clock.now = began + int(at)
            heapq.heappush(queue, (at + next(life), number, life))
            self.result.most_stored = max(self.result.most_stored, len(self.store.real))
        return self.result

    def _cleanups(self) -> Iterator[float]:
        while True:
            cleanup = make_cleanup(self.store, self.sockets, self.clock)
            cleanup.cleanup_business_connections(B1, out_of_time=in_time)
            yield _CLEANUP_EVERY

    def _life(self, device: _Device) -> Iterator[float]:
        """What one device does; each value is how many seconds it then waits."""
        presence = Presence(self.store, RULES, self.clock)
        waited = 0.0  # since its first refusal
        for number in itertools.count():
            socket = ConnectionId(f"{device.name}-{number}")
            if not self._connect(device, socket):
                pause = self._back_off(device)
                waited += pause
                self.result.longest_refusal = max(self.result.longest_refusal, waited)
                yield pause
                continue
            waited = 0.0
            left = float(device.dropped_after)
            while left > 0:
                if presence.heard_from(B1, socket, is_ping=True) is None:
                    break  # it was closed
                pause = min(left, RULES.ping_interval * 0.8)
                left -= pause
                yield pause
            if device.dropped_after > _STAYED_CONNECTED:
                device.failures = 0
            yield self._back_off(device)

    def _connect(self, device: _Device, socket: ConnectionId) -> bool:
        self.result.handshakes += 1
        name = DeviceId(device.name) if device.named else None
        admission = Admission(self.store, self.sockets, RULES, self.clock)
        try:
            admission.connect(B1, U1, socket, device_id=name)
        except TooManyConnections:
            self.result.refused += 1
            return False
        self.sockets.open.add(socket)
        return True

    def _back_off(self, device: _Device) -> float:
        pause = float(min(_LONGEST_BACK_OFF, 2**device.failures)) * self.chance.uniform(0.5, 1)
        device.failures += 1
        return pause


def simulate(*groups: Devices) -> Result:
    """Play the devices of one business, all at the same time."""
    devices = [
        _Device(f"device-{number}-{index}", group.dropped_after, group.named)
        for number, group in enumerate(groups)
        for index in range(group.count)
    ]
    chance = random.Random(1)  # noqa: S311
    return _Simulation(devices, chance).run()


NETWORKS: Final[dict[str, Sequence[Devices]]] = {
    "8 devices, dropped after 65 s": [Devices(8, 65)],
    "4 devices, dropped after 5 s": [Devices(4, 5)],
    "both together": [Devices(8, 65), Devices(4, 5)],
    "20 devices, dropped after 65 s": [Devices(20, 65)],
    "50 devices, dropped after 65 s": [Devices(50, 65)],
    "50 devices, dropped after 5 s": [Devices(50, 5)],
}


def nameless(groups: Sequence[Devices]) -> list[Devices]:
    """The same devices, which do not name themselves."""
    return [replace(group, named=False) for group in groups]


def main() -> None:
    print(
        f"{'devices':34} {'named':6} {'handshakes':>10} {'refused':>8} {'longest':>8} {'stored':>7}"
    )
    for name, groups in NETWORKS.items():
        for kind, played in (("yes", groups), ("no", nameless(groups))):
            result = simulate(*played)
            print(
                f"{name:34} {kind:6} {result.handshakes:>10} {result.refused:>8}"
                f" {result.longest_refusal:>6.0f} s {result.most_stored:>7}"
            )


if __name__ == "__main__":
    main()
