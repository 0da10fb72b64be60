"""Measures how fast many sockets are reached: by a push, by a declaration that closes them, and by
the cleanup, which asks about quiet ones at a fixed rate.

    python -m benchmarks.fan_out

Each call of the management API takes 20 ms, in which this process waits, and boto3 makes and parses
its request as ever. The baselines, in real time, not CPU time:

* push and close: the same calls one after the other;
* cleanup: the rate that is set, `MANAGEMENT_CALLS_PER_SECOND`.

Exits with 1 if, from 100 sockets up, a push or a close takes more than a tenth of its baseline, or
if the rate is missed by more than 10 %.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import boto3

from benchmarks.measuring import VARIABLES, answer_requests, seconds, set_variables
from lambdas.bootstrap import MANAGEMENT_CALLS_PER_SECOND, Service
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Business, RealConnection
from lambdas.domain.socket_messages import PushedMessage
from lambdas.use_cases.cleanup import PARTS_PER_WORKER
from tests.builders import B1, U1, FakeClock, business, in_time, real, settings
from tests.fakes import MemoryStore

LATENCY: Final = 0.02
"""Seconds that each call of the management API takes."""

SOCKETS: Final = (10, 100, 1_000)
"""Of one business."""

PROBED: Final = 5_000
"""Sockets that the cleanup asks about, each of another business."""

TIMES_FASTER: Final = 10
"""How much faster than one by one it must be, from 100 sockets up."""

MISSED_BY: Final = 0.1
"""The share by which the cleanup may miss the rate that is set."""


class OpenSockets(MemoryStore):
    """A store whose businesses stay as they are, so that it takes no time."""

    def __init__(self, businesses: Sequence[Business]) -> None:
        super().__init__()
        self.businesses = businesses

    def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
        return self.businesses[0]

    def remove_real(self, *_: object) -> RealConnection:
        return self.businesses[0].real[0]

    def write_settings(self, *_: object, **__: object) -> None:
        pass

    def walk(self, part: int, parts: int) -> Iterator[Business]:
        return iter(self.businesses[part::parts])


def make_service(businesses: Sequence[Business]) -> Service:
    """The parts of a function whose calls of the management API take a while."""

    def answer(_: object) -> bytes:
        time.sleep(LATENCY)
        return b"{}"

    session = boto3.Session()
    answer_requests(session.events, "apigatewaymanagementapi", answer)
    service = Service(VARIABLES, session=session, clock=FakeClock())
    parts = vars(service)  # a part that is there is not built
    parts["store"], parts["recorder"] = OpenSockets(businesses), None
    return service


def with_devices(number: int) -> Business:
    """A business with so many devices."""
    return business(*(real(f"c{n}") for n in range(number)), declared=settings())


def push(service: Service) -> None:
    """Send a message to all devices of the business."""
    message = PushedMessage("m1", {"order": "1", "items": ["x" * 500]})
    delivery = service.messaging.push(B1, message, in_time)
    assert delivery.sent == len(service.store.load(B1).real)  # noqa: S101 - or it measures nothing


def push_one_by_one(service: Service) -> None:
    """The calls of `push`, one after the other."""
    message = PushedMessage("m1", {"order": "1", "items": ["x" * 500]})
    for connection in service.store.load(B1).real:
        service.sockets.post(connection.connection_id, message)


def close(service: Service) -> None:
    """Declare the business unavailable, which tells its devices and closes their sockets."""
    outcome = service.availability.set_business_availability(B1, U1, False, out_of_time=in_time)
    assert outcome.sockets_remaining == 0  # noqa: S101


def close_one_by_one(service: Service) -> None:
    """The calls of `close`, one after the other."""
    for connection in service.store.load(B1).real:
        service.sockets.post(connection.connection_id, PushedMessage("m1", None))
        service.sockets.close(connection.connection_id)


def probes_per_second() -> float:
    """How many sockets a cleanup asks about in a second, if all are quiet."""
    quiet = [
        business(real("c1", business_id=BusinessId(f"b{n}"), seen=400), declared=settings())
        for n in range(PROBED)
    ]
    assert PROBED % PARTS_PER_WORKER == 0  # noqa: S101
    cleanup = make_service(quiet).cleanup
    took = seconds(lambda: cleanup.cleanup_all_connections(out_of_time=in_time))
    return PROBED / took


def compare(
    name: str,
    fast: Callable[[Service], None],
    slow: Callable[[Service], None],
    sockets: Sequence[int] = SOCKETS,
) -> Iterator[float]:
    """Print and yield how many times faster it is, from 100 sockets up."""
    for number in sockets:
        service = make_service([with_devices(number)])
        fast(service)  # fills caches
        together = min(seconds(partial(fast, service)) for _ in range(3))
        one_by_one = seconds(partial(slow, service))
        print(
            f"  {name:6} {number:5,} sockets   {together:5.2f} s"
            f"   {one_by_one / together:5.1f} × as fast as one by one"
        )
        if number >= 100:
            yield one_by_one / together


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    set_variables()
    print(f"sockets that take {LATENCY * 1e3:.0f} ms each")
    times = [
        *compare("push", push, push_one_by_one),
        *compare("close", close, close_one_by_one, SOCKETS[:2]),
    ]
    rate = probes_per_second()
    share = rate / MANAGEMENT_CALLS_PER_SECOND
    print(f"  probe  {PROBED:5,} sockets   {rate:.0f} a second, {share:.2f} × the rate that is set")
    return int(min(times) < TIMES_FASTER or abs(share - 1) > MISSED_BY)


if __name__ == "__main__":
    sys.exit(main())
