"""Builds the object graph of a function: once, lazily, and from its environment alone.

Each part is built when it is first asked for, so that a function pays at its cold start only for
what it uses. Tests build the same parts with a store and sockets of their own.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Self

from lambdas.adapters.pacing import TokenBucket, wait_with_jitter
from lambdas.domain.model import Instant
from lambdas.domain.rules import Rules

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from lambdas.adapters.idempotency import IdempotentCalls
    from lambdas.adapters.sockets import ManagementApi
    from lambdas.adapters.table import Table
    from lambdas.adapters.tokens import TokenVerifier
    from lambdas.domain.attention import Trouble
    from lambdas.domain.availability import Availability
    from lambdas.domain.cleanup import Cleanup
    from lambdas.domain.messaging import Messaging
    from lambdas.domain.operators import Operators
    from lambdas.domain.presence import Presence
    from lambdas.domain.settings import SettingsWriter
    from lambdas.domain.status import StatusReader
    from lambdas.domain.tickets import Tickets

_MANAGEMENT_CALLS_PER_SECOND: Final = 500
"""Of the 10,000 requests a second that all APIs of an account and region share."""


_MARKS_PER_SECOND: Final = 300
"""Of the 1,000 writes a second that one key of the attention index takes, for several workers."""


class MissingConfiguration(Exception):
    """The function was deployed without something it needs. Names all that is missing."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a deployment tells its functions."""

    environment: str
    table_name: str
    websocket_management_url: str
    rules: Rules

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read it from environment variables, or raise `MissingConfiguration`."""
        read = _Reader(environ)
        configuration = cls(
            environment=read.text("ENVIRONMENT"),
            table_name=read.text("TABLE_NAME"),
            websocket_management_url=read.text("WEBSOCKET_MANAGEMENT_URL"),
            rules=Rules(
                ping_interval=read.whole_number("PING_INTERVAL"),
                ping_grace=read.whole_number("PING_GRACE"),
                virtual_lease=read.whole_number("VIRTUAL_LEASE"),
                attention_grace=read.whole_number("ATTENTION_GRACE"),
                max_real_connections=read.whole_number("MAX_REAL_CONNECTIONS"),
            ),
        )
        read.check()
        return configuration


class _Reader:
    """Reads variables and collects the problems, so that one error names them all."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[str] = []

    def text(self, name: str) -> str:
        value = self._environ.get(name, "")
        if not value:
            self._problems.append(f"{name} is not set")
        return value

    def whole_number(self, name: str) -> int:
        value = self.text(name)
        if value and not value.isdecimal():
            self._problems.append(f"{name} is {value!r}, and must be a whole number")
        return int(value) if value.isdecimal() else 0

    def check(self) -> None:
        if self._problems:
            raise MissingConfiguration("; ".join(self._problems))


def now() -> Instant:
    """The wall clock, in whole seconds since the epoch."""
    return int(time.time())


@cache
def configuration() -> Configuration:
    return Configuration.from_environ(os.environ)


@cache
def _dynamodb() -> "DynamoDBClient":
    import boto3
    from botocore.config import Config

    # The largest answer is one page (1 MB). A call that takes longer than this will not be waited
    # for by API Gateway either (29 s, with the retries).
    config = Config(
        connect_timeout=1,
        read_timeout=3,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=32,
    )
    return boto3.client("dynamodb", config=config)


@cache
def store() -> "Table":
    from lambdas.adapters.table import Table

    return Table(_dynamodb(), configuration().table_name)


@cache
def sockets() -> "ManagementApi":
    import boto3
    from botocore.config import Config

    from lambdas.adapters.sockets import ManagementApi

    config = Config(
        connect_timeout=1,
        read_timeout=2,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=32,
    )
    url = configuration().websocket_management_url
    return ManagementApi(boto3.client("apigatewaymanagementapi", endpoint_url=url, config=config))


@cache
def presence() -> "Presence":
    from lambdas.domain.presence import Presence

    return Presence(store(), configuration().rules, now)


@cache
def status_reader() -> "StatusReader":
    from lambdas.domain.status import StatusReader

    return StatusReader(store(), configuration().rules, now)


@cache
def availability() -> "Availability":
    from lambdas.domain.availability import Availability

    return Availability(store(), sockets(), configuration().rules, now, wait_with_jitter)


@cache
def settings_writer() -> "SettingsWriter":
    from lambdas.domain.settings import SettingsWriter

    return SettingsWriter(store(), configuration().rules, now, wait_with_jitter)


@cache
def tickets() -> "Tickets":
    import secrets

    from lambdas.domain.tickets import SECRET_BYTES, Tickets

    return Tickets(store(), now, new_secret=lambda: secrets.token_urlsafe(SECRET_BYTES))


@cache
def messaging() -> "Messaging":
    from lambdas.domain.messaging import Messaging

    return Messaging(store(), sockets(), configuration().rules, now, wait_with_jitter)


@cache
def idempotent_calls() -> "IdempotentCalls":
    from lambdas.adapters.idempotency import IdempotentCalls

    return IdempotentCalls(_dynamodb(), configuration().table_name)


@cache
def operators() -> "Operators":
    from lambdas.domain.operators import Operators

    return Operators(store(), sockets(), configuration().rules, now)


@cache
def cleanup(tell: "Callable[[Trouble], None]") -> "Cleanup":
    from lambdas.domain.cleanup import Cleanup

    calls = TokenBucket(_MANAGEMENT_CALLS_PER_SECOND, burst=_MANAGEMENT_CALLS_PER_SECOND // 10)
    marks = TokenBucket(_MARKS_PER_SECOND, burst=_MARKS_PER_SECOND // 10)
    return Cleanup(
        store(),
        sockets(),
        configuration().rules,
        now,
        tell=tell,
        pace=calls.take,
        pace_marks=marks.take,
    )


@cache
def token_verifier() -> "TokenVerifier":
    from lambdas.adapters.tokens import Issuer, TokenVerifier

    read = _Reader(os.environ)
    issuer = Issuer(
        issuer=read.text("OIDC_ISSUER"),
        audience=read.text("OIDC_AUDIENCE"),
        jwks_url=read.text("OIDC_JWKS_URL"),
        user_claim=read.text("OIDC_USER_CLAIM"),
        businesses_claim=read.text("OIDC_BUSINESSES_CLAIM"),
        roles_claim=read.text("OIDC_ROLES_CLAIM"),
        business_prefix=os.environ.get("OIDC_BUSINESS_PREFIX", ""),
    )
    read.check()
    return TokenVerifier(issuer)
