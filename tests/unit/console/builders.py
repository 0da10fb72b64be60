"""A console whose CloudWatch is in memory, and a REST API that really listens."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from botocore.exceptions import ClientError
from werkzeug.test import Client

from console.alarms import Alarms
from console.application import Application, Sources
from console.deployment import Deployment
from console.devices import Devices
from console.metrics import Metrics
from console.rest import RestApi
from console.tokens import OperatorToken
from lambdas.domain.rules import Rules

PORT = 4567
HOST = f"127.0.0.1:{PORT}"
NOW = 1_800_000_000
STACK = "BusinessConnections-dev-Monitoring"

ACCESS_TOKEN = jwt.encode({"exp": 2**40}, "k" * 32)
"""What the console must never tell."""


def metric_alarm(name: str, **changes: Any) -> dict[str, Any]:
    """An alarm on a gauge of the census, as DescribeAlarms returns it."""
    return {
        "AlarmName": f"{STACK}-Alarms{name}1D234811-81765F4DEF05",
        "AlarmDescription": (
            '[dev] PAGE: Nobody hears orders. See docs/runbook.md, "Virtual without real".'
        ),
        "StateValue": "OK",
        "StateReason": "because",
        "StateUpdatedTimestamp": datetime.fromtimestamp(NOW, UTC),
        "Namespace": "BusinessConnections",
        "MetricName": "VirtualOnlyBusinesses",
        "Dimensions": [{"Name": "environment", "Value": "dev"}],
        "Period": 60,
        "Threshold": 3.0,
        **changes,
    }


@dataclass
class MemoryCloudWatch:
    """The calls that the console makes, each as one page."""

    alarms: list[dict[str, Any]] = field(
        default_factory=lambda: [metric_alarm("VirtualWithoutReal")]
    )
    values: dict[tuple[str, str | None], dict[int, float]] = field(default_factory=dict)
    """Data points by name and worker."""
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    broken: bool = False

    def get_paginator(self, operation: str) -> Any:
        return _Paginator(getattr(self, f"_{operation}"))

    def _describe_alarms(self, **request: Any) -> dict[str, Any]:
        self._asked(request)
        named = [a for a in self.alarms if a["AlarmName"].startswith(request["AlarmNamePrefix"])]
        return {
            "MetricAlarms": [alarm for alarm in named if "AlarmRule" not in alarm],
            "CompositeAlarms": [alarm for alarm in named if "AlarmRule" in alarm],
        }

    def _get_metric_data(self, **request: Any) -> dict[str, Any]:
        self._asked(request)
        results = []
        for query in request["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            assert dimensions["environment"] == "dev"
            points = self.values.get((metric["MetricName"], dimensions.get("worker")), {})
            results.append(
                {
                    "Id": query["Id"],
                    "Timestamps": [datetime.fromtimestamp(moment, UTC) for moment in points],
                    "Values": list(points.values()),
                }
            )
        return {"MetricDataResults": results}

    def _asked(self, request: Mapping[str, Any]) -> None:
        self.asked.append(request)
        if self.broken:
            raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "Any")


@dataclass(frozen=True)
class _Paginator:
    call: Callable[..., dict[str, Any]]

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        yield self.call(**request)


@dataclass
class Upstream:
    """A REST API: what it was asked, and what it answers."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    body: bytes = b'{"fine": true}'
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)


@contextmanager
def upstream() -> Iterator[Upstream]:
    """Listen until the end of the block."""
    told = Upstream()
    told.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told.asked.append((self.command, self.path, dict(self.headers), body))
            told.may_answer.wait(timeout=10)
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Stay silent: the console gave up."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        told.url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield told
        finally:
            told.may_answer.set()
            server.shutdown()
            thread.join()


def application(
    cloudwatch: MemoryCloudWatch,
    rest_url: str,
    *,
    devices: Devices | None = None,
    timeout: float = 10,
) -> Application:
    """The console of an environment `dev`."""
    client: Any = cloudwatch
    alarms = Alarms(client, stack=STACK)
    sources = Sources(
        environment_name="dev",
        region="eu-central-1",
        deployment=lambda: Deployment(deployed="abc", interval=60, rules=Rules(), feed=True),
        metrics=Metrics(client, environment_name="dev", alarms=alarms, clock=lambda: NOW),
        alarms=alarms,
        rest=RestApi(rest_url, OperatorToken(lambda: ACCESS_TOKEN), timeout=timeout),
        devices=devices,
    )
    return Application(sources, port=PORT)


class Browser:
    """Somebody with the console's page open."""

    def __init__(self, application: Application) -> None:
        self._client = Client(application)
        self.token = self.get("/").text.partition('name="console-token" content="')[2][:43]

    def get(self, path: str, **request: Any) -> Any:
        return self.ask("GET", path, **request)

    def change(self, method: str, path: str, body: object = None, **request: Any) -> Any:
        """Ask for a change, as the page does."""
        headers = {"X-Console-Token": self.token, **request.pop("headers", {})}
        data = b"" if body is None else json.dumps(body).encode()
        return self.ask(method, path, headers=headers, data=data, **request)

    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] = {}, **request: Any
    ) -> Any:
        return self._client.open(path, method=method, headers={"Host": HOST, **headers}, **request)


def points(document: Mapping[str, Any], name: str) -> Sequence[tuple[int, float | None]]:
    """The points of one series, of those that have a value."""
    return [(moment, value) for moment, value in document["series"][name] if value is not None]
