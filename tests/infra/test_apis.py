import json
from pathlib import Path
from typing import Any

import pytest

from infra.configuration import Environment
from lambdas.routes import methods_by_path
from tests.infra.synthesis import ENVIRONMENTS, Templates
from tests.infra.template import Template, flat

UNKNOWN_PATHS = ("", "/{proxy+}")
"""The two resources that match every path that no route has."""

LOGGED_VARIABLES = {
    # Set by API Gateway.
    "requestId",
    "extendedRequestId",
    "identity.sourceIp",
    "connectionId",
    "httpMethod",
    "status",
    "responseLatency",
    "error.responseType",
    "integration.error",
    # The route as this application spells it.
    "resourcePath",
    "routeKey",
    # Set by the authorizer: a percent-encoded user id, a business id, the text of an error.
    "authorizer.principalId",
    "authorizer.businessId",
    "authorizer.error",
}
"""What may be logged. Access logs escape nothing, so none of these may hold a client's text."""


def test_every_path_passes_other_methods_to_the_function_which_answers_405(
    service: Template,
) -> None:
    assert {(path, "ANY") for path in methods_by_path()} <= service.rest_methods().keys()


def test_only_get_health_needs_no_token(service: Template) -> None:
    types = {
        route: method["AuthorizationType"] for route, method in _methods_of_routes(service).items()
    }
    assert types.pop(("/health", "GET")) == "NONE"
    assert set(types.values()) == {"CUSTOM"}


def test_every_rest_method_calls_the_live_version_of_the_function(service: Template) -> None:
    for method in _methods_of_routes(service).values():
        assert method["Integration"]["Type"] == "AWS_PROXY"
        assert "<FunctionsRestLive" in flat(method["Integration"]["Uri"])


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
def test_an_unknown_path_is_answered_with_404_whatever_is_sent(
    service: Template, path: str
) -> None:
    """By default API Gateway takes a bearer token there for a bad signature, and answers 403."""
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
    # A body of another type would replace what the template makes, so it is refused, also as 404.
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
    headers, refused_headers = (
        {_header(name): value for name, value in answer["ResponseParameters"].items()}
        for answer in (response, refused)
    )
    assert headers == refused_headers
    assert headers["content-type"] == "'application/problem+json'"


def test_an_accepted_token_is_cached_for_at_most_a_minute(service: Template) -> None:
    _, authorizer = service.only("AWS::ApiGateway::Authorizer")
    assert authorizer["Properties"]["Type"] == "REQUEST"
    assert authorizer["Properties"]["IdentitySource"] == "method.request.header.Authorization"
    assert authorizer["Properties"]["AuthorizerResultTtlInSeconds"] <= 60


def test_api_gateways_own_answers_are_problem_documents(service: Template) -> None:
    answers = {
        answer["ResponseType"]: answer
        for answer in service.properties("AWS::ApiGateway::GatewayResponse").values()
    }
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= answers.keys()
    for answer in answers.values():
        document = json.loads(answer["ResponseTemplates"]["application/json"])
        assert {"type", "title"} <= document.keys()
        assert document.get("status") == (
            int(answer["StatusCode"]) if "status" in document else None
        )
        header = answer["ResponseParameters"]["gatewayresponse.header.Content-Type"]
        assert header == "'application/problem+json'"


def test_a_throttled_request_is_told_when_to_come_back(service: Template) -> None:
    """Clients repeat a 429, and give up after a 403."""
    told = {
        answer["ResponseType"]: answer["ResponseParameters"].get(
            "gatewayresponse.header.Retry-After"
        )
        for answer in service.properties("AWS::ApiGateway::GatewayResponse").values()
    }
    assert {kind: value for kind, value in told.items() if value} == {"THROTTLED": "'1'"}


def test_the_authorizer_sees_every_handshake(service: Template) -> None:
    """With an identity source, API Gateway would refuse a handshake that has a ticket only."""
    logical_id, authorizer = service.only("AWS::ApiGatewayV2::Authorizer")
    connect = _routes(service)["$connect"]
    assert authorizer["Properties"]["AuthorizerType"] == "REQUEST"
    assert authorizer["Properties"]["IdentitySource"] == []
    assert "<FunctionsAuthorizerLive" in flat(authorizer["Properties"]["AuthorizerUri"])
    assert connect["AuthorizationType"] == "CUSTOM"
    assert connect["AuthorizerId"] == {"Ref": logical_id}


def test_answers_to_websocket_messages_are_declared(service: Template) -> None:
    """Without it, API Gateway discards what a function returns."""
    declared = {
        key
        for key, route in _routes(service).items()
        if "RouteResponseSelectionExpression" in route
    }
    responses = service.resources("AWS::ApiGatewayV2::RouteResponse")
    assert declared == {"ping", "status", "$default"}
    assert len(responses) == len(declared)


def test_a_method_that_needs_no_token_lets_through_few_requests(service: Template) -> None:
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


