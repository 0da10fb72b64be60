"""The REST API: what people and systems ask and declare about businesses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_xray as xray
from constructs import Construct

from infra.configuration import Limits
from infra.platform import Platform
from infra.security import acknowledge
from infra.service import request_checks
from infra.service.access_logs import AccessLogs, access_log_format
from infra.service.web_acl import WebAcl
from lambdas import problems
from lambdas.problems import ProblemType
from lambdas.routes import CORS_HEADERS, ROUTES, Route, methods_by_path

STAGE: Final = "v1"

_Type = apigateway.ResponseType


@dataclass(frozen=True)
class _GatewayAnswer:
    """What replaces one of the answers that API Gateway gives by itself.

    API Gateway replaces its variables in `detail`. It escapes validation errors, which may quote
    what a client sent. No other variable that holds a client's text can be used there.
    """

    kind: apigateway.ResponseType
    problem: ProblemType
    detail: str | None = None
    keeps_status: bool = False
    """Whether API Gateway chooses the status."""

    def template(self) -> str:
        """The body, before API Gateway replaces the variables in it."""
        document = self.problem.document()
        if self.keeps_status:
            del document["status"]
        if self.detail is not None:
            document["detail"] = self.detail
        return json.dumps({**document, "requestId": "$context.requestId"})


_NOT_FOUND: Final = _GatewayAnswer(_Type.MISSING_AUTHENTICATION_TOKEN, problems.NOT_FOUND)
"""API Gateway calls a path that it does not know a missing authentication token."""

_GATEWAY_ANSWERS: Final = (
    _NOT_FOUND,
    # Only the methods for unknown paths check the type of a body.
    _GatewayAnswer(_Type.UNSUPPORTED_MEDIA_TYPE, problems.NOT_FOUND),
    _GatewayAnswer(
        _Type.BAD_REQUEST_BODY, problems.INVALID_REQUEST, "$context.error.validationErrorString"
    ),
    # It names the parameters that are missing.
    _GatewayAnswer(
        _Type.BAD_REQUEST_PARAMETERS, problems.INVALID_REQUEST, "$context.error.message"
    ),
    _GatewayAnswer(_Type.UNAUTHORIZED, problems.UNAUTHORIZED),
    # The authorizer denies callers without a valid token. The function decides who may do what.
    _GatewayAnswer(_Type.ACCESS_DENIED, problems.UNAUTHORIZED),
    _GatewayAnswer(_Type.REQUEST_TOO_LARGE, problems.PAYLOAD_TOO_LARGE),
    _GatewayAnswer(_Type.THROTTLED, problems.TOO_MANY_REQUESTS),
    # What the managed rules of the web ACL block. Its limit of a rate has an answer of its own.
    _GatewayAnswer(_Type.WAF_FILTERED, problems.BLOCKED),
    _GatewayAnswer(_Type.INTEGRATION_TIMEOUT, problems.TIMEOUT),
    _GatewayAnswer(_Type.DEFAULT_4_XX, problems.INVALID_REQUEST, keeps_status=True),
    _GatewayAnswer(_Type.DEFAULT_5_XX, problems.INTERNAL_ERROR, keeps_status=True),
)


_NO_COGNITO_AUTHORIZER: Final = (
    "AwsSolutions-COG4",
    "The authorizer of both APIs verifies the tokens of any OIDC issuer, including Cognito.",
)


class RestApi(Construct):
    """Sends the requests of all routes to one function, once the authorizer has accepted the token.

    What API Gateway answers by itself is `application/problem+json`, like the function's errors.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        environment_name: str,
        domain_name: str | None,
        platform: Platform,
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
            "No stack can give the log group of execution logs a retention or a key, and they may"
            " hold what clients sent. The access logs say what failed.",
        )
        acknowledge(
            self.api.deployment_stage,
            "CKV_AWS_120",
            "Answers are about this moment, so a cache would be wrong.",
        )
        if limits.web_acl_rate is not None:
            WebAcl(
                self,
                "WebAcl",
                stage=self.api.deployment_stage,
                rate=limits.web_acl_rate,
                cors_origins=cors_origins,
            )
        else:
            acknowledge(
                self.api.deployment_stage,
                "AwsSolutions-APIG3",
                "A web ACL costs extra per request, and this environment does not use one.",
            )
        self._sample_traces(environment_name)
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
        for route in ROUTES.values():
            self._add_route(route)
        for path, methods in methods_by_path().items():
            self._add_other_methods(path, methods)
        self._answer_unknown_paths()
        for answer in _GATEWAY_ANSWERS:
            self._add_gateway_answer(answer)

        self.url = (
            f"https://{domain_name}"
            if domain_name
            else platform.api_url(cdk.Stack.of(self).region, self.api.rest_api_id, STAGE)
        )

    def _sample_traces(self, environment_name: str) -> None:
        """Record one request a second and 1 % of the others, instead of the account's 5 %.

        API Gateway passes its decision on to the functions behind it. The rule matches this stage
        alone, so the rules of several environments do not compete.
        https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-configuring-xray-sampling-rules.html
        """
        xray.CfnSamplingRule(
            self,
            "TraceSampling",
            sampling_rule=xray.CfnSamplingRule.SamplingRuleProperty(
                version=1,
                # A name has 32 characters at most, and is unique in an account and region.
                rule_name=f"connections-{environment_name}",
                priority=1_000,
                reservoir_size=1,
                fixed_rate=0.01,
                resource_arn=self.api.deployment_stage.stage_arn,
                service_type="AWS::ApiGateway::Stage",
                service_name="*",
                host="*",
                http_method="*",
                url_path="*",
            ),
        )

    def _add_route(self, route: Route) -> None:
        body, query = request_checks.body_schema(route), request_checks.required_query(route)
        method = self.api.root.resource_for_path(route.path).add_method(
            route.method,
            self._integration,
            authorizer=self._authorizer if route.operation else None,
            request_validator=self._validator if body or query else None,
            # With a content type as the key, a body of any other type would not be checked.
            request_models=(
                {"$default": self.api.add_model(body.name, schema=body.schema)} if body else None
            ),
            request_parameters=(
                {f"method.request.querystring.{name}": True for name in query} if query else None
            ),
        )
        acknowledge(method, *_NO_COGNITO_AUTHORIZER)
        if route.operation is None:
            for rule in ("AwsSolutions-APIG4", "CKV_AWS_59"):
                acknowledge(
                    method, rule, "It reveals nothing about any business, and has a low throttle."
                )

    def _add_other_methods(self, path: str, methods: tuple[str, ...]) -> None:
        """Let the function answer 405 to any other method of a known path."""
        resource = self.api.root.resource_for_path(path)
        others = resource.add_method("ANY", self._integration, authorizer=self._authorizer)
        acknowledge(others, *_NO_COGNITO_AUTHORIZER)
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
        headers = {
            f"method.response.header.{name}": value
            for name, value in self._headers(_NOT_FOUND).items()
        }
        integration = apigateway.MockIntegration(
            request_templates={"application/json": json.dumps({"statusCode": 404})},
            # Without this, a content type that has no template is passed through as it is.
            passthrough_behavior=apigateway.PassthroughBehavior.NEVER,
            integration_responses=[
                apigateway.IntegrationResponse(
                    status_code="404",
                    response_templates={"application/json": _NOT_FOUND.template()},
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
                acknowledge(method, rule, "It answers 404 to everybody, and nothing else.")
            self._add_preflight(resource, ("GET", "PUT", "POST", "DELETE"))

    def _add_gateway_answer(self, answer: _GatewayAnswer) -> None:
        self.api.add_gateway_response(
            f"Problem{answer.kind.response_type}",
            type=answer.kind,
            status_code=None if answer.keeps_status else str(answer.problem.status.value),
            # The template is chosen by what the client accepts, and this key is the default. The
            # header then says what the body is.
            templates={"application/json": answer.template()},
            response_headers=self._headers(answer),
        )

    def _headers(self, answer: _GatewayAnswer) -> dict[str, str]:
        headers = {"Content-Type": f"'{problems.CONTENT_TYPE}'"}
        if answer.problem is problems.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "'Bearer'"
        if answer.problem.retry_after is not None:
            headers["Retry-After"] = f"'{answer.problem.retry_after}'"
        if len(self._cors_origins) == 1:
            # API Gateway cannot choose between origins, so with several of them there is no header.
            headers["Access-Control-Allow-Origin"] = f"'{self._cors_origins[0]}'"
        return headers


def _method_options(limits: Limits) -> dict[str, apigateway.MethodDeploymentOptions]:
    """The methods that let through less than the stage does."""
    options = {}
    for route, throttle in limits.all_routes.items():
        method, _, path = route.partition(" ")
        if not path:
            continue  # a route of the WebSocket API
        if method not in methods_by_path().get(path, ()):
            raise ValueError(
                f"limits.routes names {route!r}, which is no route of the REST API:"
                " lambdas/routes.py lists those"
            )
        options[f"{path}/{method}"] = apigateway.MethodDeploymentOptions(
            throttling_rate_limit=throttle.rate, throttling_burst_limit=throttle.burst
        )
    return options
