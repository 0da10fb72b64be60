"""The network of a function, below botocore: every HTTP request is answered here, or goes wrong.

urllib3 hands its requests to a `Network` instead of a socket, so botocore's signing, retries,
time-outs and parsing are real. DynamoDB is MiniStack's, called in this process. The management API,
the event bus and the queue are as simple as they can be.
"""

import hashlib
import importlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock
from urllib.parse import unquote

import urllib3
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ProtocolError, ReadTimeoutError

Item = Mapping[str, Any]
Key = tuple[str, str]

_ENGINE: Final = importlib.import_module("ministack.services.dynamodb")
_ONE_AT_A_TIME: Final = threading.Lock()


class Killed(BaseException):
    """The process was killed. No code catches this, and nothing is done after it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, document: Any, **headers: str) -> "Answer":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps(document).encode(), named)

    def sent(self, length: int | None = None) -> urllib3.HTTPResponse:
        """What urllib3 makes of it; of its first bytes only, if the connection broke then."""
        body = self.body if length is None else self.body[:length]
        headers = {**self.headers, "Content-Length": str(len(self.body))}
        return urllib3.HTTPResponse(
            io.BytesIO(body),
            headers,
            self.status,
            preload_content=False,
            enforce_content_length=True,
        )


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request of a function."""

    host: str
    method: str
    path: str
    target: str
    """What the JSON protocols name their operation by."""
    body: bytes

    @property
    def service(self) -> str:
        """`dynamodb`, `events`, `sqs`, or `execute-api` for the management API."""
        return next(
            name for name in ("dynamodb", "events", "sqs", "execute-api") if name in self.host
        )

    @property
    def operation(self) -> str:
        return self.target.rpartition(".")[2] or self.method

    @property
    def has_effect(self) -> bool:
        """Whether it may change something."""
        return self.operation not in {"Query", "Scan", "GetItem", "GET"}

    @property
    def seconds(self) -> int:
        """How long a function waits for the answer: see `lambdas.bootstrap`."""
        return 2 if self.service == "execute-api" else 3

    @property
    def label(self) -> str:
        """The operation and what it is about. Equal in every run, whatever the threads do."""
        if self.service == "execute-api":
            return f"{self.method} {self.connection_id}"
        if self.service != "dynamodb":
            return self.operation
        return f"{self.operation} {_subject(json.loads(self.body))}"

    @property
    def connection_id(self) -> str:
        """The socket that a request to the management API is about."""
        return unquote(self.path.rpartition("/")[2])


def _subject(request: Mapping[str, Any]) -> str:
    """What a request of DynamoDB is about."""
    table = "history " if request.get("TableName", "").startswith("history") else ""
    if "TransactItems" in request:
        ((kind, first),) = request["TransactItems"][0].items()
        return f"{len(request['TransactItems'])}, {kind} {_subject(first)}"
    if "Segment" in request:
        return f"{request['Segment']}"
    if "KeyConditionExpression" in request:
        values = request["ExpressionAttributeValues"].values()
        where = request["IndexName"] + " " if "IndexName" in request else table
        return where + next(str(v["S"]) for v in values if "S" in v)
    key = request.get("Key") or request["Item"]
    partition, sort = key["pk"]["S"], key["sk"]["S"]
    if not partition.startswith("BUSINESS#"):  # the keys of tickets and the like are digests
        return str(partition.partition("#")[0])
    return table + partition if table else f"{partition} {sort}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with one HTTP request."""

    name: str
    is_executed: bool
    """Whether the request has its effect."""
    answer: Callable[[Request, Answer | None], urllib3.HTTPResponse]
    """What the function gets instead of the answer, or raises as urllib3 would."""
    hits: Callable[[Request], bool] = lambda request: True
    kills: bool = False
    is_late: bool = False
    """Whether the request has its effect only after the function ended."""


def _answering(**by_service: Answer) -> Callable[[Request, Answer | None], urllib3.HTTPResponse]:
    def answer(request: Request, _: Answer | None) -> urllib3.HTTPResponse:
        service = request.service.replace("-", "_")
        return (by_service.get(service) or by_service["others"]).sent()

    return answer


def _time_out(request: Request, _: Answer | None) -> urllib3.HTTPResponse:
    raise ReadTimeoutError(HTTPConnectionPool(request.host), request.path, "Read timed out.")


def _reset(request: Request, _: Answer | None) -> urllib3.HTTPResponse:
    raise ProtocolError("Connection aborted.", ConnectionResetError(104, "reset by peer"))


