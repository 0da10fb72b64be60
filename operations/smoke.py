"""Plays the main story, in short, against a deployed environment, and leaves nothing behind.

    make smoke ENVIRONMENT=dev

A device of a test business connects, the business goes available and is online, the device pings,
the business goes unavailable, and the socket is closed. The business has an id of its own. All that
is stored of it is removed at the end, and also at the beginning in case an earlier run was killed.

The token comes from the Cognito user pool of the environment. If the environment trusts another
issuer, give a token in SMOKE_TOKEN; it must be for a member of the business SMOKE_BUSINESS
(`smoke-test` by default). SMOKE_PATIENCE is how many seconds each step may take (20 by default).
Exit codes: 0 passed, 1 failed, 2 could not begin.
"""

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from lambdas.adapters.items import business_key
from lambdas.domain.identifiers import BusinessId
from operations.shared.environment import DeployedEnvironment
from operations.shared.exit_codes import CannotBegin, exit_code

BUSINESS: Final = "smoke-test"
USER: Final = "smoke-test"
PATIENCE: Final = 20.0
"""Seconds that each step may take, enough for cold starts and for a deployment to take effect."""

T = TypeVar("T")


class SmokeFailed(Exception):
    """A step of the story did not happen. The text says which, and what was seen instead."""


def smoke(environment: DeployedEnvironment) -> str | None:
    """Play the story and print its steps. Return why it failed; None if it passed.

    Raises `CannotBegin`.
    """
    business = os.environ.get("SMOKE_BUSINESS") or BUSINESS
    try:
        with _clean_table(environment, business), _token(environment, business) as token:
            print(f"smoke test of {environment.name}")
            _Story(environment, business, token).tell()
    except SmokeFailed as failure:
        return str(failure)
    except (BotoCoreError, ClientError) as error:
        return f"AWS refused a step: {error}"
    return None


class _Story:
    def __init__(self, environment: DeployedEnvironment, business: str, token: str) -> None:
        self._rest = environment.output("Service", "RestUrl").rstrip("/")
        self._websocket = environment.output("Service", "WebSocketUrl")
        self._business = business
        self._headers = {"Authorization": f"Bearer {token}"}

    def tell(self) -> None:
        _eventually("GET /health answers 200", lambda: self._call("GET", "/health"))
        print("  healthy")
        with self._connected() as device:
            print("  a device is connected")
            self._set_available(True)
            _eventually("the business is ONLINE", lambda: self._has_status("ONLINE"))
            print("  the business is online")
            device.send(json.dumps({"action": "ping", "id": "smoke"}))
            _receive(device, "pong")
            print("  a ping is answered")
            self._set_available(False)
            _receive(device, "availability.changed")
            _wait_for_close(device)
            print("  unavailable: the device was told, and its socket closed")
        _eventually("the business is OFFLINE", lambda: self._has_status("OFFLINE"))
        print("  the business is offline")

    @contextmanager
    def _connected(self) -> Iterator[ClientConnection]:
        url = f"{self._websocket}?{urlencode({'businessId': self._business})}"

        def opened() -> ClientConnection:
            try:
                return connect(
                    url,
                    additional_headers=self._headers,
                    ping_interval=None,
                    open_timeout=_patience(),
                )
            except (OSError, WebSocketException) as error:
                raise SmokeFailed(str(error)) from error

        with _eventually(f"a device connects to {self._websocket}", opened) as device:
            yield device

    def _set_available(self, available: bool) -> None:
        def answered() -> Any:
            return self._call("PUT", self._of_business("availability"), {"available": available})

        _eventually(f"PUT availability {available} answers 200", answered)

    def _has_status(self, wanted: str) -> bool:
        seen = self._call("GET", self._of_business("status"))["overallStatus"]
        if seen != wanted:
            raise SmokeFailed(f"overallStatus is {seen}")
        return True

    def _of_business(self, resource: str) -> str:
        return f"/businesses/{self._business}/{resource}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = urllib3.request(
                method,
                f"{self._rest}{path}",
                headers={**self._headers, "Content-Type": "application/json"},
                body=None if body is None else json.dumps(body),
                timeout=_patience(),
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise SmokeFailed(f"{method} {path}: {error}") from error
        text = answer.data.decode(errors="replace")
        if answer.status != HTTPStatus.OK:
            raise SmokeFailed(f"{method} {path} answered {answer.status}: {text[:300]}")
        try:
            return json.loads(text)
        except ValueError:
            raise SmokeFailed(f"the answer to {method} {path} is not JSON: {text[:300]}") from None


