"""What runs: the two APIs, their functions, and the cleanup."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.environments import Environment, Oidc
from infra.service.access_logs import AccessLogs
from infra.service.cleanup_schedule import CleanupSchedule
from infra.service.domain_names import DomainNames
from infra.service.functions import Functions
from infra.service.gradual_deployment import GradualDeployment
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
        key: kms.IKey | None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=stack_name,
            description=f"Business connections, {environment.name}: service",
        )
        access_logs = AccessLogs(self, "AccessLogs", environment=environment, key=key)
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
            key=key,
        )
        self.websocket.add_routes(
            authorizer=self.functions.authorizer.live,
            connect=self.functions.connect.live,
            disconnect=self.functions.disconnect.live,
            ping=self.functions.ping.live,
            status=self.functions.status.live,
            default=self.functions.default.live,
        )
        self.rest = RestApi(
            self,
            "Rest",
            environment=environment,
            access_logs=access_logs,
            handler=self.functions.rest.live,
            authorizer=self.functions.authorizer.live,
        )
        if self.functions.preflight is not None:
            GradualDeployment(
                self,
                "GradualDeployment",
                environment=environment,
                answering=self.functions.answering,
                rest=self.functions.rest,
                cleanup=self.functions.cleanup,
                preflight=self.functions.preflight,
            )
        self.schedule = CleanupSchedule(
            self,
            "CleanupSchedule",
            cleanup=self.functions.cleanup.live,
            every=cdk.Duration.minutes(environment.cleanup_interval),
            workers=environment.cleanup_workers,
            key=key,
        )
        if environment.domains:
            DomainNames(
                self,
                "Domains",
                domains=environment.domains,
                rest=self.rest.api,
                websocket=self.websocket.stage,
            )
        cdk.CfnOutput(self, "RestUrl", value=self.rest.url)
        cdk.CfnOutput(self, "WebSocketUrl", value=self.websocket.url)
        cdk.CfnOutput(self, "WebSocketManagementUrl", value=self.websocket.management_url)
        cdk.CfnOutput(
            self, "CleanupFunctionName", value=self.functions.cleanup.function.function_name
        )
