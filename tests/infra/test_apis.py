import json
from typing import Any

import pytest

from infra.configuration import Environment
from lambdas.routes import methods_by_path
from tests.infra.template import Template, flat

NOWHERE = ("", "/{proxy+}")
"""The resources that stand for all paths that are none of the API's."""

LOGGED = {
    # By API Gateway itself.
    "requestId",
    "extendedRequestId",
    "requestTime",
    "identity.sourceIp",
    "connectionId",
    "eventType",
    "httpMethod",
    "status",
    "responseLatency",
    "error.responseType",
    "integration.error",
    # Our own spelling of what a request was for.
    "resourcePath",
    "routeKey",
    # What the authorizer said: a percent-encoded user id, a business id, an error's text.
    "authorizer.principalId",
    "authorizer.businessId",
    "authorizer.error",
}
"""What may be logged: access logs escape nothing, so none of these may hold a client's own text."""


def test_the_rest_api_has_exactly_the_methods_that_the_function_knows(service: Template) -> None:
    methods: dict[str, set[str]] = {}
    for path, method in service.rest_methods():
        methods.setdefault(path, set()).add(method)
    for path in NOWHERE:
        assert methods.pop(path) == {"ANY"}
    assert methods == {path: {"ANY", *known} for path, known in methods_by_path().items()}


def test_get_of_health_alone_is_open(service: Template) -> None:
    types = {
        (path, name): method["AuthorizationType"]
        for (path, name), method in service.rest_methods().items()
        if path not in NOWHERE
    }
    assert types.pop(("/health", "GET")) == "NONE"
    assert set(types.values()) == {"CUSTOM"}


def test_every_rest_method_reaches_the_one_function(service: Template) -> None:
    for (path, _), method in service.rest_methods().items():
        if path not in NOWHERE:
            assert method["Integration"]["Type"] == "AWS_PROXY"
            assert "<FunctionsRestLive" in flat(method["Integration"]["Uri"])


@pytest.mark.parametrize("path", NOWHERE)
def test_any_other_path_is_not_found_whatever_is_sent_there(service: Template, path: str) -> None:
    """Left to itself, API Gateway takes a bearer token there for a bad signature, and says 403."""
    method = service.rest_methods()[path, "ANY"]
    assert method["AuthorizationType"] == "NONE"
    integration = method["Integration"]
    assert integration["Type"] == "MOCK"
    assert json.loads(integration["RequestTemplates"]["application/json"]) == {"statusCode": 404}
    (response,) = integration["IntegrationResponses"]
    assert response["StatusCode"] == "404"
    assert "SelectionPattern" not in response
    (declared,) = method["MethodResponses"]
    assert declared["StatusCode"] == "404"
    assert declared["ResponseParameters"].keys() == response["ResponseParameters"].keys()
    # A body of another type would be taken for what the template makes: it is refused, as 404.
    assert integration["PassthroughBehavior"] == "NEVER"
    refused, unknown = (
        answer
        for kind in ("UNSUPPORTED_MEDIA_TYPE", "MISSING_AUTHENTICATION_TOKEN")
        for answer in service.properties("AWS::ApiGateway::GatewayResponse").values()
        if answer["ResponseType"] == kind
    )
    assert refused["StatusCode"] == unknown["StatusCode"] == "404"
    assert (
        response["ResponseTemplates"]
        == refused["ResponseTemplates"]
        == unknown["ResponseTemplates"]
    )
    assert (
        {_header(name): value for name, value in response["ResponseParameters"].items()}
        == {_header(name): value for name, value in refused["ResponseParameters"].items()}
        == {"content-type": "'application/problem+json'"}
    )


def test_rest_decisions_are_remembered_by_token_for_a_minute_at_most(service: Template) -> None:
    _, authorizer = service.only("AWS::ApiGateway::Authorizer")
    assert authorizer["Properties"]["Type"] == "REQUEST"
    assert authorizer["Properties"]["IdentitySource"] == "method.request.header.Authorization"
    assert authorizer["Properties"]["AuthorizerResultTtlInSeconds"] <= 60