def test_access_logs_hold_no_token_and_no_text_that_could_forge_a_line(service: Template) -> None:
    for log_format in _access_log_formats(service):
        fields = json.loads(log_format)
        assert {f"$context.{name}" for name in LOGGED_VARIABLES} >= set(fields.values())
        assert fields["userId"] == "$context.authorizer.principalId"


def test_stages_are_created_after_the_permission_to_write_logs(service: Template) -> None:
    account, _ = service.only("AWS::ApiGateway::Account")
    for kind, settings in (
        ("AWS::ApiGateway::Stage", "AccessLogSetting"),
        ("AWS::ApiGatewayV2::Stage", "AccessLogSettings"),
    ):
        _, stage = service.only(kind)
        if settings in stage["Properties"]:
            assert account in stage["DependsOn"]


def test_an_environment_can_do_without_the_access_log_of_its_sockets(
    service: Template, environment: Environment
) -> None:
    _, stage = service.only("AWS::ApiGatewayV2::Stage")
    assert ("AccessLogSettings" in stage["Properties"]) is environment.websocket_access_log
    groups = service.resources("AWS::Logs::LogGroup")
    assert any("WebSocket" in group for group in groups) is environment.websocket_access_log


def test_the_cost_document_assumes_the_memory_and_the_log_line_of_a_ping(
    templates: Templates,
) -> None:
    service = templates["local"]["Service"]
    *_, log_format = _access_log_formats(service)
    line = log_format
    for variable, value in {
        "requestId": "AbCdEfGhIjKlMnO=",
        "identity.sourceIp": "203.0.113.117",
        "routeKey": "ping",
        "connectionId": "O9oRTfeAoAMCK6g=",
        "authorizer.businessId": "b" * 20,
        "authorizer.principalId": "u" * 20,
        "status": "200",
        "authorizer.error": "-",
        "integration.error": "-",
    }.items():
        line = line.replace(f"$context.{variable}", value)
    assert "$" not in line
    kilobytes = (len(line) + 26) / 1_000  # CloudWatch adds 26 bytes
    memory = service.function("Ping")["MemorySize"]
    costs = (Path(__file__).resolve().parents[2] / "docs" / "costs.md").read_text()
    assert f"at {memory} MB + 1 write unit + {kilobytes:.2f} KB of access log" in costs


def test_a_sampling_rule_matches_the_stage_of_the_rest_api_alone(
    every_option: dict[str, Template],
) -> None:
    """Otherwise the rules of several environments of one account would compete."""
    service = every_option["Service"]
    stage, _ = service.only("AWS::ApiGateway::Stage")
    _, resource = service.only("AWS::XRay::SamplingRule")
    rule = resource["Properties"]["SamplingRule"]
    assert rule["ServiceType"] == "AWS::ApiGateway::Stage"
    assert flat(rule["ResourceARN"]).endswith(f"/stages/<{stage}>")
    assert {rule[name] for name in ("ServiceName", "Host", "HTTPMethod", "URLPath")} == {"*"}
    assert rule["FixedRate"] < 0.05  # the account's default


def test_each_environment_has_a_sampling_rule_of_its_own_name(templates: Templates) -> None:
    """The name is unique in an account and region."""
    names = [
        rule["SamplingRule"]["RuleName"]
        for stacks in templates.values()
        for rule in stacks["Service"].properties("AWS::XRay::SamplingRule").values()
    ]
    assert len(set(names)) == len(ENVIRONMENTS)


def test_the_logging_role_outlives_the_stack_since_other_apis_of_the_account_use_it(
    service: Template,
) -> None:
    _, account = service.only("AWS::ApiGateway::Account")
    role = service.resources("AWS::IAM::Role")[
        account["Properties"]["CloudWatchRoleArn"]["Fn::GetAtt"][0]
    ]
    assert account["DeletionPolicy"] == "Retain"
    assert role["DeletionPolicy"] == "Retain"


def _methods_of_routes(service: Template) -> dict[tuple[str, str], Any]:
    """The methods that a client calls: no preflight requests, no unknown paths."""
    return {
        (path, name): method
        for (path, name), method in service.rest_methods().items()
        if path not in UNKNOWN_PATHS and name != "OPTIONS"
    }


def _header(parameter: str) -> str:
    return parameter.rpartition(".")[2].lower()


def _routes(service: Template) -> dict[str, Any]:
    return {
        route["RouteKey"]: route
        for route in service.properties("AWS::ApiGatewayV2::Route").values()
    }


def _access_log_formats(service: Template) -> list[str]:
    _, stage = service.only("AWS::ApiGateway::Stage")
    _, websocket = service.only("AWS::ApiGatewayV2::Stage")
    settings = websocket["Properties"].get("AccessLogSettings")
    return [
        stage["Properties"]["AccessLogSetting"]["Format"],
        *([settings["Format"]] if settings else ()),
    ]