def _patience() -> float:
    return float(os.environ.get("SMOKE_PATIENCE") or PATIENCE)


def _eventually(what: str, step: Callable[[], T]) -> T:
    """Try a step, which raises `SmokeFailed`, until it succeeds. Raises `SmokeFailed`."""
    deadline = time.monotonic() + _patience()
    while True:
        try:
            return step()
        except SmokeFailed as failure:
            if time.monotonic() > deadline:
                raise SmokeFailed(f"{what}: not within {_patience():g} s; {failure}") from None
            time.sleep(0.5)


def _receive(device: ClientConnection, kind: str) -> None:
    deadline = time.monotonic() + _patience()
    received: list[str] = []
    try:
        while (left := deadline - time.monotonic()) > 0:
            message = device.recv(timeout=left)
            received.append(str(message)[:300])
            if json.loads(message).get("type") == kind:
                return
    except (TimeoutError, ConnectionClosed, ValueError, AttributeError):
        pass
    raise SmokeFailed(f"the device did not receive {kind!r}, but {received or 'nothing'}")


def _wait_for_close(device: ClientConnection) -> None:
    deadline = time.monotonic() + _patience()
    with suppress(TimeoutError):
        while (left := deadline - time.monotonic()) > 0:
            try:
                device.recv(timeout=left)
            except ConnectionClosed:
                return
    raise SmokeFailed(f"the socket was not closed within {_patience():g} s")


@contextmanager
def _clean_table(environment: DeployedEnvironment, business: str) -> Iterator[None]:
    """Remove what is stored of the test business, at the beginning and at the end."""
    dynamodb, table = environment.client("dynamodb"), environment.table_name
    _remove(dynamodb, table, business)
    try:
        yield
    finally:
        _remove(dynamodb, table, business)


def _remove(dynamodb: Any, table: str, business: str) -> None:
    """Remove the settings and the connections of one business."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": business_key(BusinessId(business))},
        ProjectionExpression="pk, sk",
        ConsistentRead=True,
    )
    for page in pages:
        for key in page["Items"]:
            dynamodb.delete_item(TableName=table, Key=key)


@contextmanager
def _token(environment: DeployedEnvironment, business: str) -> Iterator[str]:
    if given := os.environ.get("SMOKE_TOKEN"):
        yield given
        return
    outputs = environment.outputs
    pool, client = outputs.get("UserPoolId"), outputs.get("UserPoolClientId")
    if pool is None or client is None:
        raise CannotBegin(
            f"{environment.name} has no user pool: give SMOKE_TOKEN, an access token of its issuer"
            f" for a member of the business {business}"
        )
    cognito = environment.client("cognito-idp")
    group = f"business:{business}"
    password = f"aA1!{secrets.token_urlsafe(24)}"
    try:
        with suppress(cognito.exceptions.UsernameExistsException):
            cognito.admin_create_user(UserPoolId=pool, Username=USER, MessageAction="SUPPRESS")
        cognito.admin_set_user_password(
            UserPoolId=pool, Username=USER, Password=password, Permanent=True
        )
        with suppress(cognito.exceptions.GroupExistsException):
            cognito.create_group(UserPoolId=pool, GroupName=group)
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=USER, GroupName=group)
        answer = cognito.admin_initiate_auth(
            UserPoolId=pool,
            ClientId=client,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": USER, "PASSWORD": password},
        )
        yield str(answer["AuthenticationResult"]["AccessToken"])
    finally:
        with suppress(cognito.exceptions.UserNotFoundException):
            cognito.admin_delete_user(UserPoolId=pool, Username=USER)
        with suppress(cognito.exceptions.ResourceNotFoundException):
            cognito.delete_group(UserPoolId=pool, GroupName=group)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make smoke", description=__doc__)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--profile", help="AWS credentials; the shell's by default")
    wanted = parser.parse_args()

    def verb() -> int:
        failure = smoke(DeployedEnvironment(wanted.environment, profile=wanted.profile))
        if failure is not None:
            print(f"{wanted.environment}: the smoke test FAILED: {failure}", file=sys.stderr)
            return 1
        print(f"{wanted.environment}: the smoke test passed")
        return 0

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
