"""The REST API: what people and systems ask and declare about businesses."""

import json
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.environments import Environment
from infra.service.access_logs import AccessLogs, access_log_format

STAGE: Final = "v1"

ROUTES: Final = {
    "/businesses/{businessId}/status": ("GET",),
    "/businesses/{businessId}/online": ("GET",),
    "/businesses/{businessId}/availability": ("PUT",),
    "/businesses/{businessId}/connections": ("GET",),
}
"""The methods of each path. Any other method there reaches the function too: it answers 405."""

OPEN_ROUTES: Final = {"/health": ("GET",)}
"""Those that need no token."""

_Type = apigateway.ResponseType
_GATEWAY_PROBLEMS: Final = (
    (_Type.UNAUTHORIZED, 401, "unauthorized", "A valid access token is needed"),
    # The authorizer denies a caller without a valid token and nobody else: who may do what is
    # decided by the function.
    (_Type.ACCESS_DENIED, 401, "unauthorized", "A valid access token is needed"),
    # API Gateway's word for a path that it does not know.
    (_Type.MISSING_AUTHENTICATION_TOKEN, 404, "not-found", "There is nothing here"),
    (_Type.REQUEST_TOO_LARGE, 413, "payload-too-large", "The body is too large"),
    (_Type.THROTTLED, 429, "too-many-requests", "Too many requests, try again in a moment"),
    (_Type.INTEGRATION_TIMEOUT, 504, "timeout", "No answer in time, try again in a moment"),
    # The two that stand for all others have no status of their own.
    (_Type.DEFAULT_4_XX, None, "invalid-request", "The request is not valid"),
    (_Type.DEFAULT_5_XX, None, "internal-error", "Something went wrong on our side"),
)


class RestApi(Construct):
    """Sends every request of a known path to one function, once the authorizer has let it in.

    What API Gateway answers by itself is `application/problem+json`, as the function's errors are.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        access_logs: AccessLogs,
        handler: lambda_.IFunction,
        authorizer: lambda_.IFunction,
    ) -> None:
        super().__init__(scope, construct_id)
        self.api = apigateway.RestApi(
            self,
            "Api",
            # The metrics of a REST API are kept by this name.
            rest_api_name=f"business-connections-{environment.name}",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=False,
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                tracing_enabled=True,
                throttling_rate_limit=environment.rest_throttle.rate,
                throttling_burst_limit=environment.rest_throttle.burst,
                access_log_destination=apigateway.LogGroupLogDestination(
                    access_logs.add_log_group(self)
                ),
                access_log_format=access_log_format(
                    {
                        "requestId": "$context.requestId",
                        "time": "$context.requestTime",
                        "ip": "$context.identity.sourceIp",
                        "method": "$context.httpMethod",
                        "path": "$context.path",
                        "userId": "$context.authorizer.userId",
                        "status": "$context.status",
                        "milliseconds": "$context.responseLatency",
                        "responseType": "$context.error.responseType",
                        "authorizerError": "$context.authorizer.error",
                        "integrationError": "$context.integration.error",
                    }
                ),
            ),
        )
        self.api.deployment_stage.node.add_dependency(access_logs.account)
        # Replaced by an output with a name of its own.
        self.api.node.try_remove_child("Endpoint")

        self._integration = apigateway.LambdaIntegration(
            handler,
            # One permission for the API, not one for each method: a policy holds 20 KB.
            scope_permission_to_method=False,
        )
        self._authorizer = apigateway.RequestAuthorizer(
            self,
            "Authorizer",
            handler=authorizer,
            identity_sources=[apigateway.IdentitySource.header("Authorization")],
            results_cache_ttl=cdk.Duration.seconds(60),
        )
        for path, methods in ROUTES.items():
            self._add_resource(path, methods, authorizer=self._authorizer)
        for path, methods in OPEN_ROUTES.items():
            self._add_resource(path, methods, authorizer=None)
        for problem in _GATEWAY_PROBLEMS:
            self._add_problem(*problem)

        self.url = environment.endpoints.rest.format(
            api_id=self.api.rest_api_id, region=cdk.Stack.of(self).region, stage=STAGE
        )

    def _add_resource(
        self,
        path: str,
        methods: tuple[str, ...],
        *,
        authorizer: apigateway.IAuthorizer | None,
    ) -> None:
        resource = self.api.root.resource_for_path(path)
        for method in methods:
            resource.add_method(method, self._integration, authorizer=authorizer)
        resource.add_method("ANY", self._integration, authorizer=self._authorizer)

    def _add_problem(
        self, kind: apigateway.ResponseType, status: int | None, name: str, title: str
    ) -> None:
        document: dict[str, str | int] = {
            "type": f"urn:problem-type:business-connections:{name}",
            "title": title,
        }
        if status is not None:
            document["status"] = status
        document["requestId"] = "$context.requestId"
        self.api.add_gateway_response(
            f"Problem{kind.response_type}",
            type=kind,
            status_code=None if status is None else str(status),
            # The template is chosen by what the client accepts, and this key is the one for all;
            # the header then says what the body is.
            templates={"application/json": json.dumps(document)},
            response_headers={
                "Content-Type": "'application/problem+json'",
                **({"WWW-Authenticate": "'Bearer'"} if status == 401 else {}),
            },
        )
