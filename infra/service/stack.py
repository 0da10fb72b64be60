"""The service stack: the two APIs, their functions, the cleanup, and the change feed."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra import names
from infra.configuration import Environment, Oidc
from infra.platform import Platform
from infra.service.access_logs import AccessLogs
from infra.service.canary import Canary
from infra.service.change_feed import ChangeFeed
from infra.service.cleanup_schedule import CleanupSchedule
from infra.service.domain_names import DomainNames
from infra.service.functions import Functions
from infra.service.gradual_deployment import GradualDeployment
from infra.service.log_groups import LogGroups
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
        platform: Platform,
        bundle: Path,
        table: dynamodb.ITable,
        history: dynamodb.ITable,
        bus: events.IEventBus,
        oidc: Oidc,
        user_pool_id: str | None,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=stack_name,
            description=f"Business connections, {environment.name}: service",
        )
        name = f"business-connections-{environment.name}"
        domains = environment.domains
        log_groups = LogGroups(environment.log_retention_days, keep=environment.keep_data, key=key)
        access_logs = AccessLogs(self, "AccessLogs", log_groups=log_groups)
        self.websocket = WebSocketApi(
            self,
            "WebSocket",
            name=name,
            domain_name=domains.websocket.name if domains else None,
            platform=platform,
            access_logs=access_logs if environment.websocket_access_log else None,
            limits=environment.limits,
        )
        self.functions = Functions(
            self,
            "Functions",
            environment=environment,
            bundle=bundle,
            oidc=oidc,
            table=table,
            sockets=self.websocket,
            log_groups=log_groups,
        )
        self.websocket.add_routes(
            authorizer=self.functions["Authorizer"].live,
            connect=self.functions["Connect"].live,
            disconnect=self.functions["Disconnect"].live,
            ping=self.functions["Ping"].live,
            status=self.functions["Status"].live,
            default=self.functions["DefaultRoute"].live,
        )
        self.rest = RestApi(
            self,
            "Rest",
            name=name,
            environment_name=environment.name,
            domain_name=domains.rest.name if domains else None,
            platform=platform,
            access_logs=access_logs,
            limits=environment.limits,
            cors_origins=environment.cors_origins,
            handler=self.functions["Rest"].live,
            authorizer=self.functions["Authorizer"].live,
        )
        self.feed = (
            ChangeFeed(
                self,
                "ChangeFeed",
                functions=self.functions,
                table=table,
                history=history,
                history_days=environment.feed.history_days,
                bus=bus,
                key=key,
            )
            if environment.feed
            else None
        )
        self.canary = (
            Canary(
                self,
                "Canary",
                functions=self.functions,
                rest_url=self.rest.url,
                websocket_url=self.websocket.url,
                user_pool_arn=(
                    self.format_arn(
                        service="cognito-idp", resource="userpool", resource_name=user_pool_id
                    )
                    if user_pool_id
                    else None
                ),
                every=cdk.Duration.seconds(environment.canary.interval),
                key=key,
            )
            if environment.canary
            else None
        )
        if environment.gradual_deployments:
            GradualDeployment(
                self,
                "GradualDeployment",
                environment_name=environment.name,
                errors_percent=environment.alarms.errors_percent,
                answering=self.functions.answering,
                rest=self.functions["Rest"],
                others=(
                    self.functions["Cleanup"],
                    *(self.feed.functions if self.feed else ()),
                    *([self.canary.function] if self.canary else ()),
                ),
                preflight=self.functions["Preflight"],
            )
        self.schedule = CleanupSchedule(
            self,
            "CleanupSchedule",
            cleanup=self.functions["Cleanup"].live,
            every=cdk.Duration.seconds(environment.cleanup.interval),
            workers=environment.cleanup.workers,
            key=key,
        )
        if domains:
            DomainNames(
                self,
                "Domains",
                domains=domains,
                rest=self.rest.api,
                websocket=self.websocket.stage,
            )
        if self.canary:
            cdk.CfnOutput(
                self, names.CANARY_FUNCTION_NAME, value=self.canary.function.function.function_name
            )
            cdk.CfnOutput(self, names.CANARY_CREDENTIAL_ARN, value=self.canary.credential.ref)
        cdk.CfnOutput(self, names.REST_URL, value=self.rest.url)
        cdk.CfnOutput(self, names.WEBSOCKET_URL, value=self.websocket.url)
        cdk.CfnOutput(self, names.WEBSOCKET_MANAGEMENT_URL, value=self.websocket.management_url)
        cdk.CfnOutput(
            self,
            names.CLEANUP_FUNCTION_NAME,
            value=self.functions["Cleanup"].function.function_name,
        )
