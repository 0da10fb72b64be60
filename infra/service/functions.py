"""The functions of the service, and what each of them may do."""

from collections.abc import Mapping
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.data.table import ATTENTION_INDEX, CONNECTION_INDEX
from infra.environments import Environment, Oidc
from infra.security import acknowledge
from infra.service.function import ServiceFunction
from infra.service.websocket_api import WebSocketApi


class Functions(Construct):
    """One function per job, all of them from the same bundle, each with the least it needs."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        bundle: Path,
        table: dynamodb.ITable,
        oidc: Oidc,
        sockets: WebSocketApi,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._environment = environment
        self._key = key
        self._concurrency = _concurrency(environment)
        self._code = lambda_.Code.from_asset(str(bundle))
        self._table = table
        self._sockets = sockets
        variables = _service_variables(environment, table, sockets)

        authorizer = self._add(
            "Authorizer",
            "authorizer.handler",
            {
                **variables,
                **_oidc_variables(oidc),
                # No code reads it. A new value publishes a new version, which starts without cached
                # keys.
                "SIGNING_KEYS_GENERATION": str(environment.signing_keys_generation),
            },
        )
        # It takes tickets out of the table, and can touch nothing else there.
        authorizer.allow(
            "dynamodb:DeleteItem",
            on=[table.table_arn],
            conditions={"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["TICKET#*"]}},
        )

        connect = self._add("Connect", "websocket.on_connect", variables)
        self._allow_table(connect, "Query", "PutItem")

        disconnect = self._add("Disconnect", "websocket.on_disconnect", variables)
        self._allow_table(disconnect, "DeleteItem")
        self._allow_index(disconnect, CONNECTION_INDEX)

        ping = self._add("Ping", "websocket.on_ping", variables)
        status = self._add("Status", "websocket.on_status", variables)
        # "Default" alone would vanish from logical ids: it has a meaning of its own to the CDK.
        default = self._add("DefaultRoute", "websocket.on_default", variables)
        for message in (ping, status, default):
            self._allow_table(message, "UpdateItem")
            self._allow_index(message, CONNECTION_INDEX)
            sockets.allow_connections(message, "POST", "DELETE")
        self._allow_table(status, "Query")

        # Longer than any answer that API Gateway would still wait for (29 s) is of no use.
        rest = self._add(
            "Rest",
            "rest.handler",
            {**variables, **_cors_variables(environment)},
            timeout=cdk.Duration.seconds(28),
        )
        self._allow_table(rest, "GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem")
        self._allow_index(rest, ATTENTION_INDEX)
        sockets.allow_connections(rest, "GET", "POST", "DELETE")

        cleanup = self._add(
            "Cleanup",
            "cleanup.handler",
            variables,
            memory_mb=1024,
            timeout=_cleanup_timeout(environment),
        )
        self._allow_table(cleanup, "Scan", "Query", "UpdateItem", "DeleteItem")
        # It stores its census, and can create no other items.
        cleanup.allow(
            "dynamodb:PutItem",
            on=[table.table_arn],
            conditions={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["CENSUS"]}},
        )
        sockets.allow_connections(cleanup, "GET", "DELETE")

        self.answering = (authorizer, connect, disconnect, ping, status, default, rest)
        """Those that somebody waits for: all but the cleanup."""
        for function in self.answering:
            _without_dead_letters(
                function,
                "API Gateway waits for the answer, or asks nobody again: nothing is queued.",
            )
        _without_dead_letters(
            cleanup,
            "The next run is the retry. That one failed is an alarm; its event says nothing more.",
        )

        self.preflight: ServiceFunction | None = None
        """Asked before a gradual deployment takes any traffic."""
        if environment.gradual_deployments:
            # It must not time out while the table does not answer: CodeDeploy would wait an hour
            # for its result.
            self.preflight = self._add(
                "Preflight",
                "preflight.handler",
                variables,
                timeout=cdk.Duration.seconds(60),
            )
            self._allow_table(self.preflight, "Query")
            _without_dead_letters(
                self.preflight, "CodeDeploy waits for its answer, and goes back when none comes."
            )

        self.authorizer = authorizer
        self.connect = connect
        self.disconnect = disconnect
        self.ping = ping
        self.status = status
        self.default = default
        self.rest = rest
        self.cleanup = cleanup

    def by_name(self) -> Mapping[str, lambda_.IFunction]:
        """Return every function by the name that people know it by."""
        return {
            "Authorizer": self.authorizer.function,
            "Connect": self.connect.function,
            "Disconnect": self.disconnect.function,
            "Ping": self.ping.function,
            "Status": self.status.function,
            "DefaultRoute": self.default.function,
            "Rest": self.rest.function,
            "Cleanup": self.cleanup.function,
        }

    def _add(
        self,
        construct_id: str,
        handler: str,
        variables: Mapping[str, str],
        *,
        memory_mb: int = 512,
        timeout: cdk.Duration | None = None,
    ) -> ServiceFunction:
        return ServiceFunction(
            self,
            construct_id,
            environment=self._environment,
            code=self._code,
            handler=f"lambdas.handlers.{handler}",
            variables=variables,
            memory_mb=memory_mb,
            timeout=timeout or cdk.Duration.seconds(10),
            concurrency=self._concurrency.get(construct_id),
            key=self._key,
        )

    def _allow_table(self, function: ServiceFunction, *operations: str) -> None:
        actions = (f"dynamodb:{operation}" for operation in operations)
        function.allow(*actions, on=[self._table.table_arn])

    def _allow_index(self, function: ServiceFunction, index: str) -> None:
        function.allow("dynamodb:Query", on=[f"{self._table.table_arn}/index/{index}"])


def _without_dead_letters(function: ServiceFunction, reason: str) -> None:
    for rule in ("Serverless-LambdaDLQ", "CKV_AWS_116"):
        acknowledge(function.function, rule, reason)


def _service_variables(
    environment: Environment, table: dynamodb.ITable, sockets: WebSocketApi
) -> dict[str, str]:
    return {
        "TABLE_NAME": table.table_name,
        "WEBSOCKET_MANAGEMENT_URL": sockets.management_url,
        "PING_INTERVAL": str(environment.ping_interval),
        "PING_GRACE": str(environment.ping_grace),
        "VIRTUAL_LEASE": str(environment.virtual_lease),
        "ATTENTION_GRACE": str(environment.attention_grace),
        "MAX_REAL_CONNECTIONS": str(environment.max_real_connections),
    }


def _oidc_variables(oidc: Oidc) -> dict[str, str]:
    return {
        "OIDC_ISSUER": oidc.issuer,
        "OIDC_AUDIENCE": oidc.audience,
        "OIDC_JWKS_URL": oidc.jwks_url,
        "OIDC_USER_CLAIM": oidc.user_claim,
        "OIDC_BUSINESSES_CLAIM": oidc.businesses_claim,
        "OIDC_ROLES_CLAIM": oidc.roles_claim,
        "OIDC_BUSINESS_PREFIX": oidc.business_prefix,
    }


def _cors_variables(environment: Environment) -> dict[str, str]:
    origins = environment.cors_origins
    return {"CORS_ORIGINS": ",".join(origins)} if origins else {}


def _concurrency(environment: Environment) -> Mapping[str, int | None]:
    bounds = environment.concurrency
    if bounds is None:
        return {}
    return {
        "Authorizer": bounds.authorizer,
        "Connect": bounds.connect,
        "Disconnect": bounds.disconnect,
        "Ping": bounds.ping,
        "Status": bounds.status,
        "DefaultRoute": bounds.default_route,
        "Rest": bounds.rest,
        "Cleanup": environment.cleanup_workers + 1,
    }


def _cleanup_timeout(environment: Environment) -> cdk.Duration:
    """End a run before the next one begins, and within Lambda's 15 minutes."""
    return cdk.Duration.seconds(min(environment.cleanup_interval * 60 - 10, 900))
