"""The functions of the service: a table of what each of them is and may do, and how they are made.

A role names the operations and the partition keys that its function needs. IAM knows no condition
on sort keys: who may update an item of a business may update each of its items. A right to what
only one feature has (its queue, its bus, its secret) is given where that is made.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.configuration import Cleanup, Concurrency, Environment, Oidc
from infra.security import acknowledge
from infra.service.function import ServiceFunction
from infra.service.log_groups import LogGroups
from infra.service.websocket_api import WebSocketApi
from lambdas.table_schema import (
    ATTENTION_INDEX,
    BUSINESS_PREFIX,
    CENSUS_KEY,
    CONNECTION_INDEX,
    IDEMPOTENCY_PREFIX,
    TICKET_PREFIX,
)
from lambdas.variables import (
    CORS_ORIGINS,
    ENVIRONMENT,
    OIDC,
    SIGNING_KEYS_GENERATION,
    TABLE_NAME,
    WEBSOCKET_MANAGEMENT_URL,
)

BUSINESSES: Final = f"{BUSINESS_PREFIX}*"
"""The partition keys of businesses, in the permissions of a role."""
_TICKETS: Final = f"{TICKET_PREFIX}*"
_IDEMPOTENCY_RECORDS: Final = f"{IDEMPOTENCY_PREFIX}*"

_API_GATEWAY_WAITS: Final = 28
"""Seconds. It waits for an answer for 29."""

_API_GATEWAY_QUEUES_NOTHING: Final = (
    "API Gateway waits for the answer or drops the event: nothing is queued."
)
_STREAM_MAPPINGS_HAVE_THEIRS: Final = (
    "Lambda's own dead letters are for asynchronous calls. A stream calls it, and its mapping has a"
    " queue for what is given up."
)


@dataclass(frozen=True)
class Items:
    """A right to operations on the items of the table whose partition keys match one of `keys`."""

    operations: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FunctionDefinition:
    """What one function is, and what it may do."""

    handler: str
    """In `lambdas.handlers`."""
    no_dead_letters: str
    """Why Lambda keeps no dead letters of it."""

    # By default it has the memory with which it starts in about a second. No function needs more
    # than 70 MB, and what a call costs hardly depends on its memory: see `benchmarks.memory`.
    memory_mb: int = 512
    timeout: int | None = 10
    """Seconds. None: a run of the cleanup, which ends before the next one begins."""
    traced: bool = True
    answers: bool = False
    """Whether a caller waits for its answer."""
    # Nobody waits for the other functions, or they are called too rarely: Lambda drops a snapshot
    # after 14 days without a call, and the next call then fails.
    from_snapshot: bool = False
    """Whether it starts from a snapshot, in environments that pay for that."""
    capacity: Callable[[Concurrency, Cleanup], int | None] = lambda *_: None
    """What is reserved for it, in environments that reserve capacity."""

    items: tuple[Items, ...] = ()
    indexes: tuple[str, ...] = ()
    """The indexes that it may query."""
    scans: bool = False
    """Whether it may scan the table. DynamoDB has no condition for that."""
    records: bool = False
    """Whether it records transitions, where there is a history."""
    sockets: tuple[str, ...] = ()
    """What it may do with sockets: look at (GET), push to (POST), or close (DELETE) them."""


FUNCTIONS: Final[Mapping[str, FunctionDefinition]] = {
    "Authorizer": FunctionDefinition(
        handler="authorizer.handler",
        answers=True,
        from_snapshot=True,
        capacity=lambda reserved, _: reserved.authorizer,
        items=(Items(("DeleteItem",), (_TICKETS,)),),  # a ticket is used once
        no_dead_letters=_API_GATEWAY_QUEUES_NOTHING,
    ),
    "Connect": FunctionDefinition(
        handler="websocket.on_connect",
        # If the table does not answer, it takes back what may be stored.
        timeout=_API_GATEWAY_WAITS,
        answers=True,
        from_snapshot=True,
        capacity=lambda reserved, _: reserved.connect,
        # It makes room for a new socket by closing others.
        items=(Items(("Query", "PutItem", "UpdateItem", "DeleteItem"), (BUSINESSES,)),),
        sockets=("POST", "DELETE"),
        no_dead_letters=_API_GATEWAY_QUEUES_NOTHING,
    ),
    "Disconnect": FunctionDefinition(
        handler="websocket.on_disconnect",
        answers=True,
        capacity=lambda reserved, _: reserved.disconnect,
        items=(Items(("DeleteItem",), (BUSINESSES,)),),
        indexes=(CONNECTION_INDEX,),
        sockets=("POST", "DELETE"),
        no_dead_letters=_API_GATEWAY_QUEUES_NOTHING,
    ),
    "Ping": FunctionDefinition(
        handler="websocket.on_ping",
        # Most calls by far, so little memory, though it then takes twice as long to start: no user
        # waits for a pong. It is not traced: no decision comes with a message of a socket, and
        # Lambda would record 5 % of the calls, a rate that cannot be configured.
        # https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
        memory_mb=256,
        traced=False,
        answers=True,
        from_snapshot=True,
        capacity=lambda reserved, _: reserved.ping,
        items=(Items(("UpdateItem",), (BUSINESSES,)),),
        indexes=(CONNECTION_INDEX,),
        sockets=("POST", "DELETE"),
        no_dead_letters=_API_GATEWAY_QUEUES_NOTHING,
    ),
    "Status": FunctionDefinition(
        handler="websocket.on_status",
        answers=True,
        from_snapshot=True,
        capacity=lambda reserved, _: reserved.status,
        items=(Items(("UpdateItem",), (BUSINESSES,)), Items(("Query",), (BUSINESSES,))),
        indexes=(CONNECTION_INDEX,),
        sockets=("POST", "DELETE"),
        no_dead_letters=_API_GATEWAY_QUEUES_NOTHING,
    ),
    # Not "Default": the CDK leaves that out of logical ids.
    "DefaultRoute": FunctionDefinition(
        handler="websocket.on_default",
        answers=True,
        capacity=lambda reserved, _: reserved.default_route,
        items=(Items(("UpdateItem",), (BUSINESSES,)),),
        indexes=(CONNECTION_INDEX,),
        sockets=("POST", "DELETE"),
        no_dead_letters=_API_GATEWAY_QUEUES_NOTHING,
    ),
    "Rest": FunctionDefinition(
        handler="rest.handler",
        # With this memory it starts in half the time, which users wait for, and a request costs 1 %
        # more.
        memory_mb=1024,
        timeout=_API_GATEWAY_WAITS,
        answers=True,
        from_snapshot=True,
        capacity=lambda reserved, _: reserved.rest,
        items=(
            Items(("UpdateItem", "DeleteItem"), (BUSINESSES,)),
            Items(("Query",), (BUSINESSES, CENSUS_KEY)),
            Items(("PutItem",), (BUSINESSES, _TICKETS)),
            Items(("GetItem", "PutItem", "UpdateItem", "DeleteItem"), (_IDEMPOTENCY_RECORDS,)),
        ),
        indexes=(ATTENTION_INDEX,),
        records=True,
        sockets=("GET", "POST", "DELETE"),
        no_dead_letters=_API_GATEWAY_QUEUES_NOTHING,
    ),
    "Cleanup": FunctionDefinition(
        handler="cleanup.handler",
        # Its time is that of its CPU, so twice the memory is twice as fast for the same price.
        memory_mb=1024,
        timeout=None,
        capacity=lambda _, cleanup: cleanup.workers + 1,
        items=(
            Items(("UpdateItem", "DeleteItem"), (BUSINESSES,)),
            Items(("Query",), (BUSINESSES, CENSUS_KEY)),
            Items(("PutItem",), (CENSUS_KEY,)),
        ),
        scans=True,
        records=True,
        sockets=("GET", "DELETE"),
        no_dead_letters=(
            "The next run is the retry. A failed run raises an alarm; its event adds nothing."
        ),
    ),
    "Preflight": FunctionDefinition(
        handler="preflight.handler",
        # It must not time out while the table does not answer: CodeDeploy would wait an hour for
        # its result.
        timeout=60,
        items=(Items(("Query",), (BUSINESSES,)),),
        no_dead_letters="CodeDeploy waits for its answer, and rolls back if none comes.",
    ),
    "Recorder": FunctionDefinition(
        handler="recorder.handler",
        timeout=60,
        items=(Items(("Query", "UpdateItem"), (BUSINESSES,)),),
        records=True,
        no_dead_letters=_STREAM_MAPPINGS_HAVE_THEIRS,
    ),
    "Publisher": FunctionDefinition(
        handler="publisher.handler",
        timeout=60,
        no_dead_letters=_STREAM_MAPPINGS_HAVE_THEIRS,
    ),
    "Canary": FunctionDefinition(
        handler="canary.handler",
        timeout=120,
        no_dead_letters=(
            "The next run is the retry, and an alarm fires if runs fail or do not start."
        ),
    ),
}
"""By the id of the construct, which the logical ids are made of."""

TABLE_OPERATIONS: Final = sorted(
    {
        *(op for each in FUNCTIONS.values() for right in each.items for op in right.operations),
        "Scan",
        "TransactWriteItems",  # it needs the permissions of its parts
    }
)
"""The operations that functions call on the table."""


class Functions(Construct):
    """The functions that every environment has, all from the same bundle, each with a role of its
    own. A feature adds its own functions.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        bundle: Path,
        oidc: Oidc,
        table: dynamodb.ITable,
        sockets: WebSocketApi,
        log_groups: LogGroups,
    ) -> None:
        super().__init__(scope, construct_id)
        self._environment = environment
        self._code = lambda_.Code.from_asset(str(bundle))
        self._table = table
        self._sockets = sockets
        self._log_groups = log_groups
        self._made: dict[str, ServiceFunction] = {}
        rules = asdict(environment.rules).items()
        self._variables = {
            ENVIRONMENT: environment.name,
            **{rule.upper(): str(value) for rule, value in rules},
            TABLE_NAME: table.table_name,
            WEBSOCKET_MANAGEMENT_URL: sockets.management_url,
        }
        self.add(
            "Authorizer",
            {
                **{f"{OIDC}{name.upper()}": value for name, value in asdict(oidc).items()},
                # No code reads it. A new value publishes a new version, which starts without cached
                # keys.
                SIGNING_KEYS_GENERATION: str(environment.signing_keys_generation),
            },
        )
        for name in ("Connect", "Disconnect", "Ping", "Status", "DefaultRoute"):
            self.add(name)
        origins = environment.cors_origins
        self.add("Rest", {CORS_ORIGINS: ",".join(origins)} if origins else {})
        self.add("Cleanup")
        if environment.gradual_deployments:
            self.add("Preflight")

    def __getitem__(self, name: str) -> ServiceFunction:
        """The function of this name in `FUNCTIONS`."""
        return self._made[name]

    @property
    def answering(self) -> tuple[ServiceFunction, ...]:
        """The functions that answer a caller."""
        return tuple(self._made[name] for name, each in FUNCTIONS.items() if each.answers)

    @property
    def recording(self) -> tuple[ServiceFunction, ...]:
        """The functions that record transitions."""
        return tuple(self._made[name] for name, each in FUNCTIONS.items() if each.records)

    def add(
        self, name: str, variables: Mapping[str, str] = MappingProxyType({})
    ) -> ServiceFunction:
        """Make a function of the table. `variables` are those that only it has."""
        definition, environment = FUNCTIONS[name], self._environment
        reserved = environment.limits.concurrency
        function = ServiceFunction(
            self,
            name,
            log_groups=self._log_groups,
            code=self._code,
            handler=f"lambdas.handlers.{definition.handler}",
            variables={**self._variables, **variables},
            memory_mb=definition.memory_mb,
            timeout=cdk.Duration.seconds(
                # Lambda runs nothing for longer than 15 minutes.
                definition.timeout or min(environment.cleanup.interval - 10, 900)
            ),
            concurrency=(definition.capacity(reserved, environment.cleanup) if reserved else None),
            snap_start=environment.snap_start and definition.from_snapshot,
            log_each_call=environment.log_each_call,
            traced=definition.traced,
        )
        if definition.scans:
            function.allow("dynamodb:Scan", on=[self._table.table_arn])
        for right in definition.items:
            function.allow_items(*right.operations, table=self._table, keys=right.keys)
        for index in definition.indexes:
            function.allow("dynamodb:Query", on=[f"{self._table.table_arn}/index/{index}"])
        if definition.sockets:
            self._sockets.allow_connections(function, *definition.sockets)
        for rule in ("Serverless-LambdaDLQ", "CKV_AWS_116"):
            acknowledge(function.function, rule, definition.no_dead_letters)
        self._made[name] = function
        return function
