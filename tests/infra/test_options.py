"""What an environment may ask for, and what costs something."""

import dataclasses
import re
from pathlib import Path

import pytest

from infra.configuration import Environment, Limits, Throttle
from infra.environments import DEV
from tests.infra.every_option import EVERY_OPTION, every_option_templates
from tests.infra.synthesis import Templates, synthesize
from tests.infra.template import Template, flat

PAID = ("AWS::KMS::Key", "AWS::WAFv2::WebACL", "AWS::ApiGateway::DomainName")


@pytest.fixture
def stacks(tmp_path_factory: pytest.TempPathFactory, source: Path) -> dict[str, Template]:
    return every_option_templates(tmp_path_factory, source)


def test_nothing_that_costs_is_there_unasked(templates: Templates) -> None:
    found = {
        (name, kind)
        for name, stacks in templates.items()
        for stack in stacks.values()
        for kind in PAID
        if stack.resources(kind)
    }
    assert found == {("prod", "AWS::WAFv2::WebACL")}


def test_one_key_encrypts_everything_that_is_kept(stacks: dict[str, Template]) -> None:
    key, resource = stacks["Data"].only("AWS::KMS::Key")
    assert resource["DeletionPolicy"] == "Retain"
    assert resource["Properties"]["EnableKeyRotation"] is True
    (table,) = stacks["Data"].properties("AWS::DynamoDB::Table").values()
    assert table["SSESpecification"]["KMSMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
    for stack, kind, attribute in (
        ("Service", "AWS::Logs::LogGroup", "KmsKeyId"),
        ("Service", "AWS::SQS::Queue", "KmsMasterKeyId"),
        ("Monitoring", "AWS::SNS::Topic", "KmsMasterKeyId"),
    ):
        kept = stacks[stack].properties(kind)
        assert kept
        for properties in kept.values():
            assert key in flat(properties[attribute])


def test_the_key_serves_this_account_alone(stacks: dict[str, Template]) -> None:
    (key,) = stacks["Data"].properties("AWS::KMS::Key").values()
    root, *others = key["KeyPolicy"]["Statement"]
    assert flat(root["Principal"]["AWS"]) == "arn:<AWS::Partition>:iam::<AWS::AccountId>:root"
    assert len(others) == 4
    for statement in others:
        assert "AWS::AccountId" in str(statement["Condition"]), statement["Sid"]
    callers = {
        str(service).partition(".")[0]
        for statement in others
        for service in [statement["Principal"].get("Service", "")]
        if isinstance(service, str)
    }
    assert "cloudwatch" in callers, "alarms must be able to publish to an encrypted topic"


def test_a_function_has_the_bound_that_the_environment_names(
    stacks: dict[str, Template], templates: Templates
) -> None:
    def bounds(service: Template) -> dict[str, int]:
        return {
            re.sub(r"^Functions(\w+)Function[0-9A-F]{8}$", r"\1", name): properties[
                "ReservedConcurrentExecutions"
            ]
            for name, properties in service.properties("AWS::Lambda::Function").items()
            if "ReservedConcurrentExecutions" in properties
        }

    assert bounds(stacks["Service"]) == {"Authorizer": 200, "Rest": 50, "Cleanup": 4}
    assert bounds(templates["staging"]["Service"]) == {"Cleanup": 2}
    assert bounds(templates["dev"]["Service"]) == {}


def test_the_web_acl_stands_before_the_rest_api(stacks: dict[str, Template]) -> None:
    service = stacks["Service"]
    acl, resource = service.only("AWS::WAFv2::WebACL")
    _, association = service.only("AWS::WAFv2::WebACLAssociation")
    stage, _ = service.only("AWS::ApiGateway::Stage")
    assert association["Properties"]["WebACLArn"] == {"Fn::GetAtt": [acl, "Arn"]}
    assert flat(association["Properties"]["ResourceArn"]).endswith(f"/stages/<{stage}>")
    rate, *managed = resource["Properties"]["Rules"]
    assert rate["Statement"]["RateBasedStatement"]["Limit"] == 2_000
    assert rate["Action"] == {"Block": {}}
    names = {rule["Statement"]["ManagedRuleGroupStatement"]["Name"] for rule in managed}
    assert "AWSManagedRulesKnownBadInputsRuleSet" in names
    assert len({rule["Priority"] for rule in (rate, *managed)}) == 1 + len(managed)


def test_the_web_acl_keeps_no_samples_which_would_show_tokens(stacks: dict[str, Template]) -> None:
    (acl,) = stacks["Service"].properties("AWS::WAFv2::WebACL").values()
    for visible in (acl, *acl["Rules"]):
        assert visible["VisibilityConfig"]["SampledRequestsEnabled"] is False


def test_the_web_acl_lets_messages_pass_whatever_their_size_and_text(
    stacks: dict[str, Template],
) -> None:
    (acl,) = stacks["Service"].properties("AWS::WAFv2::WebACL").values()
    counted = {
        override["Name"]
        for rule in acl["Rules"]
        for override in rule["Statement"]
        .get("ManagedRuleGroupStatement", {})
        .get("RuleActionOverrides", [])
        if override["ActionToUse"] == {"Count": {}}
    }
    assert {"SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericRFI_BODY"} <= counted


def test_the_table_and_its_indexes_serve_no_more_than_the_environment_says(
    stacks: dict[str, Template], templates: Templates
) -> None:
    def bounds(data: Template) -> list[object]:
        (table,) = data.properties("AWS::DynamoDB::Table").values()
        return [
            each.get("OnDemandThroughput") for each in (table, *table["GlobalSecondaryIndexes"])
        ]

    asked = EVERY_OPTION.limits.table
    assert asked is not None
    bound = {"MaxReadRequestUnits": asked.read, "MaxWriteRequestUnits": asked.write}
    assert bounds(stacks["Data"]) == [bound] * 3
    assert bounds(templates["dev"]["Data"]) == [None] * 3


def test_both_apis_are_reached_by_names_of_ones_own(stacks: dict[str, Template]) -> None:
    service = stacks["Service"]
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


def test_functions_reach_sockets_at_the_apis_own_address(stacks: dict[str, Template]) -> None:
    """The management API does not answer under a name of one's own without further permission."""
    service = stacks["Service"]
    (api,) = service.resources("AWS::ApiGatewayV2::Api")
    url = flat(service.function("Cleanup")["Environment"]["Variables"]["WEBSOCKET_MANAGEMENT_URL"])
    assert url == f"https://<{api}>.execute-api.<AWS::Region>.amazonaws.com/v1"
    assert flat(service.outputs["WebSocketManagementUrl"]["Value"]) == url


def test_the_environment_of_this_test_sets_what_is_off_elsewhere(environment: Environment) -> None:
    for name in ("customer_managed_key", "domains"):
        assert not getattr(environment, name)
        assert getattr(EVERY_OPTION, name)


def test_single_routes_let_through_less_where_the_environment_says_so(
    stacks: dict[str, Template],
) -> None:
    (rest,) = stacks["Service"].properties("AWS::ApiGateway::Stage").values()
    bounds = {
        (each["ResourcePath"], each["HttpMethod"]): each["ThrottlingRateLimit"]
        for each in rest["MethodSettings"]
    }
    assert bounds["/~1businesses~1{businessId}~1messages", "POST"] == 20
    assert bounds["/*", "*"] == 1_000
    (stage,) = stacks["Service"].resources("AWS::ApiGatewayV2::Stage").values()
    assert stage["Properties"]["RouteSettings"] == {
        "$connect": {"ThrottlingRateLimit": 300, "ThrottlingBurstLimit": 400}
    }
    routes = stacks["Service"].properties("AWS::ApiGatewayV2::Route")
    (connect,) = (name for name, each in routes.items() if each["RouteKey"] == "$connect")
    assert connect in stage["DependsOn"]


@pytest.mark.parametrize("route", ["GET /nowhere", "POST /health", "dance"])
def test_a_throttle_of_a_route_that_is_not_there_is_refused(
    tmp_path: Path, source: Path, route: str
) -> None:
    wrong = dataclasses.replace(DEV, limits=Limits(routes={route: Throttle(1, 1)}))
    with pytest.raises(Exception, match=re.escape(route)):
        synthesize(tmp_path, source, [wrong])
