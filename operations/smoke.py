"""Plays the main story, in short, against a deployed environment, and leaves nothing behind.

    make smoke ENVIRONMENT=dev

A device of a test business connects, the business goes available and is online, the device pings,
the business goes unavailable, and the socket is closed. The test business has an id of its own,
and all that is stored of it is removed at the end (and at the beginning, should an earlier run have
been killed).

The token comes from the stack's own Cognito user pool. Where an environment trusts another issuer,
SMOKE_TOKEN gives one; it must name the business SMOKE_BUSINESS (`smoke-test` by default).
SMOKE_PATIENCE is how many seconds each step may take (20 by default).
Exit codes: 0 passed, 1 failed, 2 could not begin.
"""

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from operations.deployment import Deployment, NoDeployment

BUSINESS: Final = "smoke-test"
USER: Final = "smoke-test"
PATIENCE: Final = 20.0
"""Seconds that each step may take: cold starts included, and a fresh deployment that spreads."""

Say = Callable[[str], None]
T = TypeVar("T")


class SmokeFailed(Exception):
    """A step of the story did not happen. The text says which, and what was seen instead."""


def smoke(deployment: Deployment, *, say: Say) -> None:
    """Play the story. Raises `SmokeFailed`, or `NoDeployment` if it could not begin."""
    business = os.environ.get("SMOKE_BUSINESS") or BUSINESS
    try:
        with _nothing_left(deployment, business), _token(deployment, business) as token:
            _Story(deployment.outputs, business, token, say).tell()
    except (BotoCoreError, ClientError) as error:
        raise SmokeFailed(f"AWS refused a step: {error}") from error


class _Story:
    def __init__(self, outputs: Mapping[str, str], business: str, token: str, say: Say) -> None:
        self._rest = _required(outputs, "RestUrl").rstrip("/")
        self._websocket = _required(outputs, "WebSocketUrl")
        self._business = business
        self._headers = {"Authorization": f"Bearer {token}"}
        self._say = say

    def tell(self) -> None:
        _eventually("GET /health answers 200", lambda: self._call("GET", "/health"))
        self._say("healthy")
        with self._connected() as device:
            self._say("a device is connected")
            self._set_available(True)
            _eventually("the business is ONLINE", lambda: self._has_status("ONLINE"))
            self._say("the business is online")
            device.send(json.dumps({"action": "ping", "id": "smoke"}))
            _hear(device, "pong")
            self._say("a ping is answered")
            self._set_available(False)
            _hear(device, "availability.changed")
            _hear_the_end(device)
            self._say("unavailable: the device was told, and its socket closed")
        _eventually("the business is OFFLINE", lambda: self._has_status("OFFLINE"))
        self._say("the business is offline")

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
            raise SmokeFailed(f"{method} {path} answered no JSON: {text[:300]}") from None


def _patience() -> float:
    return float(os.environ.get("SMOKE_PATIENCE") or PATIENCE)


def _eventually(what: str, step: Callable[[], T]) -> T:
    """Try until it succeeds; a step that has not, raises `SmokeFailed`."""
    deadline = time.monotonic() + _patience()
    while True:
        try:
            return step()
        except SmokeFailed as failure:
            if time.monotonic() > deadline:
                raise SmokeFailed(f"{what}: not within {_patience():g} s; {failure}") from None
            time.sleep(0.5)


def _hear(device: ClientConnection, kind: str) -> None:
    deadline = time.monotonic() + _patience()
    heard: list[str] = []
    try:
        while (left := deadline - time.monotonic()) > 0:
            message = device.recv(timeout=left)
            heard.append(str(message)[:300])
            if json.loads(message).get("type") == kind:
                return
    except (TimeoutError, ConnectionClosed, ValueError, AttributeError):
        pass
    raise SmokeFailed(f"the device did not hear {kind!r}, but {heard or 'nothing'}")


def _hear_the_end(device: ClientConnection) -> None:
    deadline = time.monotonic() + _patience()
    with suppress(TimeoutError):
        while (left := deadline - time.monotonic()) > 0:
            try:
                device.recv(timeout=left)
            except ConnectionClosed:
                return
    raise SmokeFailed(f"the socket was not closed within {_patience():g} s")


@contextmanager
def _nothing_left(deployment: Deployment, business: str) -> Iterator[None]:
    dynamodb = deployment.client("dynamodb")
    table = _required(deployment.outputs, "TableName")
    _forget(dynamodb, table, business)
    try:
        yield
    finally:
        _forget(dynamodb, table, business)


def _forget(dynamodb: Any, table: str, business: str) -> None:
    """Remove the settings and the connections of the test business, and nothing else."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"BUSINESS#{business}"}},
        ProjectionExpression="pk, sk",
        ConsistentRead=True,
    )
    for page in pages:
        for key in page["Items"]:
            dynamodb.delete_item(TableName=table, Key=key)


@contextmanager
def _token(deployment: Deployment, business: str) -> Iterator[str]:
    if given := os.environ.get("SMOKE_TOKEN"):
        yield given
        return
    outputs = deployment.outputs
    pool, client = outputs.get("UserPoolId"), outputs.get("UserPoolClientId")
    if pool is None or client is None:
        raise NoDeployment(
            f"{deployment.environment} brings no user pool: give SMOKE_TOKEN, an access token of"
            f" its issuer for a member of the business {business}"
        )
    cognito = deployment.client("cognito-idp")
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


def _required(outputs: Mapping[str, str], name: str) -> str:
    if name not in outputs:
        raise NoDeployment(f"the stacks have no output {name}: deploy them again")
    return outputs[name]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make smoke", description=__doc__)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--profile", help="AWS credentials; the shell's by default")
    wanted = parser.parse_args()
    try:
        deployment = Deployment(wanted.environment, profile=wanted.profile)
        smoke(deployment, say=lambda line: print(f"  {line}", flush=True))
    except NoDeployment as error:
        print(error, file=sys.stderr)
        return 2
    except SmokeFailed as failure:
        print(f"{wanted.environment}: the smoke test FAILED: {failure}", file=sys.stderr)
        return 1
    print(f"{wanted.environment}: the smoke test passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