def _truncate(request: Request, answer: Answer | None) -> urllib3.HTTPResponse:
    assert answer is not None
    return answer.sent(len(answer.body) // 2) if answer.body else _reset(request, answer)


def _kill(request: Request, _: Answer | None) -> urllib3.HTTPResponse:
    raise Killed


def _conflict(request: Request, _: Answer | None) -> urllib3.HTTPResponse:
    if request.operation != "TransactWriteItems":
        return Answer.json(400, {"__type": "TransactionConflictException"}).sent()
    reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}]
    return Answer.json(
        400, {"__type": "TransactionCanceledException", "CancellationReasons": reasons}
    ).sent()


def _reject_entries(request: Request, _: Answer | None) -> urllib3.HTTPResponse:
    entries = [{"ErrorCode": "ThrottlingException"} for _ in json.loads(request.body)["Entries"]]
    return Answer.json(200, {"FailedEntryCount": len(entries), "Entries": entries}).sent()


def _writes_item(request: Request) -> bool:
    return request.service == "dynamodb" and request.has_effect


_THROTTLED: Final = _answering(
    execute_api=Answer.json(
        429, {"message": "Too Many Requests"}, x_amzn_ErrorType="LimitExceededException"
    ),
    dynamodb=Answer.json(400, {"__type": "ProvisionedThroughputExceededException"}),
    others=Answer.json(400, {"__type": "ThrottlingException"}),
)
THROTTLED: Final = Fault("throttled", False, _THROTTLED)
TIMED_OUT: Final = Fault("timed out", False, _time_out)
LOST_ANSWER: Final = Fault("the answer timed out", True, _time_out)
KILLED_AFTER: Final = Fault("killed after it", True, _kill, kills=True)
FAULTS: Final = (
    THROTTLED,
    LOST_ANSWER,
    KILLED_AFTER,
    Fault("killed before it", False, _kill, kills=True),
    TIMED_OUT,
    Fault("timed out and executed late", False, _time_out, is_late=True),
    Fault("reset", False, _reset),
    Fault("reset after it", True, _reset),
    Fault("truncated", True, _truncate),
    Fault(
        "error 500", False, _answering(others=Answer.json(500, {"__type": "InternalServerError"}))
    ),
    Fault("error 503 in HTML", False, _answering(others=Answer(503, b"<html>busy</html>"))),
    Fault("error 500 after it", True, _answering(others=Answer(500, b""))),
    Fault("conflict", False, _conflict, _writes_item),
    Fault(
        "in progress",
        False,
        _answering(others=Answer.json(400, {"__type": "TransactionInProgressException"})),
        lambda request: request.operation == "TransactWriteItems",
    ),
    Fault(
        "forbidden",
        False,
        _answering(
            execute_api=Answer.json(403, {"message": "Forbidden"}),
            others=Answer.json(400, {"__type": "AccessDeniedException"}),
        ),
    ),
    Fault("entries rejected", False, _reject_entries, lambda r: r.operation == "PutEvents"),
)
"""Everything that goes wrong with a request."""


class Lasting(Enum):
    """How long a fault lasts."""

    ONCE = "once"
    """botocore's first retry goes well."""
    ALWAYS = "always"
    """No retry of the request goes well, and no later request that is the same."""
    OUTAGE = "and everything after it"
    """Neither does any later request to the same service."""


@dataclass(slots=True)
class Plan:
    """Which request goes wrong, and how."""

    fault: Fault
    lasting: Lasting
    label: str
    occurrence: int
    """Among the requests with this label, from 1. botocore's retries count."""
    service: str = ""
    """The service that is down from now on."""

    def hits(self, request: Request, occurrence: int) -> bool:
        """Whether a request goes wrong."""
        if self.service:
            return request.service == self.service and self.fault.hits(request)
        if request.label != self.label or occurrence < self.occurrence:
            return False
        if self.lasting is Lasting.OUTAGE:
            self.service = request.service
        return self.lasting is not Lasting.ONCE or occurrence == self.occurrence


