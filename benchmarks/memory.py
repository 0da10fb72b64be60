"""Measures the CPU time and the memory of each function, and what each memory size then costs.

    python -m benchmarks.memory

Each function starts in a process of its own, handles one event, and then the same event again and
again. DynamoDB is that of MiniStack, over HTTP. Printed are:

* the CPU time of the start: the interpreter, the imports, and the first event;
* the CPU time of one more event, without what is left of the start;
* the most memory that the process had (its resident set), which is what Lambda counts;
* what follows for each memory size, with a CPU that is as fast as this machine's: the start, the
  duration of a call, and its price in dollars a million.

Lambda gives a function a share of a CPU in proportion to its memory: all of one at 1,769 MB.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""

import contextlib
import io
import json
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import boto3
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from benchmarks.measuring import set_variables
from lambdas.adapters.items import settings_key
from lambdas.bootstrap import Service
from lambdas.domain.identifiers import BusinessId
from lambdas.handlers import cleanup, rest, websocket
from local.run import running_emulator
from operations.shared.local_system import ACCOUNT
from tests.builders import transition
from tests.dynamodb import create_history_table, create_table
from tests.events import Context, changed_record, rest_event, socket_event, transition_record

SIZES: Final = (128, 256, 512, 1_024)
"""Memory sizes in MB."""
ONE_CPU: Final = 1_769
"""MB of memory that come with one CPU."""
REQUEST_PRICE: Final = 0.20
"""Dollars a million requests."""
GB_SECOND_PRICE: Final = 13.33
"""Dollars a million GB-seconds, arm64."""
WAIT: Final = 5.0
"""Milliseconds that an AWS call of a function takes. Assumed."""
REPEATED: Final = 50
"""How often each event is handled after the start. A device may send 60 messages a minute."""
BUSINESSES: Final = 1_000
"""In the table that the cleanup walks; each with settings and a device."""
ISSUER: Final = "https://issuer.example"

_PROCESS: Final = r"""
import importlib, json, pathlib, re, sys, time

work = json.load(sys.stdin)

class Context:
    function_name, function_version, memory_limit_in_mb = "benchmark", "1", 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:benchmark"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self):
        return 300_000

module, _, name = work["handler"].rpartition(".")
handler = getattr(importlib.import_module("lambdas.handlers." + module), name)
context = Context()
handler(work["event"], context)
start = time.process_time()
spent = []
for _ in range(work["repeated"]):
    began = time.process_time()
    answer = handler(work["event"], context)
    spent.append(time.process_time() - began)
