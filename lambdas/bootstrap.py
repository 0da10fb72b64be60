"""Builds the parts of a function from its environment variables, each once and when first used."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from lambdas import variables
from lambdas.adapters.pacing import TokenBucket, wait_with_jitter
from lambdas.domain.model import Business, Clock, Instant
from lambdas.domain.rules import Rules

if TYPE_CHECKING:
    from boto3 import Session
    from botocore.config import Config
    from types_boto3_dynamodb import DynamoDBClient

    from lambdas.adapters.credential import Credential
    from lambdas.adapters.dead_letters import DeadLetters
    from lambdas.adapters.event_bus import EventBus
    from lambdas.adapters.history import HistoryTable
    from lambdas.adapters.idempotency import IdempotentCalls
    from lambdas.adapters.metrics import Metrics
    from lambdas.adapters.sockets import ManagementApi
    from lambdas.adapters.table import Table
    from lambdas.adapters.tokens import TokenVerifier
    from lambdas.use_cases.admission import Admission
    from lambdas.use_cases.availability import Availability
    from lambdas.use_cases.cleanup import Cleanup
    from lambdas.use_cases.history import HistoryReader
    from lambdas.use_cases.operators import Operators
    from lambdas.use_cases.presence import Presence
    from lambdas.use_cases.push_messages import Messaging
    from lambdas.use_cases.recorder import Recorder
    from lambdas.use_cases.settings import SettingsWriter
    from lambdas.use_cases.status import StatusReader
    from lambdas.use_cases.tickets import Tickets

MANAGEMENT_CALLS_PER_SECOND: Final = 500
"""Calls that one cleanup makes to the management API. All APIs of an account and region share
10,000 requests a second.
"""

MARKS_PER_SECOND: Final = 300
"""Attention marks that one cleanup writes. All marks share two keys of the attention index, and one
key takes 1,000 writes a second from all workers together.
"""

TRANSITIONS_PER_SECOND: Final = 500
"""Transitions that one cleanup records. Each takes 4 write units."""


class MissingConfiguration(Exception):
    """Environment variables are missing or wrong. The message names all of them."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings that every function gets from its deployment."""

    environment: str
    table_name: str
    websocket_management_url: str
    rules: Rules

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read environment variables. Raises `MissingConfiguration`."""
        read = _Reader(environ)
        configuration = cls(
            environment=read.text(variables.ENVIRONMENT),
            table_name=read.text(variables.TABLE_NAME),
            websocket_management_url=read.text(variables.WEBSOCKET_MANAGEMENT_URL),
            # The variable of each rule is its name in capitals: PING_INTERVAL, PING_GRACE, …
            rules=Rules(
                **{rule.name: read.whole_number(rule.name.upper()) for rule in fields(Rules)}
            ),
        )
        read.check()
        return configuration


class _Reader:
    """Reads environment variables and collects what is wrong, so that one error names it all."""

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
            self._problems.append(f"{name} is {value!r} but must be a whole number")
        return int(value) if value.isdecimal() else 0

    def check(self) -> None:
        if self._problems:
            raise MissingConfiguration("; ".join(self._problems))


def _patient() -> "Config":
    """Three attempts of 4 seconds at most."""
    from botocore.config import Config

    return Config(
        connect_timeout=1,
        read_timeout=3,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=32,
    )


def now() -> Instant:
    """The wall clock, in whole seconds since the epoch."""
    return int(time.time())


class Service:
    """The parts of a function. Each property builds its part when it is first read, and keeps it.

    Adapters, use cases and boto3 are imported inside the properties: a cold start pays only for
    what the function uses. The properties have no lock, so read them on the main thread and hand
    the parts to other threads.

    Tests pass a clock and a session of their own, or assign another part before it is used.
    """

    def __init__(
        self, environ: Mapping[str, str], *, clock: Clock = now, session: "Session | None" = None
    ) -> None:
        self._environ = environ
        self.clock = clock
        self._unrecorded: list[str] = []
        if session is not None:
            self.session = session

    @cached_property
    def configuration(self) -> Configuration:
        return Configuration.from_environ(self._environ)

    @cached_property
    def metrics(self) -> "Metrics":
        from lambdas.adapters.metrics import Metrics

        # Read the name late: a function that counts nothing must not fail for a missing variable.
        return Metrics(lambda: self.configuration.environment)

    @cached_property
    def session(self) -> "Session":
        from boto3 import Session

        return Session()

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        # The largest answer is one page (1 MB). A call with all its retries ends before the 29
        # seconds for which API Gateway waits.
        return self.session.client("dynamodb", config=_patient())

    @cached_property
    def store(self) -> "Table":
        from lambdas.adapters.table import Table

        return Table(self.dynamodb, self.configuration.table_name)

    @cached_property
    def sockets(self) -> "ManagementApi":
        from botocore.config import Config

        from lambdas.adapters.sockets import ManagementApi

        config = Config(
            connect_timeout=1,
            read_timeout=2,
            retries={"mode": "standard", "total_max_attempts": 2},
            max_pool_connections=32,
        )
        url = self.configuration.websocket_management_url
        return ManagementApi(
            self.session.client("apigatewaymanagementapi", endpoint_url=url, config=config)
        )

    def pop_socket_failures(self) -> "dict[str, int]":
        """`ManagementApi.pop_failures`; nothing if no socket was called yet."""
        return self.sockets.pop_failures() if "sockets" in vars(self) else {}

    @cached_property
    def admission(self) -> "Admission":
        from lambdas.use_cases.admission import Admission

        return Admission(self.store, self.sockets, self.configuration.rules, self.clock)

    @cached_property
    def presence(self) -> "Presence":
        from lambdas.use_cases.presence import Presence

        return Presence(self.store, self.configuration.rules, self.clock)

    @cached_property
    def status_reader(self) -> "StatusReader":
        from lambdas.use_cases.status import StatusReader

        return StatusReader(self.store, self.configuration.rules, self.clock)

    @cached_property
    def availability(self) -> "Availability":
        from lambdas.use_cases.availability import Availability

        return Availability(
            self.store,
            self.sockets,
            self.configuration.rules,
            self.clock,
            wait_with_jitter,
            self._record_before_change,
        )

    @cached_property
    def settings_writer(self) -> "SettingsWriter":
        from lambdas.use_cases.settings import SettingsWriter

        return SettingsWriter(
            self.store,
            self.configuration.rules,
            self.clock,
            wait_with_jitter,
            self._record_before_change,
        )

    @cached_property
    def tickets(self) -> "Tickets":
        import secrets

        from lambdas.use_cases.tickets import SECRET_BYTES, Tickets

        return Tickets(
            self.store, self.clock, new_secret=lambda: secrets.token_urlsafe(SECRET_BYTES)
        )

    @cached_property
    def messaging(self) -> "Messaging":
        from lambdas.use_cases.push_messages import Messaging

        return Messaging(
            self.store, self.sockets, self.configuration.rules, self.clock, wait_with_jitter
        )

    @cached_property
    def idempotent_calls(self) -> "IdempotentCalls":
        from lambdas.adapters.idempotency import IdempotentCalls

        return IdempotentCalls(self.dynamodb, self.configuration.table_name)

    @cached_property
    def operators(self) -> "Operators":
        from lambdas.use_cases.operators import Operators

        return Operators(self.store, self.sockets, self.configuration.rules, self.clock)

    @cached_property
    def cleanup(self) -> "Cleanup":
        from lambdas.use_cases.cleanup import Cleanup

        calls = TokenBucket(MANAGEMENT_CALLS_PER_SECOND, burst=MANAGEMENT_CALLS_PER_SECOND // 10)
        marks = TokenBucket(MARKS_PER_SECOND, burst=MARKS_PER_SECOND // 10)
        transitions = TokenBucket(TRANSITIONS_PER_SECOND, burst=TRANSITIONS_PER_SECOND // 10)
        return Cleanup(
            self.store,
            self.sockets,
            self.configuration.rules,
            self.clock,
            report_attention=self.metrics.report_attention,
            pace_calls=calls.take,
            pace_marks=marks.take,
            recorder=self.recorder,
            pace_transitions=transitions.take,
        )

    @cached_property
    def history(self) -> "HistoryTable | None":
        """None if the change feed is off."""
        if variables.HISTORY_TABLE_NAME not in self._environ:
            return None
        from lambdas.adapters.history import HistoryTable

        read = _Reader(self._environ)
        name, days = (
            read.text(variables.HISTORY_TABLE_NAME),
            read.whole_number(variables.HISTORY_DAYS),
        )
        read.check()
        return HistoryTable(
            self.dynamodb,
            table=self.configuration.table_name,
            history=name,
            keep_seconds=days * 24 * 60 * 60,
            clock=self.clock,
        )

    def _record_before_change(self, business: "Business") -> None:
        """Record what the time has changed. The change itself does not depend on the feed."""
        if self.recorder is not None:
            try:
                self.recorder.record_if_due(business)
            except Exception as error:  # whatever it is, it is logged
                self._unrecorded.append(f"{business.business_id}: {error!r}")

    def pop_unrecorded(self) -> "list[str]":
        """The businesses whose transitions could not be recorded since the last call of this
        method, and why.
        """
        unrecorded, self._unrecorded = self._unrecorded, []
        return unrecorded

    @cached_property
    def recorder(self) -> "Recorder | None":
        """None if the change feed is off."""
        if self.history is None:
            return None
        from lambdas.use_cases.recorder import Recorder

        rules = self.configuration.rules
        return Recorder(self.store, self.history, rules, self.clock, wait_with_jitter)

    @cached_property
    def history_reader(self) -> "HistoryReader | None":
        """None if the change feed is off."""
        if self.history is None:
            return None
        from lambdas.use_cases.history import HistoryReader

        return HistoryReader(self.store, self.history, self.clock)

    @cached_property
    def event_bus(self) -> "EventBus":
        from lambdas.adapters.event_bus import EventBus

        client = self.session.client("events", config=_patient())
        return EventBus(client, self.variable(variables.EVENT_BUS_NAME))

    @cached_property
    def dead_letters(self) -> "DeadLetters":
        from lambdas.adapters.dead_letters import DeadLetters

        client = self.session.client("sqs", config=_patient())
        return DeadLetters(client, self.variable(variables.DEAD_LETTERS_URL))

    @cached_property
    def credential(self) -> "Credential":
        from lambdas.adapters.credential import Credential

        return Credential(self.session, self.variable(variables.CREDENTIAL_ARN), config=_patient())

    def variable(self, name: str) -> str:
        """A variable that only one function has. Raises `MissingConfiguration`."""
        read = _Reader(self._environ)
        value = read.text(name)
        read.check()
        return value

    @cached_property
    def token_verifier(self) -> "TokenVerifier":
        from lambdas.adapters.tokens import Issuer, TokenVerifier

        read = _Reader(self._environ)
        issuer = Issuer(
            issuer=read.text(f"{variables.OIDC}ISSUER"),
            audience=read.text(f"{variables.OIDC}AUDIENCE"),
            jwks_url=read.text(f"{variables.OIDC}JWKS_URL"),
            user_claim=read.text(f"{variables.OIDC}USER_CLAIM"),
            businesses_claim=read.text(f"{variables.OIDC}BUSINESSES_CLAIM"),
            roles_claim=read.text(f"{variables.OIDC}ROLES_CLAIM"),
            business_prefix=self._environ.get(f"{variables.OIDC}BUSINESS_PREFIX", ""),
        )
        read.check()
        return TokenVerifier(issuer)