@dataclass(slots=True)
class Network:
    """Everything that functions can reach, and what they have done there."""

    open: set[str] = field(default_factory=set)
    """The sockets that are open."""
    received: list[tuple[str, Any]] = field(default_factory=list)
    """Sockets, and the messages that they received."""
    published: list[Any] = field(default_factory=list)
    """The details of events on the bus."""
    dead_letters: list[Any] = field(default_factory=list)
    plan: Plan | None = None
    calls: list[tuple[str, int, Request]] = field(default_factory=list)
    """The requests of the last function that ran: label, occurrence, request."""
    faults: int = 0
    """How often the plan was carried out."""
    milliseconds_left: float = float("inf")
    """Until the function that runs is killed by its time-out."""
    on_death: Callable[[], None] = lambda: None
    """Called when the function that runs is killed."""
    is_running: bool = False
    _late: list[Request] = field(default_factory=list)
    _dead: bool = False

    @contextmanager
    def running(
        self, plan: Plan | None, timeout: int, on_death: Callable[[], None]
    ) -> Iterator[None]:
        """While a function runs, with so many seconds until it is killed."""
        self.plan, self.faults, self.on_death = plan, 0, on_death
        self.milliseconds_left = timeout * 1000
        self.calls, self.is_running, self._dead = [], True, False
        try:
            yield
            if self.milliseconds_left < 0:
                self._die()
        finally:
            self.is_running, self._dead, self.milliseconds_left = False, False, float("inf")

    def arrive_late(self) -> None:
        """Execute the requests that were under way when the function ended."""
        while self._late:
            self._execute(self._late.pop(0))

    def send(self, request: Request) -> urllib3.HTTPResponse:
        """Answer one request, or fail."""
        with _ONE_AT_A_TIME:
            if self._dead or self.milliseconds_left < 0:
                self._die()
            if not self.is_running:
                return self._execute(request).sent()
            label, plan = request.label, self.plan
            occurrence = 1 + sum(label == each for each, _, _ in self.calls)
            self.calls.append((label, occurrence, request))
            if plan is None or not plan.hits(request, occurrence):
                return self._execute(request).sent()
            self.faults += 1
            if plan.fault.is_late:
                self._late.append(request)
            answer = self._execute(request) if plan.fault.is_executed else None
            if plan.fault.kills:
                self._die()
            if plan.fault.answer is _time_out:
                self.milliseconds_left -= request.seconds * 1000
            return plan.fault.answer(request, answer)

    def _die(self) -> None:
        if not self._dead:
            self._dead = True
            self.on_death()
        raise Killed

    def _execute(self, request: Request) -> Answer:
        if request.service == "dynamodb":
            return engine(request.operation, request.body)
        if request.service == "execute-api":
            return self._manage(request)
        document = json.loads(request.body)
        if request.service == "events":
            self.published += [json.loads(each["Detail"]) for each in document["Entries"]]
            return Answer.json(200, {"Entries": [{"EventId": "1"} for _ in document["Entries"]]})
        text = document["MessageBody"]
        self.dead_letters.append(json.loads(text))
        md5 = hashlib.md5(text.encode()).hexdigest()
        return Answer.json(200, {"MessageId": "1", "MD5OfMessageBody": md5})

    def _manage(self, request: Request) -> Answer:
        connection_id = request.connection_id
        if connection_id not in self.open:
            return Answer.json(410, {"message": "Gone"}, x_amzn_ErrorType="GoneException")
        if request.method == "POST":
            self.received.append((connection_id, json.loads(request.body)))
        if request.method == "DELETE":
            self.open.discard(connection_id)
            return Answer(204, b"")
        return Answer(200)


def engine(operation: str, body: bytes) -> Answer:
    """Let MiniStack's DynamoDB answer a request."""
    # It awaits nothing, so it needs no event loop.
    coroutine = _ENGINE.handle_request("POST", "/", {"x-amz-target": f".{operation}"}, body, {})
    try:
        coroutine.send(None)
    except StopIteration as end:
        status, headers, answer = end.value
        return Answer(status, answer if isinstance(answer, bytes) else answer.encode(), headers)
    raise AssertionError("the engine waits for something")


def items(table: str) -> dict[Key, Item]:
    """Everything that is stored in a table."""
    answer = json.loads(engine("Scan", json.dumps({"TableName": table}).encode()).body)
    return {(item["pk"]["S"], item["sk"]["S"]): item for item in answer["Items"]}


@contextmanager
def without_network(current: Callable[[], Network]) -> Iterator[None]:
    """Let the current `Network` answer all requests to AWS, and let waits between attempts be over
    at once.
    """
    really = HTTPConnectionPool.urlopen

    def urlopen(
        pool: HTTPConnectionPool,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Any:
        if not pool.host.endswith(".amazonaws.com"):
            return really(pool, method, url, body, headers, **more)
        target = next((v for k, v in (headers or {}).items() if k.lower() == "x-amz-target"), "")
        target = target.decode() if isinstance(target, bytes) else target
        body = body.encode() if isinstance(body, str) else body or b""
        return current().send(Request(pool.host, method, url, target, body))

    waits = SimpleNamespace(sleep=lambda seconds: None)
    with (
        mock.patch.object(HTTPConnectionPool, "urlopen", urlopen),
        mock.patch("botocore.endpoint.time", waits),
        mock.patch("lambdas.adapters.pacing.time", waits),
    ):
        yield
