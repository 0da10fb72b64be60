"""Options of an environment."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from infra.configuration import Environment, Limits, Throttle
from infra.environments import DEV
from lambdas.problems import TOO_MANY_REQUESTS
from tests.infra.every_option import EVERY_OPTION
from tests.infra.synthesis import Templates, synthesize
from tests.infra.template import Template, flat


def test_an_environment_has_what_costs_extra_only_if_it_asks_for_it(
    stacks: dict[str, Template], environment: Environment
) -> None:
    for kind, asked in (
        ("AWS::KMS::Key", environment.customer_managed_key),
        ("AWS::WAFv2::WebACL", environment.limits.web_acl_rate is not None),
        ("AWS::ApiGateway::DomainName", environment.domains is not None),
    ):
        assert any(stack.resources(kind) for stack in stacks.values()) is asked, kind


def test_the_functions_that_users_wait_for_start_from_snapshots_where_that_is_wanted(
    service: Template, environment: Environment
) -> None:
    """Only those: nobody waits for the others, and a snapshot that is not used is dropped."""
    started = {name: function.get("SnapStart") for name, function in service.functions().items()}
    snapshots = {re.split("Function[0-9A-F]", name)[0] for name in started if started[name]}
    wanted = {"Authorizer", "Connect", "Ping", "Status", "Rest"}
    assert {name.removeprefix("Functions") for name in snapshots} == (
        wanted if environment.snap_start else set()
    )
    assert {str(each) for each in started.values() if each} <= {"{'ApplyOn': 'PublishedVersions'}"}


def test_a_region_without_snap_start_is_refused() -> None:
    with pytest.raises(ValueError, match="snap_start must be False in ap-east-2"):
        dataclasses.replace(DEV, region="ap-east-2", snap_start=True)


def test_one_customer_managed_key_encrypts_all_stored_data(
    every_option: dict[str, Template],
) -> None:
    key, resource = every_option["Data"].only("AWS::KMS::Key")
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["Properties"]["EnableKeyRotation"] is True
    for table in every_option["Data"].properties("AWS::DynamoDB::Table").values():
        assert table["SSESpecification"]["KMSMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
    for stack, kind, attribute in (
        ("Data", "AWS::Events::EventBus", "KmsKeyIdentifier"),
        ("Service", "AWS::Logs::LogGroup", "KmsKeyId"),
        ("Service", "AWS::SQS::Queue", "KmsMasterKeyId"),
        ("Monitoring", "AWS::SNS::Topic", "KmsMasterKeyId"),
    ):
        kept = every_option[stack].properties(kind)
        assert kept
        for properties in kept.values():
            assert key in flat(properties[attribute])


def test_only_this_account_can_use_the_key(every_option: dict[str, Template]) -> None:
    (key,) = every_option["Data"].properties("AWS::KMS::Key").values()
    root, *others = key["KeyPolicy"]["Statement"]
    assert flat(root["Principal"]["AWS"]) == "arn:aws:iam::123456789012:root"
    assert len(others) == 5
    for statement in others:
        assert "123456789012" in str(statement["Condition"]), statement
    callers = {
        str(service).partition(".")[0]
        for statement in others
        for service in [statement["Principal"].get("Service", "")]
        if isinstance(service, str)
    }
    assert "cloudwatch" in callers, "alarms must be able to publish to an encrypted topic"
    assert "events" in callers, "the bus must be able to deliver encrypted events"


def test_functions_reserve_the_capacity_that_the_environment_names(
    every_option: dict[str, Template], templates: Templates
) -> None:
    def reserved(service: Template) -> dict[str, int]:
        return {
            name: properties["ReservedConcurrentExecutions"]
            for name, properties in service.functions().items()
            if "ReservedConcurrentExecutions" in properties
        }

    # One more than its three workers for the cleanup, so that a person can start it too.
    assert reserved(every_option["Service"]) == {"Authorizer": 200, "Rest": 50, "Cleanup": 4}
    assert reserved(templates["local"]["Service"]) == {}


def test_the_web_acl_tells_an_address_that_sends_too_much_to_come_back_later(
    every_option: dict[str, Template],
) -> None:
    """What its managed rules block is refused for good: see the gateway response WAF_FILTERED."""
    (acl,) = every_option["Service"].properties("AWS::WAFv2::WebACL").values()
    rate, *managed = acl["Rules"]
    answer = rate["Action"]["Block"]["CustomResponse"]
    assert answer["ResponseCode"] == 429
    headers = {each["Name"]: each["Value"] for each in answer["ResponseHeaders"]}
    assert int(headers["Retry-After"]) >= 30
    body = acl["CustomResponseBodies"][answer["CustomResponseBodyKey"]]
    assert body["ContentType"] == "APPLICATION_JSON"
    assert json.loads(body["Content"]) == TOO_MANY_REQUESTS.document()
    assert "CustomResponse" not in str(managed)


def test_the_web_acl_samples_no_requests_because_they_hold_tokens(
    every_option: dict[str, Template],
) -> None:
    (acl,) = every_option["Service"].properties("AWS::WAFv2::WebACL").values()
    for visible in (acl, *acl["Rules"]):
        assert visible["VisibilityConfig"]["SampledRequestsEnabled"] is False


def test_the_web_acl_lets_messages_of_any_size_and_text_pass(
    every_option: dict[str, Template],
) -> None:
    (acl,) = every_option["Service"].properties("AWS::WAFv2::WebACL").values()
    counted = {
        override["Name"]
        for rule in acl["Rules"]
        for override in rule["Statement"]
        .get("ManagedRuleGroupStatement", {})
        .get("RuleActionOverrides", [])
        if override["ActionToUse"] == {"Count": {}}
    }
    assert {"SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericRFI_BODY"} <= counted


def test_the_tables_and_their_indexes_have_the_limits_of_the_environment(
    data: Template, environment: Environment
) -> None:
    limits = [
        each.get("OnDemandThroughput")
        for table in data.properties("AWS::DynamoDB::Table").values()
        for each in (table, *table.get("GlobalSecondaryIndexes", ()))
    ]
    table = environment.limits.table
    limit = table and {"MaxReadRequestUnits": table.read, "MaxWriteRequestUnits": table.write}
    assert limits == [limit] * 4


def test_both_apis_have_their_custom_domain_names(every_option: dict[str, Template]) -> None:
    service = every_option["Service"]
    assert service.outputs["RestUrl"]["Value"] == "https://api.example.com"
    assert service.outputs["WebSocketUrl"]["Value"] == "wss://sockets.example.com"
    assert {"RestDnsTarget", "WebSocketDnsTarget"} <= service.outputs.keys()
    _, rest = service.only("AWS::ApiGateway::DomainName")
    _, websocket = service.only("AWS::ApiGatewayV2::DomainName")
    assert rest["Properties"]["SecurityPolicy"] == "TLS_1_2"
    (configuration,) = websocket["Properties"]["DomainNameConfigurations"]
    assert configuration["SecurityPolicy"] == "TLS_1_2"
    _, rest_mapping = service.only("AWS::ApiGateway::BasePathMapping")
    _, mapping = service.only("AWS::ApiGatewayV2::ApiMapping")
    assert rest_mapping["Properties"]["Stage"] == {"Ref": service.only("AWS::ApiGateway::Stage")[0]}
    assert mapping["Properties"]["Stage"] == "v1"
    assert service.only("AWS::ApiGatewayV2::Stage")[0] in mapping["DependsOn"]


def test_functions_reach_sockets_without_the_custom_domain_name(
    every_option: dict[str, Template],
) -> None:
    """Under a custom name, the management API would need a further permission."""
    service = every_option["Service"]
    (api,) = service.resources("AWS::ApiGatewayV2::Api")
    url = flat(service.function("Cleanup")["Environment"]["Variables"]["WEBSOCKET_MANAGEMENT_URL"])
    assert url == f"https://<{api}>.execute-api.eu-central-1.amazonaws.com/v1"
    assert flat(service.outputs["WebSocketManagementUrl"]["Value"]) == url


def test_single_routes_have_the_throttles_of_the_environment(
    every_option: dict[str, Template],
) -> None:
    (rest,) = every_option["Service"].properties("AWS::ApiGateway::Stage").values()
    rates = {
        (each["ResourcePath"], each["HttpMethod"]): each["ThrottlingRateLimit"]
        for each in rest["MethodSettings"]
    }
    assert rates["/~1businesses~1{businessId}~1messages", "POST"] == 20
    assert rates["/*", "*"] == EVERY_OPTION.limits.rest.rate
    (stage,) = every_option["Service"].resources("AWS::ApiGatewayV2::Stage").values()
    assert stage["Properties"]["RouteSettings"] == {
        "$connect": {"ThrottlingRateLimit": 300, "ThrottlingBurstLimit": 400}
    }
    routes = every_option["Service"].properties("AWS::ApiGatewayV2::Route")
    (connect,) = (name for name, each in routes.items() if each["RouteKey"] == "$connect")
    assert connect in stage["DependsOn"]


@pytest.mark.parametrize("route", ["GET /nowhere", "POST /health", "dance"])
def test_a_throttle_of_an_unknown_route_is_refused_by_its_name(
    tmp_path: Path, source: Path, route: str
) -> None:
    wrong = dataclasses.replace(DEV, limits=Limits(routes={route: Throttle(1, 1)}))
    with pytest.raises(Exception, match=re.escape(route)):
        synthesize(tmp_path, source, [wrong])
