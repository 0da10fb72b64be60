"""Measures what a handler adds to the calls of AWS that it makes.

    python -m benchmarks.handlers [--rounds 15]

The deployed handlers run in this process. The baseline is the same calls of boto3, with the same
parameters, and nothing else. In both cases boto3 makes, signs and parses its requests, and only the
network is missing. CPU time, of one process.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import boto3

from benchmarks.measuring import (
    VARIABLES,
    answer_requests,
    cpu_seconds,
    ratio,
    set_variables,
    take_turns,
)

CALLS: Final = 200
"""In each measurement."""

Call = Callable[[], object]


class Recorded:
    """The calls of boto3 that a handler makes."""

    def __init__(self, session: boto3.Session) -> None:
        self._calls: list[tuple[str, dict[str, Any]]] = []
        session.events.register("provide-client-params.dynamodb", self._record)

    def _record(self, *, params: dict[str, Any], model: Any, **_: Any) -> None:
        self._calls.append((model.name, params))

    def of(self, call: Call) -> list[tuple[str, dict[str, Any]]]:
        """The calls that one call of a handler makes."""
        self._calls.clear()
        call()
        return list(self._calls)


def table_of_one_business() -> Callable[[Any], bytes]:
    """Answer each request as a table with one business would that has a device and a lease."""
    from lambdas.adapters.items import real_item, settings_attributes, settings_key, virtual_item
    from tests.builders import B1, real, settings, virtual
    from tests.events import DEVICE

    device = real_item(real(DEVICE, user_agent="Till/4.2 (Android 14; SM-T225)"))
    items = [
        {**settings_key(B1), **settings_attributes(settings())},
        device,
        virtual_item(virtual()),
    ]
    answers = {
        "Query": {"Items": items, "Count": 3, "ScannedCount": 3},
        "UpdateItem": {"Attributes": device},
        "DeleteItem": {"Attributes": device},
        "PutItem": {},
    }
    bodies = {name: json.dumps(answer).encode() for name, answer in answers.items()}

    def answer(request: Any) -> bytes:
        return bodies[request.headers["X-Amz-Target"].decode().rpartition(".")[2]]

    return answer


def handlers(service: Any) -> dict[str, Call]:
    """A call of each handler that is measured."""
    from lambdas.handlers import rest, websocket
    from tests.events import DEVICE, MEMBER, Context, rest_event, socket_event

    context, root = Context(), "/businesses/{businessId}"

    def socket(handler: Any, body: Any = None, event_type: str = "MESSAGE") -> Call:
        headers = {"User-Agent": "Till/4.2 (Android 14; SM-T225)"}
        event = socket_event(
            json.dumps(body),
            connection_id=DEVICE,
            authorizer=MEMBER,
            event_type=event_type,
            headers=headers if event_type == "CONNECT" else None,
        )
        return lambda: succeed(handler(event, context, service=service))

    def over_rest(resource: str) -> Call:
        event = rest_event("GET", resource)
        return lambda: succeed(rest.handler(event, context, service=service))

    def succeed(answer: dict[str, Any]) -> None:
        assert answer["statusCode"] == 200, answer  # noqa: S101 - a refusal measures nothing

    return {
        "`ping`": socket(websocket.on_ping, {"action": "ping", "id": "m1"}),
        "`status` over the socket": socket(websocket.on_status, {"action": "status", "id": "m1"}),
        "`$connect`": socket(websocket.on_connect, event_type="CONNECT"),
        "`$disconnect`": socket(websocket.on_disconnect, event_type="DISCONNECT"),
        "`GET …/status`": over_rest(f"{root}/status"),
        "`GET …/online`": over_rest(f"{root}/online"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    set_variables()
    report = sys.stdout
    # Log lines and metrics are written, as in Lambda, but to nowhere.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        from lambdas.bootstrap import Service
        from tests.builders import FakeClock

        session, plain = boto3.Session(), boto3.Session()
        for each in (session, plain):
            answer_requests(each.events, "dynamodb", table_of_one_business())
        recorded = Recorded(session)
        service = Service(VARIABLES, session=session, clock=FakeClock())
        # What the methods of a client call. Its type does not have it.
        bare: Any = Service(VARIABLES, session=plain).dynamodb
        print("CPU time of a handler, against its calls of boto3 alone", file=report)
        for name, call in handlers(service).items():
            calls = recorded.of(call)

            def alone(calls: Any = calls) -> None:
                for operation, parameters in calls:
                    bare._make_api_call(operation, parameters)

            measured = take_turns(
                {
                    "handler": cpu_seconds(call, times=CALLS),
                    "alone": cpu_seconds(alone, times=CALLS),
                },
                rounds=rounds,
            )
            handler = ratio(measured["handler"], measured["alone"])
            made = ", ".join(operation for operation, _ in calls)
            print(
                f"  {name:26} {min(measured['handler']) * 1e3:5.2f} ms   {handler} × {made}",
                file=report,
            )


if __name__ == "__main__":
    main()