spent.sort()
# Not `ru_maxrss`: it counts what the parent had before this program was executed.
peak = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]
measured = {"start": start, "event": spent[len(spent) // 2], "peak": int(peak) * 1024}
print(json.dumps({**measured, "answer": json.dumps(answer)}), file=sys.stderr)
"""
"""What each process runs: the deployed handler, with nothing of this benchmark around it."""


@dataclass(frozen=True)
class Work:
    """One event of one function."""

    function: str
    handler: str
    event: dict[str, Any]
    answers: str
    """A text in the answer that shows that the event was handled, and not refused."""
    waits: int
    """AWS calls that one event makes, one after the other."""
    repeated: int = REPEATED


@dataclass(frozen=True)
class Measured:
    """What a function needs. Times are milliseconds of CPU."""

    work: Work
    start: float
    event: float
    peak_mb: float

    def duration(self, memory_mb: int) -> float:
        """Milliseconds that one call takes."""
        return self.work.waits * WAIT + self.event * ONE_CPU / memory_mb

    def start_seconds(self, memory_mb: int) -> float:
        """Seconds until the first answer of a new process."""
        return (self.work.waits * WAIT + self.start * ONE_CPU / memory_mb) / 1000

    def price(self, memory_mb: int) -> float:
        """Dollars a million calls."""
        gb_seconds = memory_mb / 1_024 * self.duration(memory_mb) / 1_000
        return REQUEST_PRICE + GB_SECOND_PRICE * gb_seconds


def measure(work: Work) -> Measured:
    """Run one function in a process of its own."""
    told = subprocess.run(
        [sys.executable, "-c", _PROCESS],
        input=json.dumps({"handler": work.handler, "event": work.event, "repeated": work.repeated}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if told.returncode:
        raise SystemExit(f"{work.function} failed:\n{told.stderr}")
    found = json.loads(told.stderr.splitlines()[-1])
    if work.answers not in found["answer"]:
        raise SystemExit(f"{work.function} answered {found['answer']}")
    return Measured(work, found["start"] * 1_000, found["event"] * 1_000, found["peak"] / 1e6)


def works(token: str) -> Iterator[Work]:
    """Yield an ordinary event of each function. The tables have a business with a device."""
    business = os.environ["BUSINESS"]
    authorizer = {"businessId": business, "userId": "u1"}
    status = rest_event(
        "GET", "/businesses/{businessId}/status", business_id=business, businesses=(business,)
    )

    def sent(device: int, action: str) -> dict[str, Any]:
        body = json.dumps({"action": action})
        return socket_event(body, connection_id=_device(device), authorizer=authorizer)

    def of_life(event_type: str) -> dict[str, Any]:
        return socket_event(
            connection_id=_device(BUSINESSES), authorizer=authorizer, event_type=event_type
        )

    caller = {
        "requestContext": {"requestId": "r1"},
        "methodArn": "arn:aws:execute-api:us-east-1:123456789012:api/v1/GET/businesses",
        "multiValueHeaders": {"Authorization": [f"Bearer {token}"]},
    }
    yield Work("Authorizer", "authorizer.handler", caller, answers='"Allow"', waits=0)
    yield Work(
        "Connect", "websocket.on_connect", of_life("CONNECT"), answers='"statusCode": 200', waits=2
    )
    yield Work("Ping", "websocket.on_ping", sent(0, "ping"), answers="pong", waits=1)
    yield Work("Status", "websocket.on_status", sent(1, "status"), answers="overallStatus", waits=2)
    yield Work(
        "DefaultRoute", "websocket.on_default", sent(2, "none"), answers="unknown_action", waits=1
    )
    yield Work(
        "Disconnect",
        "websocket.on_disconnect",
        of_life("DISCONNECT"),
        answers='"statusCode": 200',
        waits=1,
    )
    yield Work("Rest", "rest.handler", status, answers="overallStatus", waits=1)
    changed = {"Records": [changed_record(settings_key(BusinessId(business)))]}
    yield Work("Recorder", "recorder.handler", changed, answers="recorded", waits=1)
    published = {"Records": [transition_record(transition())]}
    yield Work("Publisher", "publisher.handler", published, answers='"published": 1', waits=1)
    # It reads one page of the table after the other.
    yield Work("Cleanup", "cleanup.handler", {}, answers='"complete": true', waits=4, repeated=3)


def fill_tables() -> None:
    """Make the tables, and businesses with a device each; the first has three."""
    ours = boto3.client("dynamodb")
    os.environ["TABLE_NAME"] = create_table(ours)
    os.environ["HISTORY_TABLE_NAME"] = create_history_table(ours)
    service, context = Service(os.environ), Context()
    names = [f"business-{secrets.token_hex(8)}" for _ in range(BUSINESSES)]
    names[1] = names[2] = os.environ["BUSINESS"] = names[0]
    for number, name in enumerate(names):
        event = socket_event(
            connection_id=_device(number),
            authorizer={"businessId": name, "userId": "u1"},
            event_type="CONNECT",
        )
        websocket.on_connect(event, context, service=service)
        available = rest_event(
            "PUT",
            "/businesses/{businessId}/availability",
            business_id=name,
            businesses=(name,),
            body='{"available": true}',
        )
        rest.handler(available, context, service=service)
    cleanup.handler({}, context, service=service)  # records what is new, once


def _device(number: int) -> str:
    return f"O9oRTfeA{number:07}="


@contextlib.contextmanager
def issuer() -> Iterator[str]:
    """Serve the keys of an issuer. Yields a token of it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k", "use": "sig"}
    keys = json.dumps({"keys": [jwk]}).encode()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(keys)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["OIDC_JWKS_URL"] = f"http://127.0.0.1:{server.server_port}/"
    claims = {"iss": ISSUER, "aud": "orders", "sub": "u1", "businesses": ["b1"]}
    expires = int(time.time()) + 3_600
    try:
        yield jwt.encode({**claims, "exp": expires}, key, "RS256", headers={"kid": "k"})
    finally:
        server.shutdown()


def report(found: list[Measured]) -> str:
    """Write the measurements as the table of docs/performance.md."""
    sizes = " | ".join(f"{size:,} MB" for size in SIZES)
    lines = [
        f"| function | start, CPU ms | event, CPU ms | peak MB | {sizes} |",
        "|---|---:|---:|---:|" + "---:|" * len(SIZES),
    ]
    for each in found:
        sized = " | ".join(
            f"{each.start_seconds(size):.1f} s, {each.duration(size):.0f} ms,"
            f" {each.price(size):.2f} $"
            for size in SIZES
        )
        lines.append(
            f"| {each.work.function} | {each.start:.0f} | {each.event:.1f} | {each.peak_mb:.0f} |"
            f" {sized} |"
        )
    return "\n".join(lines)


def main() -> None:
    print("measuring each function in a process of its own (about a minute)", file=sys.stderr)
    set_variables()
    with (
        tempfile.TemporaryDirectory() as state,
        running_emulator(Path(state)) as aws,
        issuer() as token,
    ):
        os.environ.update(
            {
                **aws.variables(),
                "WEBSOCKET_MANAGEMENT_URL": f"{aws.url}/_aws/execute-api/none/v1",
                "EVENT_BUS_NAME": "default",
                "DEAD_LETTERS_URL": f"{aws.url}/{ACCOUNT}/none",
                "OIDC_ISSUER": ISSUER,
                "OIDC_BUSINESS_PREFIX": "",
            }
        )
        with contextlib.redirect_stdout(io.StringIO()):  # the functions print their metrics
            logging.disable(logging.CRITICAL)
            fill_tables()
        found = [measure(work) for work in works(token)]
    print(report(found))


if __name__ == "__main__":
    main()
