"""Counts what each operation costs at AWS: DynamoDB calls, capacity units and socket calls.

    DYNAMODB_LOCAL_URL=http://127.0.0.1:8000 python -m benchmarks.requests

The deployed handlers run in this process, with tables like the deployed ones. With
`DYNAMODB_LOCAL_URL`, the URL of DynamoDB Local, AWS's own engine reports the capacity that each
call consumed. Without it, only calls are counted. Prints the table of docs/costs.md.
"""

import contextlib
import io
import json
import logging
import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import boto3

from benchmarks.measuring import answer_requests, set_variables
from tests.dynamodb import create_history_table, create_table
from tests.events import DEVICE, Context, changed_record, rest_event, socket_event

READS: Final = ("Query", "Scan", "GetItem")
BUSINESSES: Final = 1_000
"""In the table that the cleanup walks; each with settings, a device and a lease."""
USER_AGENT: Final = "Till/4.2 (Android 14; SM-T225)"
"""What each device calls itself."""
HOURS: Final = {
    "timeZone": "Europe/Berlin",
    "weekly": {
        day: [["11:00", "14:00"], ["17:00", "22:00"]]
        for day in ("tu", "we", "th", "fr", "sa", "su")
    },
    "exceptions": {},
}
"""Ordinary opening hours, stored as about 300 bytes."""

_QUIET: Final = {
    "POWERTOOLS_METRICS_DISABLED": "true",
    "POWERTOOLS_TRACE_DISABLED": "true",
}


