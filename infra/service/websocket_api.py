"""The WebSocket API: the real connections of businesses."""

from collections.abc import Collection
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_apigatewayv2_authorizers import WebSocketLambdaAuthorizer
from aws_cdk.aws_apigatewayv2_integrations import WebSocketLambdaIntegration
from constructs import Construct

from infra.configuration import Limits
from infra.platform import Platform
from infra.security import acknowledge, as_reported, logical_id
from infra.service.access_logs import AccessLogs, access_log_format
from infra.service.function import ServiceFunction

STAGE: Final = "v1"


class WebSocketApi(Construct):
    """The API, without routes: functions need its address, and `add_routes` needs the functions.

    `url` is where devices connect. `management_url` is where functions reach the open sockets.
    Without `access_logs`, it has no access log.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        domain_name: str | None,
        platform: Platform,
        access_logs: AccessLogs | None,
        limits: Limits,
    ) -> None:
        super().__init__(scope, construct_id)
        self.api = apigatewayv2.WebSocketApi(
            self,
            "Api",
            api_name=name,
            route_selection_expression="$request.body.action",
        )
        self.stage = apigatewayv2.WebSocketStage(
            self,
            "Stage",
            web_socket_api=self.api,
            stage_name=STAGE,
            auto_deploy=True,
            throttle=apigatewayv2.ThrottleSettings(
                rate_limit=limits.websocket.rate, burst_limit=limits.websocket.burst
            ),
        )
        cfn_stage = self.stage.node.default_child
        assert isinstance(cfn_stage, apigatewayv2.CfnStage)  # noqa: S101 - narrows the type
        self._cfn_stage = cfn_stage
        if access_logs is not None:
            self._log_events(access_logs)
        else:
            for rule in ("AwsSolutions-APIG1", "Serverless-APIGWAccessLogging", "CKV_AWS_95"):
                acknowledge(
                    self.stage, rule, "This environment does without (websocket_access_log)."
                )

        region = cdk.Stack.of(self).region
        self.url = (
            f"wss://{domain_name}"
            if domain_name
            else platform.websocket_url(region, self.api.api_id, STAGE)
        )
        self.management_url = platform.api_url(region, self.api.api_id, STAGE)
        self._limits = limits

    def _log_events(self, access_logs: AccessLogs) -> None:
        """Log every event of a socket, in few bytes: most of them are pings, and each is paid for.

        A stage logs all its events or none. `routeKey` says what it was (`$connect`, `ping`), and
        CloudWatch adds the time.
        """
        self.stage.node.add_dependency(access_logs.account)
        # The library's own property for this takes an interface that nothing in Python implements.
        self._cfn_stage.access_log_settings = apigatewayv2.CfnStage.AccessLogSettingsProperty(
            destination_arn=access_logs.add_log_group(self).log_group_arn,
            format=access_log_format(
                {
                    "requestId": "$context.requestId",
                    "ip": "$context.identity.sourceIp",
                    "routeKey": "$context.routeKey",
                    "connectionId": "$context.connectionId",
                    "businessId": "$context.authorizer.businessId",
                    "userId": "$context.authorizer.principalId",
                    "status": "$context.status",
                    "authorizerError": "$context.authorizer.error",
                    "integrationError": "$context.integration.error",
                }
            ).to_string(),
        )

    def add_routes(
        self,
        *,
        authorizer: lambda_.IFunction,
        connect: lambda_.IFunction,
        disconnect: lambda_.IFunction,
        ping: lambda_.IFunction,
        status: lambda_.IFunction,
        default: lambda_.IFunction,
    ) -> None:
        """Route the events of a socket's life, and the actions of its messages, to functions."""
        connect_route = self.api.add_route(
            "$connect",
            integration=WebSocketLambdaIntegration("Connect", connect),
            authorizer=WebSocketLambdaAuthorizer(
                "Authorizer",
                authorizer,
                # By default, API Gateway refuses a handshake without the header Authorization by
                # itself, also if it has a ticket.
                identity_source=[],
            ),
        )
        routes = [
            self.api.add_route(
                "$disconnect", integration=WebSocketLambdaIntegration("Disconnect", disconnect)
            )
        ]
        for route_key, function in {"ping": ping, "status": status, "$default": default}.items():
            route = self.api.add_route(
                route_key,
                integration=WebSocketLambdaIntegration("Message", function),
                # Without a declared response API Gateway discards what the function returns.
                return_response=True,
            )
            routes.append(route)
        for route in routes:
            acknowledge(
                route,
                "AwsSolutions-APIG4",
                "A WebSocket API authorizes at $connect only; all other routes use that socket.",
            )
        # API Gateway deploys the stage by itself, and refuses changes of the API meanwhile. So the
        # stage comes after all routes, with their integrations and responses.
        self.stage.node.add_dependency(connect_route, *routes)
        self._throttle({each.route_key for each in (connect_route, *routes)})

    def _throttle(self, routes: Collection[str]) -> None:
        """Let single routes through less than the stage does."""
        settings = {}
        for route_key, throttle in self._limits.all_routes.items():
            if " " in route_key:
                continue  # a route of the REST API
            if route_key not in routes:
                raise ValueError(
                    f"limits.routes names {route_key!r}, which is no route of the WebSocket API;"
                    f" those are {', '.join(routes)}"
                )
            settings[route_key] = {
                "ThrottlingRateLimit": throttle.rate,
                "ThrottlingBurstLimit": throttle.burst,
            }
        if settings:
            self._cfn_stage.route_settings = settings

    def allow_connections(self, function: ServiceFunction, *methods: str) -> None:
        """Let a function push to (POST), look at (GET) or close (DELETE) this API's sockets."""
        stack = cdk.Stack.of(self)
        prefix = ":".join(
            [
                "arn",
                as_reported(stack.partition, "Partition"),
                "execute-api",
                as_reported(stack.region, "Region"),
                as_reported(stack.account, "AccountId"),
                f"<{logical_id(self.api)}>/{STAGE}",
            ]
        )
        for method in methods:
            acknowledge(
                function.role,
                f"AwsSolutions-IAM5[Resource::{prefix}/{method}/@connections/*]",
                "Each socket has a new id, so this allows all sockets of this one API and stage.",
            )
        function.allow(
            "execute-api:ManageConnections",
            on=[
                stack.format_arn(
                    service="execute-api",
                    resource=self.api.api_id,
                    resource_name=f"{STAGE}/{method}/@connections/*",
                )
                for method in methods
            ],
        )
