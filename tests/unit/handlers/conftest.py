"""A `Service` in this process, as a deployed function has it, with a table in `moto`."""

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend
from moto.dynamodb.responses import DynamoHandler

from lambdas.adapters.table import Table
from lambdas.bootstrap import Service
from lambdas.domain.identifiers import CANARY
from lambdas.domain.model import Business
from lambdas.handlers import canary
from lambdas.handlers.entry_point import EntryPoint, Event, logger
from tests.builders import FakeClock
from tests.dynamodb import create_history_table, create_table
from tests.events import Context
from tests.fake_apis import ISSUED, FakeApis, fake_apis

VARIABLES = {
    "ENVIRONMENT": "test",
    "WEBSOCKET_MANAGEMENT_URL": "https://api.execute-api.us-east-1.amazonaws.com/test",
    "PING_INTERVAL": "300",
    "PING_GRACE": "60",
    "VIRTUAL_LEASE": "43200",
    "ATTENTION_GRACE": "300",
    "MAX_REAL_CONNECTIONS": "2",
}

ACCOUNT = "123456789012"

HOOK_STATUS = "PutLifecycleEventHookExecutionStatus"
"""The operation that tells CodeDeploy whether a new version may take over."""

Calls = list[tuple[str, dict[str, Any]]]
"""Calls to AWS: operations and their parameters."""


@dataclass
class Deployed:
    """A deployed function, from the inside. Its clock stands still until a test moves it."""

    environ: dict[str, str]
    service: Service
    clock: FakeClock
    calls: Calls
    log: io.StringIO
    client: Any
    """A client for the tests' own use. Its calls are not in `calls`."""
    context: Context = field(default_factory=Context)

    def invoke(self, handler: EntryPoint, event: Event) -> dict[str, Any]:
        """Call a handler as Lambda does."""
        return handler(event, self.context, service=self.service)

    @property
    def table_name(self) -> str:
        """The name of the table of businesses."""
        return self.environ["TABLE_NAME"]

    @property
    def store(self) -> Table:
        """The table, for the tests' own use."""
        return Table(self.client, self.table_name)

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The log lines, parsed as JSON."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    @property
    def operations(self) -> list[str]:
        """The AWS operations that the handlers called, in order."""
        return [operation for operation, _ in self.calls]

    def seed(self, *businesses: Business) -> None:
        """Put whole businesses into the table."""
        for business in businesses:
            if business.settings is not None:
                empty = Business(business.business_id, None, (), ())
                self.store.write_settings(empty, business.settings, put=business.virtual)
                stored = self.store.load(business.business_id)
                self.store.mark_episode(stored, business.settings.episode)
            for connection in business.real:
                self.store.add_real(connection)

    def sent(self) -> list[Any]:
        """The messages that were posted to sockets, parsed as JSON."""
        posts = [params for name, params in self.calls if name == "PostToConnection"]
        return [json.loads(post["Data"]) for post in posts]

    def items(self) -> list[dict[str, Any]]:
        """Everything that is stored, apart from the history."""
        return list(self.client.scan(TableName=self.table_name)["Items"])


def _session() -> boto3.Session:
    return boto3.Session("test", "test", region_name="us-east-1")


@cache
def unrecorded(service: str) -> Any:
    """A client for the tests' own use. Its calls are not recorded."""
    return _session().client(service)  # type: ignore[call-overload]  # of any service


@pytest.fixture(scope="session")
def recording() -> tuple[boto3.Session, Calls]:
    """A session whose clients record their calls. One for all tests, so that models load once."""
    calls: Calls = []

    def record(*, params: dict[str, Any], model: Any, **_: Any) -> None:
        calls.append((model.name, params))

    def accept(**_: Any) -> Any:
        return SimpleNamespace(status_code=200), {}

    session = _session()
    session.events.register("before-parameter-build", record)
    # `moto` does not know this operation.
    session.events.register(f"before-call.codedeploy.{HOOK_STATUS}", accept)
    return session, calls


