"""The cleanup on a real DynamoDB API; the management API gives every call the same answer."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from lambdas.adapters.sockets import ManagementApi
from lambdas.adapters.table import Table
from lambdas.domain.brake import BRAKE_FLOOR
from lambdas.use_cases.cleanup_run import CleanupRun
from tests.builders import clean_up, devices
from tests.dynamodb import create_table

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

CONNECTIONS = 100

Run = Callable[..., CleanupRun]


class _Answering(ThreadingHTTPServer):
    status = 200
    calls = 0


@pytest.fixture
def management() -> Iterator[_Answering]:
    """An endpoint that gives every call the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            server.calls += 1
            body = json.dumps({"message": "the same for all"}).encode()
            self.send_response(server.status)
            if server.status == 410:
                self.send_header("x-amzn-ErrorType", "GoneException")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _Answering(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def table(ministack: "DynamoDBClient") -> Table:
    return Table(ministack, create_table(ministack))


@pytest.fixture
def run(table: Table, management: _Answering) -> Run:
    client = boto3.Session(
        region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    ).client(
        "apigatewaymanagementapi",
        endpoint_url=f"http://127.0.0.1:{management.server_port}",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=32),
    )
    return partial(clean_up, table, ManagementApi(client))


def _fill(table: Table, *, seen: int) -> None:
    for business in devices(range(CONNECTIONS), seen=seen):
        table.add_real(*business.real)


def _left(table: Table) -> int:
    return sum(len(business.real) for business in table.walk(0, 1))


@pytest.mark.parametrize(
    ("status", "seen", "removed"),
    [
        pytest.param(410, 400, "gone", id="a wrong endpoint says gone to everything"),
        pytest.param(204, 700, "silent", id="all clients stopped pinging"),
    ],
)
def test_no_run_closes_the_marketplace_unless_it_is_forced(
    table: Table, management: _Answering, run: Run, status: int, seen: int, removed: str
) -> None:
    management.status = status
    _fill(table, seen=seen)
    report = run().report
    assert getattr(report, removed) == BRAKE_FLOOR
    assert report.refused == CONNECTIONS - BRAKE_FLOOR
    assert _left(table) == CONNECTIONS - BRAKE_FLOOR
    assert getattr(run(force=True).report, removed) == CONNECTIONS - BRAKE_FLOOR
    assert _left(table) == 0


@pytest.mark.parametrize(("status", "seen"), [(403, 400), (429, 700), (500, 400)])
def test_an_outage_of_the_management_api_removes_nothing_and_is_counted(
    table: Table, management: _Answering, run: Run, status: int, seen: int
) -> None:
    management.status = status
    _fill(table, seen=seen)
    found = run()
    assert found.complete
    assert found.report.unknown == CONNECTIONS
    assert (found.report.gone, found.report.silent, found.report.refused) == (0, 0, 0)
    assert _left(table) == CONNECTIONS
    assert management.calls < CONNECTIONS
