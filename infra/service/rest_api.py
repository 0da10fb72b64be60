"""The REST API: what people and systems ask and declare about businesses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.addresses import Addresses
from infra.configuration import Limits
from infra.security import acknowledge
from infra.service.access_logs import AccessLogs, access_log_format
from infra.service.request_models import REQUEST_MODELS, REQUIRED_QUERY
from infra.service.web_acl import WebAcl

STAGE: Final = "v1"

ROUTES: Final = {
    "/businesses": ("GET",),
    "/businesses/online": ("POST",),
    "/businesses/{businessId}/status": ("GET",),
    "/businesses/{businessId}/online": ("GET",),
    "/businesses/{businessId}/availability": ("PUT",),
    "/businesses/{businessId}/pause": ("PUT", "DELETE"),
    "/businesses/{businessId}/settings": ("PUT",),
    "/businesses/{businessId}/connections": ("GET",),
    "/businesses/{businessId}/connections/{connectionId}": ("DELETE",),
    "/businesses/{businessId}/tickets": ("POST",),
    "/businesses/{businessId}/messages": ("POST",),
    "/businesses/{businessId}/cleanup": ("POST",),
}
"""The methods of each path. Any other method there reaches the function too: it answers 405."""

OPEN_ROUTES: Final = {"/health": ("GET",)}
"""Those that need no token."""

CORS_HEADERS: Final = ("Authorization", "Content-Type", "Idempotency-Key")
"""The request headers that a page of an allowed origin may send."""


@dataclass(frozen=True)
class _Problem:
    """What is answered instead of one kind of API Gateway's own answers.

    API Gateway replaces its variables in `detail`. It escapes the validation error, which may
    quote what a client sent; no other variable that holds such a thing can be used there.
    """

    kind: apigateway.ResponseType
    status: int | None
    name: str
    title: str
    detail: str | None = None


_Type = apigateway.ResponseType
_TOO_MANY: Final = (429, "too-many-requests", "Too many requests, try again in a moment")
_INVALID: Final = ("invalid-request", "The request is not valid")
_NOWHERE: Final = (404, "not-found", "There is nothing here")
_GATEWAY_PROBLEMS: Final = (
    _Problem(_Type.BAD_REQUEST_BODY, 400, *_INVALID, "$context.error.validationErrorString"),
    # It names the parameters that are missing.
    _Problem(_Type.BAD_REQUEST_PARAMETERS, 400, *_INVALID, "$context.error.message"),
    _Problem(_Type.UNAUTHORIZED, 401, "unauthorized", "A valid access token is needed"),
    # The authorizer denies a caller without a valid token and nobody else: who may do what is
    # decided by the function.
    _Problem(_Type.ACCESS_DENIED, 401, "unauthorized", "A valid access token is needed"),
    # API Gateway's word for a path that it does not know.
    _Problem(_Type.MISSING_AUTHENTICATION_TOKEN, *_NOWHERE),
    # Only the methods for unknown paths check the type of a body.
    _Problem(_Type.UNSUPPORTED_MEDIA_TYPE, *_NOWHERE),
    _Problem(_Type.REQUEST_TOO_LARGE, 413, "payload-too-large", "The body is too large"),
    _Problem(_Type.THROTTLED, *_TOO_MANY),
    # The web ACL limits the rate of an address. Clients would give up on a 403.
    _Problem(_Type.WAF_FILTERED, *_TOO_MANY),
    _Problem(_Type.INTEGRATION_TIMEOUT, 504, "timeout", "No answer in time, try again in a moment"),
    # The two that stand for all others have no status of their own.
    _Problem(_Type.DEFAULT_4_XX, None, *_INVALID),
    _Problem(_Type.DEFAULT_5_XX, None, "internal-error", "Something went wrong on our side"),
)


_NO_COGNITO_AUTHORIZER: Final = (
    "AwsSolutions-COG4",
    "The one authorizer of both APIs verifies the tokens of any OIDC issuer, Cognito among them.",
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
        name: str,
        domain_name: str | None,
        addresses: Addresses,
        access_logs: AccessLogs,
        limits: Limits,
        cors_origins: Sequence[str],
        handler: lambda_.IFunction,
        authorizer: lambda_.IFunction,
    ) -> None:
        super().__init__(scope, construct_id)
        self.api = apigateway.RestApi(
            self,
            "Api",
            # The metrics of a REST API are kept by this name.
            rest_api_name=name,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=False,
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                tracing_enabled=True,
                throttling_rate_limit=limits.rest.rate,
                throttling_burst_limit=limits.rest.burst,
                method_options=_method_options(limits),
                access_log_destination=apigateway.LogGroupLogDestination(
                    access_logs.add_log_group(self)
                ),
                access_log_format=access_log_format(
                    {
                        "requestId": "$context.requestId",
                        # A client may choose the request id, if it is a UUID, but not this one.
                        "extendedRequestId": "$context.extendedRequestId",
                        "time": "$context.requestTime",
                        "ip": "$context.identity.sourceIp",
                        "method": "$context.httpMethod",
                        "path": "$context.resourcePath",
                        "userId": "$context.authorizer.principalId",
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
        acknowledge(
            self.api.deployment_stage,
            "AwsSolutions-APIG6",
            "Execution logs go to a group that no stack can give a retention or a key, and may hold"
            " what clients sent. The access logs say what failed, and where.",
        )
        acknowledge(
            self.api.deployment_stage,
            "CKV_AWS_120",
            "Answers are about this moment: a cache would tell what was.",
        )
        if limits.web_acl_rate is not None:
            WebAcl(self, "WebAcl", stage=self.api.deployment_stage, rate=limits.web_acl_rate)
        else:
            acknowledge(
                self.api.deployment_stage,
                "AwsSolutions-APIG3",
                "A web ACL costs money for each request: this environment has not asked for one.",
            )
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
        self._validator = self.api.add_request_validator(
            "Validator", validate_request_body=True, validate_request_parameters=True
        )
        self._cors_origins = cors_origins
        for path, methods in ROUTES.items():
            self._add_resource(path, methods, authorizer=self._authorizer)
        for path, methods in OPEN_ROUTES.items():
            self._add_resource(path, methods, authorizer=None)
        self._answer_unknown_paths()
        for problem in _GATEWAY_PROBLEMS:
            self._add_problem(problem)

        self.url = (
            f"https://{domain_name}"
            if domain_name
            else addresses.https(self.api.rest_api_id, STAGE)
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
            self._add_method(resource, method, path, authorizer)
        rest = resource.add_method("ANY", self._integration, authorizer=self._authorizer)
        acknowledge(rest, *_NO_COGNITO_AUTHORIZER)
        self._add_preflight(resource, methods)

    def _add_preflight(self, resource: apigateway.IResource, methods: tuple[str, ...]) -> None:
        if not self._cors_origins:
            return
        # Answered by API Gateway alone: a preflight request carries no token.
        preflight = resource.add_cors_preflight(
            allow_origins=list(self._cors_origins),
            allow_methods=list(methods),
            allow_headers=list(CORS_HEADERS),
            max_age=cdk.Duration.hours(1),
        )
        for rule in ("AwsSolutions-APIG4", "AwsSolutions-COG4"):
            acknowledge(preflight, rule, "A preflight request carries no token.")

    def _answer_unknown_paths(self) -> None:
        """Answer 404 for any other path, without a function.

        On a path without a method, API Gateway tries to read a bearer token as an AWS signature,
        and answers 403.
        """
        nowhere = _Problem(_Type.MISSING_AUTHENTICATION_TOKEN, *_NOWHERE)
        headers = {
            f"method.response.header.{name}": value
            for name, value in self._headers(nowhere).items()
        }
        integration = apigateway.MockIntegration(
            request_templates={"application/json": json.dumps({"statusCode": 404})},
            # Without this, a content type that has no template is passed through as it is.
            passthrough_behavior=apigateway.PassthroughBehavior.NEVER,
            integration_responses=[
                apigateway.IntegrationResponse(
                    status_code="404",
                    response_templates={"application/json": _template(nowhere)},
                    response_parameters=headers,
                )
            ],
        )
        answer = apigateway.MethodResponse(
            status_code="404", response_parameters=dict.fromkeys(headers, True)
        )
        root = self.api.root
        for resource in (root, root.add_resource("{proxy+}")):
            method = resource.add_method("ANY", integration, method_responses=[answer])
            for rule in ("AwsSolutions-APIG4", "AwsSolutions-COG4", "CKV_AWS_59"):
                acknowledge(method, rule, "There is nothing to protect: it always answers 404.")
            self._add_preflight(resource, ("GET", "PUT", "POST", "DELETE"))

    def _add_method(
        self,
        resource: apigateway.IResource,
        method: str,
        path: str,
        authorizer: apigateway.IAuthorizer | None,
    ) -> None:
        model = REQUEST_MODELS.get((method, path))
        query = REQUIRED_QUERY.get((method, path), ())
        added = resource.add_method(
            method,
            self._integration,
            authorizer=authorizer,
            request_validator=self._validator if model or query else None,
            # Not by content type: what is called something else would go unchecked.
            request_models=(
                {"$default": self.api.add_model(model.name, schema=model.schema)} if model else None
            ),
            request_parameters=(
                {f"method.request.querystring.{name}": True for name in query} if query else None
            ),
        )

        acknowledge(added, *_NO_COGNITO_AUTHORIZER)
        if authorizer is None:
            reason = (
                "A smoke test asks this without a token; the answer tells nothing about anybody."
            )
            for rule in ("AwsSolutions-APIG4", "CKV_AWS_59"):
                acknowledge(added, rule, reason)

    def _add_problem(self, problem: _Problem) -> None:
        self.api.add_gateway_response(
            f"Problem{problem.kind.response_type}",
            type=problem.kind,
            status_code=None if problem.status is None else str(problem.status),
            # The template is chosen by what the client accepts, and this key is the one for all;
            # the header then says what the body is.
            templates={"application/json": _template(problem)},
            response_headers=self._headers(problem),
        )

    def _headers(self, problem: _Problem) -> dict[str, str]:
        headers = {"Content-Type": "'application/problem+json'"}
        if problem.status == 401:
            headers["WWW-Authenticate"] = "'Bearer'"
        if len(self._cors_origins) == 1:
            # The value is fixed: API Gateway cannot choose the one of several that asks.
            headers["Access-Control-Allow-Origin"] = f"'{self._cors_origins[0]}'"
        return headers


def _template(problem: _Problem) -> str:
    document: dict[str, str | int] = {
        "type": f"urn:problem-type:business-connections:{problem.name}",
        "title": problem.title,
    }
    if problem.status is not None:
        document["status"] = problem.status
    if problem.detail is not None:
        document["detail"] = problem.detail
    document["requestId"] = "$context.requestId"
    return json.dumps(document)


def _method_options(limits: Limits) -> dict[str, apigateway.MethodDeploymentOptions]:
    """The methods that let through less than the stage does."""
    options = {}
    for route, throttle in limits.all_routes.items():
        method, _, path = route.partition(" ")
        if not path:
            continue  # a route of the WebSocket API
        if method not in (ROUTES | OPEN_ROUTES).get(path, ()):
            raise ValueError(f"limits.routes names {route!r}, which is no route of the REST API")
        options[f"{path}/{method}"] = apigateway.MethodDeploymentOptions(
            throttling_rate_limit=throttle.rate, throttling_burst_limit=throttle.burst
        )
    return options