@pytest.fixture(scope="session", autouse=True)
def one_call_at_a_time() -> Iterator[None]:
    """A transaction in `moto` loses what another thread writes meanwhile. DynamoDB's does not."""
    call, lock = DynamoHandler.call_action, threading.Lock()

    def alone(handler: DynamoHandler) -> Any:
        with lock:
            return call(handler)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DynamoHandler, "call_action", alone)
        yield


@dataclass(frozen=True)
class Account:
    """An AWS account in `moto`, with the two tables."""

    table: str
    history_table: str

    def clear(self) -> None:
        """Remove all that a test stored."""
        for table in get_backend("dynamodb")[ACCOUNT]["us-east-1"].tables.values():
            table.items.clear()
        for service in ("events", "secretsmanager", "sqs"):
            get_backend(service)[ACCOUNT].reset()


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account for the tests of a module: `moto` takes its time to start and to make tables."""
    with mock_aws():
        client = unrecorded("dynamodb")
        yield Account(create_table(client), create_history_table(client))


@pytest.fixture
def deployed(
    monkeypatch: pytest.MonkeyPatch, recording: tuple[boto3.Session, Calls], account: Account
) -> Deployed:
    """A function with an empty table."""
    account.clear()
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    session, calls = recording
    clock = FakeClock()
    environ = {
        **VARIABLES,
        "TABLE_NAME": account.table,
        "HISTORY_TABLE_NAME": account.history_table,
        "HISTORY_DAYS": "90",
        "EVENT_BUS_NAME": "bus",
        "DEAD_LETTERS_URL": f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/dead-letters",
    }
    calls.clear()
    service = Service(environ, clock=clock, session=session)
    return Deployed(environ, service, clock, calls, log, unrecorded("dynamodb"))


@pytest.fixture
def feed(deployed: Deployed) -> Deployed:
    """A function with an empty table, a bus for its events, and a queue for its dead letters."""
    unrecorded("events").create_event_bus(Name="bus")
    unrecorded("sqs").create_queue(QueueName="dead-letters")
    return deployed


FORM = {"grant_type": "client_credentials", "client_id": "canary", "client_secret": "s3cret&more"}


def new_secret() -> str:
    """Make the secret of a credential, as a deployment does: empty. Returns its ARN."""
    return str(unrecorded("secretsmanager").create_secret(Name="canary")["ARN"])


def put_secret(value: Any, secret: str) -> None:
    text = json.dumps(value)
    unrecorded("secretsmanager").put_secret_value(SecretId=secret, SecretString=text)


@pytest.fixture
def pool_user(recording: tuple[boto3.Session, Any]) -> Iterator[dict[str, str]]:
    """The credential of a user in a user pool, which `moto` cannot play here."""
    session, _ = recording
    credential = {"userPoolId": "p", "clientId": "c", "username": CANARY, "password": "right"}

    def answer(params: dict[str, Any], **_: Any) -> Any:
        asked = json.loads(params["body"])
        assert (asked["UserPoolId"], asked["ClientId"]) == ("p", "c")
        if asked["AuthParameters"] == {"USERNAME": CANARY, "PASSWORD": "right"}:
            return SimpleNamespace(status_code=200), {
                "AuthenticationResult": {"AccessToken": ISSUED}
            }
        refusal = {"Code": "NotAuthorizedException", "Message": "Incorrect username or password."}
        return SimpleNamespace(status_code=400), {"Error": refusal}

    name = "before-call.cognito-identity-provider.AdminInitiateAuth"
    session.events.register(name, answer)
    yield credential
    session.events.unregister(name, answer)


@pytest.fixture
def apis() -> Iterator[FakeApis]:
    with fake_apis() as running:
        yield running


@pytest.fixture
def playing(deployed: Deployed, apis: FakeApis, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """The canary of these APIs, with a client of their issuer as its credential."""
    monkeypatch.setattr(canary, "TIMEOUT", 0.5)
    secret = new_secret()
    put_secret({"tokenUrl": apis.token_url, "form": FORM}, secret)
    deployed.environ |= {
        "REST_URL": apis.rest_url,
        "WEBSOCKET_URL": apis.websocket_url,
        "CREDENTIAL_ARN": secret,
    }
    return deployed