@dataclass
class Meter:
    """The calls of AWS since the last reset."""

    calls: Counter[str] = field(default_factory=Counter)
    read_units: float = 0.0
    write_units: float = 0.0

    def attach(self, session: boto3.Session) -> None:
        session.events.register("before-parameter-build.dynamodb", self._ask_for_capacity)
        session.events.register("after-call.dynamodb", self._count)
        # Answer calls of sockets here, as if every socket were open: nothing leaves this machine.
        answer_requests(session.events, "apigatewaymanagementapi", self._answer)

    def reset(self) -> None:
        self.calls.clear()
        self.read_units = self.write_units = 0.0

    def _ask_for_capacity(self, *, params: dict[str, Any], model: Any, **_: Any) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"
        if model.name == "TransactWriteItems":
            # DynamoDB Local reports one item of each table only. AWS bills two units for each item
            # of up to 1 KB. None of these items is larger, and none changes an index.
            self.write_units += 2 * len(params["TransactItems"])

    def _count(self, *, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls[model.name] += 1
        if model.name == "TransactWriteItems":
            return
        units = parsed.get("ConsumedCapacity", {}).get("CapacityUnits", 0)
        if model.name in READS:
            self.read_units += units
        else:
            self.write_units += units

    def _answer(self, request: Any) -> bytes:
        self.calls[f"{request.method} @connections"] += 1
        return b"{}"


@dataclass(frozen=True)
class Measured:
    """What one operation costs."""

    operation: str
    calls: dict[str, int]
    read_units: float
    write_units: float


def measure(*, businesses: int) -> list[Measured]:
    """Play the life of a business, then a cleanup, and measure each step."""
    from lambdas.adapters.items import settings_key
    from lambdas.bootstrap import Service
    from lambdas.domain.identifiers import BusinessId
    from lambdas.handlers import authorizer, cleanup, recorder, rest, websocket

    meter, context = Meter(), Context()
    session = boto3.Session()
    ours = boto3.Session().client("dynamodb")
    os.environ["TABLE_NAME"] = create_table(ours)
    os.environ["HISTORY_TABLE_NAME"] = create_history_table(ours)
    meter.attach(session)
    service = Service(os.environ, session=session)
    business = f"business-{secrets.token_hex(8)}"
    root = "/businesses/{businessId}"
    found: list[Measured] = []

    def step(operation: str, call: Callable[[], Any]) -> Any:
        meter.reset()
        answer = call()
        status = answer.get("statusCode", 200)
        assert status < 300, (operation, answer)  # noqa: S101 - a refused call would measure nothing
        found.append(Measured(operation, dict(meter.calls), meter.read_units, meter.write_units))
        return answer

    def over_rest(
        method: str, resource: str, body: Any = None, *, role: str = "", business: str = business
    ) -> Any:
        event = rest_event(
            method,
            resource,
            business_id=business,
            body=None if body is None else json.dumps(body),
            businesses=(business,),
            roles=(role,) if role else (),
        )
        return rest.handler(event, context, service=service)

    def over_socket(
        handler: Callable[..., Any],
        body: Any = None,
        *,
        event_type: str = "MESSAGE",
        device: str = DEVICE,
        business: str = business,
    ) -> Any:
        event = socket_event(
            json.dumps(body),
            connection_id=device,
            authorizer={"businessId": business, "userId": "u1"},
            event_type=event_type,
            headers={"User-Agent": USER_AGENT} if event_type == "CONNECT" else None,
        )
        return handler(event, context, service=service)

    def record(business_id: str) -> Any:
        records = [changed_record(settings_key(BusinessId(business_id)))]
        return recorder.handler({"Records": records}, context, service=service)

    available = f"{root}/availability"
    over_rest("PUT", available, {"available": False})  # its first declaration
    step("`$connect`", lambda: over_socket(websocket.on_connect, event_type="CONNECT"))
    record(business)
    step("`PUT …/availability` true", lambda: over_rest("PUT", available, {"available": True}))
    record(business)
    step(
        "`PUT …/availability` true again, which renews the lease",
        lambda: over_rest("PUT", available, {"available": True}),
    )
    step("`ping`", lambda: over_socket(websocket.on_ping, {"action": "ping"}))
    step("`status` over the socket", lambda: over_socket(websocket.on_status, {"action": "status"}))
    step("`GET …/status`", lambda: over_rest("GET", f"{root}/status"))
    step("`GET …/online`", lambda: over_rest("GET", f"{root}/online"))
    record(business)
    over_socket(websocket.on_disconnect, event_type="DISCONNECT")
    step("recorder, one transition", lambda: record(business))
    step("recorder, a change that is no transition", lambda: record(business))
    step("`GET …/history`", lambda: over_rest("GET", f"{root}/history"))
    over_socket(websocket.on_connect, event_type="CONNECT")
    record(business)
    step("`PUT …/opening-hours`", lambda: over_rest("PUT", f"{root}/opening-hours", HOURS))
    message = {"order": "1", "items": ["x" * 500]}
    step(
        "`POST …/messages`, one device",
        lambda: over_rest("POST", f"{root}/messages", message, role="backend"),
    )
    ticket = step("`POST …/tickets`", lambda: over_rest("POST", f"{root}/tickets"))
    handshake = {
        "requestContext": {"eventType": "CONNECT", "requestId": "r1"},
        "methodArn": "arn:aws:execute-api:us-east-1:123456789012:api/v1/$connect",
        "multiValueHeaders": {},
        "multiValueQueryStringParameters": {"ticket": [json.loads(ticket["body"])["ticket"]]},
    }
    step(
        "authorizer, with a ticket", lambda: authorizer.handler(handshake, context, service=service)
    )
    record(business)
    step("`PUT …/availability` false", lambda: over_rest("PUT", available, {"available": False}))
    over_socket(websocket.on_connect, event_type="CONNECT")
    step("`$disconnect`", lambda: over_socket(websocket.on_disconnect, event_type="DISCONNECT"))

    names = [f"business-{secrets.token_hex(8)}" for _ in range(businesses)]
    for number, name in enumerate(names):
        device = f"O9oRTfeA{number:07}="
        over_socket(websocket.on_connect, event_type="CONNECT", device=device, business=name)
        over_rest("PUT", available, {"available": True}, business=name)
    for name in (business, *names):  # one by one: moto takes no transactions in several threads
        record(name)
    healthy = f"cleanup, {businesses:,} healthy businesses"
    step(healthy, lambda: cleanup.handler({}, context, service=service))
    for name in names:
        over_rest("PUT", f"{root}/opening-hours", HOURS, business=name)
    for name in names:
        record(name)
    step(f"{healthy} with opening hours", lambda: cleanup.handler({}, context, service=service))
    for table_name in ("TABLE_NAME", "HISTORY_TABLE_NAME"):
        ours.delete_table(TableName=os.environ[table_name])
    return found


@contextlib.contextmanager
def _table_engine() -> Iterator[bool]:
    """Use DynamoDB Local, which reports capacity, or moto in this process, which does not."""
    if url := os.environ.get("DYNAMODB_LOCAL_URL"):
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = url
        yield True
        return
    from moto import mock_aws

    with mock_aws():
        yield False


def table(measured: list[Measured], *, capacity: bool) -> str:
    """Write the measurements as the table of docs/costs.md."""
    lines = [
        "| operation | DynamoDB calls | read units | write units | socket calls |",
        "|---|---|---:|---:|---|",
    ]
    for each in measured:
        ours = {name: n for name, n in each.calls.items() if "@" not in name}
        theirs = {name.partition(" ")[0]: n for name, n in each.calls.items() if "@" in name}
        units = [f"{u:g}" if capacity else "?" for u in (each.read_units, each.write_units)]
        lines.append(
            f"| {each.operation} | {_list(ours)} | {' | '.join(units)} | {_list(theirs)} |"
        )
    return "\n".join(lines)


def _list(calls: dict[str, int]) -> str:
    return ", ".join(f"{n} × {name}" if n > 1 else name for name, n in calls.items()) or "none"


def main() -> None:
    set_variables()
    os.environ.update(_QUIET)
    print("playing the life of a business, and a cleanup (up to 30 s)", file=sys.stderr)
    logging.disable(logging.CRITICAL)
    # The functions print their metrics.
    with _table_engine() as capacity, contextlib.redirect_stdout(io.StringIO()):
        measured = measure(businesses=BUSINESSES if capacity else 10)
    print(table(measured, capacity=capacity))


if __name__ == "__main__":
    main()
