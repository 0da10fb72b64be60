"""What the benchmarks share: what is compared takes turns, and a ratio comes with its spread."""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

VARIABLES: Final = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_DEFAULT_REGION": "us-east-1",
    "ENVIRONMENT": "benchmark",
    "TABLE_NAME": "table",
    "HISTORY_TABLE_NAME": "history",
    "HISTORY_DAYS": "90",
    "EVENT_BUS_NAME": "bus",
    "DEAD_LETTERS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/letters",
    "WEBSOCKET_MANAGEMENT_URL": "https://api.execute-api.us-east-1.amazonaws.com/v1",
    "PING_INTERVAL": "300",
    "PING_GRACE": "60",
    "VIRTUAL_LEASE": "43200",
    "ATTENTION_GRACE": "300",
    "MAX_REAL_CONNECTIONS": "50",
    "OIDC_ISSUER": "https://id.example",
    "OIDC_AUDIENCE": "orders",
    "OIDC_JWKS_URL": "https://id.example/keys",
    "OIDC_USER_CLAIM": "sub",
    "OIDC_BUSINESSES_CLAIM": "businesses",
    "OIDC_ROLES_CLAIM": "roles",
}
"""The environment variables of a function. Nothing that they name is called."""


@dataclass(frozen=True)
class Spread:
    """The median of some measurements, and their quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def take_turns(
    measure: Mapping[str, Callable[[], float]], *, rounds: int
) -> dict[str, list[float]]:
    """Measure each in turn, so many times, and return the measurements of each.

    A first round does not count: it fills caches.
    """
    measured: dict[str, list[float]] = {name: [] for name in measure}
    for number in range(rounds + 1):
        for name, call in measure.items():
            value = call()
            if number:
                measured[name].append(value)
    return measured


def ratio(of: Sequence[float], to: Sequence[float]) -> Spread:
    """How much more one took than the other, in each round."""
    return Spread.of([each / baseline for each, baseline in zip(of, to, strict=True)])


def cpu_seconds(call: Callable[[], object], *, times: int = 1) -> Callable[[], float]:
    """Measure the CPU time of one call, in seconds, of all threads of this process."""

    def measure() -> float:
        began = time.process_time()
        for _ in range(times):
            call()
        return (time.process_time() - began) / times

    return measure


def seconds(call: Callable[[], object]) -> float:
    """Measure how long a call takes, in seconds."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def answer_requests(events: Any, service: str, answer: Callable[[Any], bytes]) -> None:
    """Answer the requests of a boto3 client or session with the bodies that a service would send.

    boto3 makes, signs and parses them as ever: only the network is missing.
    """

    def send(*, request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, 200, HTTPHeaders(), _Body(answer(request)))

    events.register_first(f"before-send.{service}", send)


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        return iter((self._content,))


def set_variables() -> None:
    """Give this process the environment variables of a function."""
    os.environ.update(VARIABLES)
