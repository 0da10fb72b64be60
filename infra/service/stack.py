"""What runs: the two APIs, their functions, and the cleanup."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.environments import Environment, Oidc
from infra.service.access_logs import AccessLogs
from infra.service.cleanup_schedule import CleanupSchedule
from infra.service.functions import Functions
from infra.service.rest_api import RestApi
from infra.service.websocket_api import WebSocketApi


class ServiceStack(cdk.Stack):
    """Holds no state: it can be deleted and deployed again."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stack_name: str,
        environment: Environment,
        bundle: Path,
        table: dynamodb.ITable,
        oidc: Oidc,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=stack_name,
            description=f"Business connections, {environment.name}: service",
        )
        access_logs = AccessLogs(self, "AccessLogs", environment=environment)
        self.websocket = WebSocketApi(
            self, "WebSocket", environment=environment, access_logs=access_logs
        )
        self.functions = Functions(
            self,
            "Functions",
            environment=environment,
            bundle=bundle,
            table=table,
            oidc=oidc,
            sockets=self.websocket,
        )
        self.websocket.add_routes(
            authorizer=self.functions.authorizer,
            connect=self.functions.connect,
            disconnect=self.functions.disconnect,
            ping=self.functions.ping,
            status=self.functions.status,
            default=self.functions.default,
        )
        self.rest = RestApi(
            self,
            "Rest",
            environment=environment,
            access_logs=access_logs,
            handler=self.functions.rest,
            authorizer=self.functions.authorizer,
        )
        self.schedule = CleanupSchedule(
            self,
            "CleanupSchedule",
            cleanup=self.functions.cleanup,
            every=cdk.Duration.minutes(environment.cleanup_interval),
            workers=environment.cleanup_workers,
        )
        cdk.CfnOutput(self, "RestUrl", value=self.rest.url)
        cdk.CfnOutput(self, "WebSocketUrl", value=self.websocket.url)
        cdk.CfnOutput(self, "CleanupFunctionName", value=self.functions.cleanup.function_name)
