"""A function's environment in this process: its variables, and a table in `moto`."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from moto import mock_aws

from lambdas import bootstrap
from lambdas.adapters.table import Table
from lambdas.domain.model import Business
from lambdas.domain.ports import Store
from lambdas.handlers.telemetry import logger
from tests.dynamodb import create_table

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "ENVIRONMENT": "test",
    "WEBSOCKET_MANAGEMENT_URL": "https://api.execute-api.us-east-1.amazonaws.com/test",
    "PING_INTERVAL": "300",
    "PING_GRACE": "60",
    "VIRTUAL_LEASE": "43200",
    "ATTENTION_GRACE": "300",
    "MAX_REAL_CONNECTIONS": "2",
}

_PARTS = (
    bootstrap.configuration,
    bootstrap.store,
    bootstrap.sockets,
    bootstrap.presence,
    bootstrap.status_reader,
    bootstrap.availability,
    bootstrap.settings_writer,
    bootstrap.tickets,
    bootstrap.messaging,
    bootstrap.idempotent_calls,
    bootstrap.operators,
    bootstrap.cleanup,
    bootstrap._dynamodb,
)


Calls = list[tuple[str, dict[str, Any]]]
"""What was asked of AWS: operations and their parameters."""


class Context(LambdaContext):
    """As much of a Lambda context as the handlers use."""

    _function_name = "test"
    _function_version = "7"
    _memory_limit_in_mb = 256
    _invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:test"
    _aws_request_id = "request-1"
    milliseconds_left = 300_000

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override] # static over there
        return self.milliseconds_left


@dataclass
class Deployed:
    """A deployed function, from the inside."""

    store: Store
    client: Any
    table_name: str
    calls: Calls
    log: io.StringIO

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """What was logged, as the JSON documents that it is."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    @property
    def operations(self) -> list[str]:
        """The AWS operations that the handlers asked for, in order."""
        return [operation for operation, _ in self.calls]

    def seed(self, *businesses: Business) -> None:
        """Put whole businesses into the table."""
        for business in businesses:
            if business.settings is not None:
                empty = Business(business.business_id, None, (), ())
                self.store.write_settings(empty, business.settings, put=business.virtual)
            for connection in business.real:
                self.store.add_real(connection)

    def items(self) -> list[dict[str, Any]]:
        """Everything that is stored."""
        return list(self.client.scan(TableName=self.table_name)["Items"])


@pytest.fixture(scope="session")
def recording() -> tuple[boto3.Session, Calls]:
    """A session whose clients record what they are asked for. One, so that models load once."""
    calls: Calls = []

    def record(*, params: dict[str, Any], model: Any, **_: Any) -> None:
        calls.append((model.name, params))

    session = boto3.Session()
    session.events.register("before-parameter-build", record)
    return session, calls


@pytest.fixture(scope="session")
def unrecorded() -> Any:
    """A client for the tests' own use, whose calls are not the handlers'."""
    return boto3.Session().client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def deployed(
    monkeypatch: pytest.MonkeyPatch,
    recording: tuple[boto3.Session, Calls],
    unrecorded: Any,
) -> Iterator[Deployed]:
    """A function with an empty table."""
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        table_name = create_table(unrecorded)
        monkeypatch.setenv("TABLE_NAME", table_name)
        session, calls = recording
        calls.clear()
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
        yield Deployed(Table(unrecorded, table_name), unrecorded, table_name, calls, log)
    for part in _PARTS:
        part.cache_clear()
