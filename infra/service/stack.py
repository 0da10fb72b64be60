"""The service stack: the two APIs, their functions, the cleanup, and the change feed."""

from dataclasses import asdict
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
from lambdas.variables import ENVIRONMENT


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
            bundle=bundle,
            variables={
                ENVIRONMENT: environment.name,
                **{rule.upper(): str(value) for rule, value in asdict(environment.rules).items()},
            },
            oidc=oidc,
            signing_keys_generation=environment.signing_keys_generation,
            cors_origins=environment.cors_origins,
            table=table,
            sockets=self.websocket,
            log_groups=log_groups,
            log_each_call=environment.log_each_call,
            concurrency=environment.limits.concurrency,
            cleanup=environment.cleanup,
            preflight=environment.gradual_deployments,
            snap_start=environment.snap_start,
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
            name=name,
            environment_name=environment.name,
            domain_name=domains.rest.name if domains else None,
            platform=platform,
            access_logs=access_logs,
            limits=environment.limits,
            cors_origins=environment.cors_origins,
            handler=self.functions.rest.live,
            authorizer=self.functions.authorizer.live,
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
        if self.functions.preflight is not None:
            GradualDeployment(
                self,
                "GradualDeployment",
                environment_name=environment.name,
                errors_percent=environment.alarms.errors_percent,
                answering=self.functions.answering,
                rest=self.functions.rest,
                others=(
                    self.functions.cleanup,
                    *(self.feed.functions if self.feed else ()),
                    *([self.canary.function] if self.canary else ()),
                ),
                preflight=self.functions.preflight,
            )
        self.schedule = CleanupSchedule(
            self,
            "CleanupSchedule",
            cleanup=self.functions.cleanup.live,
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
            self, names.CLEANUP_FUNCTION_NAME, value=self.functions.cleanup.function.function_name
        )