def test_what_api_gateway_answers_itself_is_a_problem_document(service: Template) -> None:
    answers = {
        answer["ResponseType"]: answer
        for answer in service.properties("AWS::ApiGateway::GatewayResponse").values()
    }
    statuses = {kind: answer.get("StatusCode") for kind, answer in answers.items()}
    assert statuses == {
        "BAD_REQUEST_BODY": "400",
        "BAD_REQUEST_PARAMETERS": "400",
        "UNAUTHORIZED": "401",
        "ACCESS_DENIED": "401",
        "MISSING_AUTHENTICATION_TOKEN": "404",
        "UNSUPPORTED_MEDIA_TYPE": "404",
        "REQUEST_TOO_LARGE": "413",
        "THROTTLED": "429",
        "WAF_FILTERED": "429",
        "INTEGRATION_TIMEOUT": "504",
        "DEFAULT_4XX": None,
        "DEFAULT_5XX": None,
    }
    for answer in answers.values():
        document = json.loads(answer["ResponseTemplates"]["application/json"])
        assert {"type", "title"} <= document.keys()
        assert document.get("status") == (
            int(answer["StatusCode"]) if "status" in document else None
        )
        assert answer["ResponseParameters"].keys() <= {
            "gatewayresponse.header.Content-Type",
            "gatewayresponse.header.WWW-Authenticate",
        }
        header = answer["ResponseParameters"]["gatewayresponse.header.Content-Type"]
        assert header == "'application/problem+json'"


def test_websocket_routes_go_to_their_functions(service: Template) -> None:
    targets = {
        route["RouteKey"]: _function_of_route(service, route)
        for route in service.properties("AWS::ApiGatewayV2::Route").values()
    }
    assert targets == {
        "$connect": "Connect",
        "$disconnect": "Disconnect",
        "ping": "Ping",
        "status": "Status",
        "$default": "DefaultRoute",
    }
    _, api = service.only("AWS::ApiGatewayV2::Api")
    assert api["Properties"]["RouteSelectionExpression"] == "$request.body.action"


def test_every_handshake_is_judged_by_the_authorizer(service: Template) -> None:
    """With an identity source, API Gateway would refuse those without it before asking."""
    logical_id, authorizer = service.only("AWS::ApiGatewayV2::Authorizer")
    connect = _routes(service)["$connect"]
    assert authorizer["Properties"]["AuthorizerType"] == "REQUEST"
    assert authorizer["Properties"]["IdentitySource"] == []
    assert "<FunctionsAuthorizerLive" in flat(authorizer["Properties"]["AuthorizerUri"])
    assert connect["AuthorizationType"] == "CUSTOM"
    assert connect["AuthorizerId"] == {"Ref": logical_id}


def test_answers_to_messages_are_declared_where_api_gateway_needs_it(
    service: Template, environment: Environment
) -> None:
    declared = {
        key
        for key, route in _routes(service).items()
        if "RouteResponseSelectionExpression" in route
    }
    responses = service.resources("AWS::ApiGatewayV2::RouteResponse")
    answering = {"ping", "status", "$default"}
    assert declared == (answering if environment.emulator is None else set())
    assert len(responses) == len(declared)


def test_both_apis_may_invoke_their_functions(service: Template) -> None:
    invoked = {
        flat(permission["FunctionName"])
        for permission in service.properties("AWS::Lambda::Permission").values()
        if permission["Principal"] == "apigateway.amazonaws.com"
    }
    for name in ("Authorizer", "Connect", "Disconnect", "Ping", "Status", "DefaultRoute", "Rest"):
        assert any(function.startswith(f"<Functions{name}Live") for function in invoked), name


def test_both_stages_are_throttled(service: Template, environment: Environment) -> None:
    _, stage = service.only("AWS::ApiGateway::Stage")
    (rest_settings,) = (
        each for each in stage["Properties"]["MethodSettings"] if each["ResourcePath"] == "/*"
    )
    _, websocket = service.only("AWS::ApiGatewayV2::Stage")
    websocket_settings = websocket["Properties"]["DefaultRouteSettings"]
    for settings, throttle in (
        (rest_settings, environment.limits.rest),
        (websocket_settings, environment.limits.websocket),
    ):
        assert settings["ThrottlingRateLimit"] == throttle.rate
        assert settings["ThrottlingBurstLimit"] == throttle.burst


