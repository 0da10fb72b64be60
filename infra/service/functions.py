"""The functions of the service, and what each of them may do."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.configuration import Cleanup, Concurrency, Oidc
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
    OIDC,
    SIGNING_KEYS_GENERATION,
    TABLE_NAME,
    WEBSOCKET_MANAGEMENT_URL,
)

BUSINESSES: Final = f"{BUSINESS_PREFIX}*"
"""The partition keys of businesses, in the permissions of a role."""
_API_GATEWAY_WAITS: Final = cdk.Duration.seconds(28)
"""It waits for an answer for 29 seconds."""
_TICKETS: Final = f"{TICKET_PREFIX}*"
_IDEMPOTENCY_RECORDS: Final = f"{IDEMPOTENCY_PREFIX}*"


class Functions(Construct):
    """One function per job, all from the same bundle, each with a role of its own.
    `infra.service.change_feed` adds the functions of the change feed.

    A role names the operations and the partition keys that its function needs. IAM knows no
    condition on sort keys: who may update an item of a business may update each of its items.

    `variables` are the environment variables of every function. `preflight` adds the function that
    checks a new version before it takes traffic.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bundle: Path,
        variables: Mapping[str, str],
        oidc: Oidc,
        signing_keys_generation: int,
        cors_origins: Sequence[str],
        table: dynamodb.ITable,
        sockets: WebSocketApi,
        log_groups: LogGroups,
        log_each_call: bool,
        concurrency: Concurrency | None,
        cleanup: Cleanup,
        preflight: bool,
        snap_start: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        # Nobody waits for the other functions, or they are called too rarely: Lambda drops a
        # snapshot after 14 days without a call, and the next call then fails.
        self._from_snapshot = (
            {"Authorizer", "Connect", "Ping", "Status", "Rest"} if snap_start else set[str]()
        )
        self._code = lambda_.Code.from_asset(str(bundle))
        self._table = table
        self._log_groups = log_groups
        self._log_each_call = log_each_call
        self._concurrency = _reserved(concurrency, cleanup)
        self._variables = {
            **variables,
            TABLE_NAME: table.table_name,
            WEBSOCKET_MANAGEMENT_URL: sockets.management_url,
        }

        authorizer = self.add(
            "Authorizer",
            "authorizer.handler",
            {
                **{f"{OIDC}{name.upper()}": value for name, value in asdict(oidc).items()},
                # No code reads it. A new value publishes a new version, which starts without cached
                # keys.
                SIGNING_KEYS_GENERATION: str(signing_keys_generation),
            },
        )
        # It deletes tickets when they are used.
        authorizer.allow_items("DeleteItem", table=table, keys=[_TICKETS])

        # If the table does not answer, it needs longer than the others: it takes back what may be
        # stored.
        connect = self.add("Connect", "websocket.on_connect", timeout=_API_GATEWAY_WAITS)
        # It makes room for a new socket by closing others.
        connect.allow_items(
            *("Query", "PutItem", "UpdateItem", "DeleteItem"), table=table, keys=[BUSINESSES]
        )

        disconnect = self.add("Disconnect", "websocket.on_disconnect")
        disconnect.allow_items("DeleteItem", table=table, keys=[BUSINESSES])
        self._allow_index(disconnect, CONNECTION_INDEX)
        for function in (connect, disconnect):
            sockets.allow_connections(function, "POST", "DELETE")

        # Most calls by far, so little memory, though it then takes twice as long to start: no user
        # waits for a pong. It is not traced: no decision comes with a message of a socket, and
        # Lambda would record 5 % of the calls, a rate that cannot be configured.
        # https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
        ping = self.add("Ping", "websocket.on_ping", memory_mb=256, traced=False)
        status = self.add("Status", "websocket.on_status")
        # Not "Default": the CDK leaves that out of logical ids.
        default = self.add("DefaultRoute", "websocket.on_default")
        for message in (ping, status, default):
            message.allow_items("UpdateItem", table=table, keys=[BUSINESSES])
            self._allow_index(message, CONNECTION_INDEX)
            sockets.allow_connections(message, "POST", "DELETE")
        status.allow_items("Query", table=table, keys=[BUSINESSES])

        # With this memory it starts in half the time, which users wait for, and a request costs 1 %
        # more.
        rest = self.add(
            "Rest",
            "rest.handler",
            {CORS_ORIGINS: ",".join(cors_origins)} if cors_origins else {},
            memory_mb=1024,
            timeout=_API_GATEWAY_WAITS,
        )
        rest.allow_items("UpdateItem", "DeleteItem", table=table, keys=[BUSINESSES])
        rest.allow_items("Query", table=table, keys=[BUSINESSES, CENSUS_KEY])
        rest.allow_items("PutItem", table=table, keys=[BUSINESSES, _TICKETS])
        rest.allow_items(
            *("GetItem", "PutItem", "UpdateItem", "DeleteItem"),
            table=table,
            keys=[_IDEMPOTENCY_RECORDS],
        )
        self._allow_index(rest, ATTENTION_INDEX)
        sockets.allow_connections(rest, "GET", "POST", "DELETE")

        # Its time is that of its CPU, so twice the memory is twice as fast for the same price.
        cleaner = self.add(
            "Cleanup",
            "cleanup.handler",
            memory_mb=1024,
            timeout=_cleanup_timeout(cleanup),
        )
        # A Scan reads every item: DynamoDB has no condition for it.
        cleaner.allow("dynamodb:Scan", on=[table.table_arn])
        cleaner.allow_items("UpdateItem", "DeleteItem", table=table, keys=[BUSINESSES])
        cleaner.allow_items("Query", table=table, keys=[BUSINESSES, CENSUS_KEY])
        cleaner.allow_items("PutItem", table=table, keys=[CENSUS_KEY])
        sockets.allow_connections(cleaner, "GET", "DELETE")

        self.answering = (authorizer, connect, disconnect, ping, status, default, rest)
        """The functions that answer a caller."""
        for function in self.answering:
            without_dead_letters(
                function,
                "API Gateway waits for the answer or drops the event: nothing is queued.",
            )
        without_dead_letters(
            cleaner,
            "The next run is the retry. A failed run raises an alarm; its event adds nothing.",
        )

        self.preflight: ServiceFunction | None = None
        """Checks a new version before a gradual deployment gives it traffic."""
        if preflight:
            # It must not time out while the table does not answer: CodeDeploy would wait an hour
            # for its result.
            self.preflight = self.add(
                "Preflight", "preflight.handler", timeout=cdk.Duration.seconds(60)
            )
            self.preflight.allow_items("Query", table=table, keys=[BUSINESSES])
            without_dead_letters(
                self.preflight, "CodeDeploy waits for its answer, and rolls back if none comes."
            )

        self.authorizer = authorizer
        self.connect = connect
        self.disconnect = disconnect
        self.ping = ping
        self.status = status
        self.default = default
        self.rest = rest
        self.cleanup = cleaner

    def add(
        self,
        construct_id: str,
        handler: str,
        variables: Mapping[str, str] = MappingProxyType({}),
        *,
        memory_mb: int = 512,
        timeout: cdk.Duration | None = None,
        traced: bool = True,
    ) -> ServiceFunction:
        """Make a function that may do nothing yet. `variables` are those that only it has.

        By default it has the memory with which it starts in about a second. No function needs more
        than 70 MB, and what a call costs hardly depends on its memory: see `benchmarks.memory`.
        """
        return ServiceFunction(
            self,
            construct_id,
            log_groups=self._log_groups,
            code=self._code,
            handler=f"lambdas.handlers.{handler}",
            variables={**self._variables, **variables},
            memory_mb=memory_mb,
            timeout=timeout or cdk.Duration.seconds(10),
            concurrency=self._concurrency.get(construct_id),
            snap_start=construct_id in self._from_snapshot,
            log_each_call=self._log_each_call,
            traced=traced,
        )

    def _allow_index(self, function: ServiceFunction, index: str) -> None:
        function.allow("dynamodb:Query", on=[f"{self._table.table_arn}/index/{index}"])


def without_dead_letters(function: ServiceFunction, reason: str) -> None:
    """Accept that Lambda keeps no dead letters of a function."""
    for rule in ("Serverless-LambdaDLQ", "CKV_AWS_116"):
        acknowledge(function.function, rule, reason)


def _reserved(concurrency: Concurrency | None, cleanup: Cleanup) -> Mapping[str, int | None]:
    """The capacity that is reserved for each function."""
    if concurrency is None:
        return {}
    of_functions = {
        name.title().replace("_", ""): bound for name, bound in asdict(concurrency).items()
    }
    return {**of_functions, "Cleanup": cleanup.workers + 1}


def _cleanup_timeout(cleanup: Cleanup) -> cdk.Duration:
    """End a run before the next one begins, and within Lambda's 15 minutes."""
    return cdk.Duration.seconds(min(cleanup.interval - 10, 900))