def test_a_function_that_is_open_to_anybody_has_a_throttle_of_its_own(service: Template) -> None:
    _, stage = service.only("AWS::ApiGateway::Stage")
    rates = {
        (each["ResourcePath"].replace("~1", "/").replace("//", "/"), each["HttpMethod"]): each[
            "ThrottlingRateLimit"
        ]
        for each in stage["Properties"]["MethodSettings"]
    }
    for route, method in service.rest_methods().items():
        if method["AuthorizationType"] == "NONE" and method["Integration"]["Type"] != "MOCK":
            assert rates[route] <= 10, route


def test_access_logs_can_hold_no_token_and_nothing_that_would_forge_a_line(
    service: Template,
) -> None:
    for log_format in _access_log_formats(service):
        fields = json.loads(log_format)
        assert {f"$context.{name}" for name in LOGGED} >= set(fields.values())
        assert fields["userId"] == "$context.authorizer.principalId"


def test_access_logs_tell_who_was_refused_and_why(service: Template) -> None:
    for log_format in _access_log_formats(service):
        variables = set(json.loads(log_format).values())
        assert {"$context.requestId", "$context.status", "$context.authorizer.error"} <= variables


def test_stages_wait_for_the_permission_to_write_logs(service: Template) -> None:
    account, _ = service.only("AWS::ApiGateway::Account")
    for kind in ("AWS::ApiGateway::Stage", "AWS::ApiGatewayV2::Stage"):
        assert account in service.only(kind)[1]["DependsOn"]


def test_the_logging_role_stays_for_the_other_apis_of_the_account(service: Template) -> None:
    _, account = service.only("AWS::ApiGateway::Account")
    role = service.resources("AWS::IAM::Role")[
        account["Properties"]["CloudWatchRoleArn"]["Fn::GetAtt"][0]
    ]
    assert account["DeletionPolicy"] == "Retain"
    assert role["DeletionPolicy"] == "Retain"


def test_outputs_name_the_two_addresses(service: Template, environment: Environment) -> None:
    rest = flat(service.outputs["RestUrl"]["Value"])
    websocket = flat(service.outputs["WebSocketUrl"]["Value"])
    if environment.name == "local":
        assert rest.startswith("http://127.0.0.1:4599/_aws/execute-api/<RestApi")
        assert websocket.startswith("ws://127.0.0.1:4599/_aws/execute-api/<WebSocketApi")
    else:
        assert rest.startswith("https://<RestApi")
        assert websocket.startswith("wss://<WebSocketApi")
        assert ".execute-api.<AWS::Region>.amazonaws.com/" in websocket
    assert rest.endswith("/v1")
    assert websocket.endswith("/v1")
    assert "<FunctionsCleanupFunction" in flat(service.outputs["CleanupFunctionName"]["Value"])


def _header(parameter: str) -> str:
    return parameter.rpartition(".")[2].lower()


def _routes(service: Template) -> dict[str, Any]:
    return {
        route["RouteKey"]: route
        for route in service.properties("AWS::ApiGatewayV2::Route").values()
    }


def _function_of_route(service: Template, route: dict[str, Any]) -> str:
    integration = flat(route["Target"]).removeprefix("integrations/").strip("<>")
    uri = flat(service.properties("AWS::ApiGatewayV2::Integration")[integration]["IntegrationUri"])
    return uri.partition("<Functions")[2].partition("Live")[0]


def _access_log_formats(service: Template) -> list[str]:
    _, stage = service.only("AWS::ApiGateway::Stage")
    _, websocket = service.only("AWS::ApiGatewayV2::Stage")
    return [
        stage["Properties"]["AccessLogSetting"]["Format"],
        websocket["Properties"]["AccessLogSettings"]["Format"],
    ]
