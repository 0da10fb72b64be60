"""What must exist before something else is created, in the first deployment of a stack.

CloudFormation creates everything at once that does not refer to anything else, by a reference or by
`DependsOn`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.infra.synthesis import Templates
from tests.infra.template import Template


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        # A stage deploys itself when its API changes, and refuses other changes meanwhile.
        ("AWS::ApiGatewayV2::Stage", "AWS::ApiGatewayV2::Route"),
        ("AWS::ApiGatewayV2::Stage", "AWS::ApiGatewayV2::Integration"),
        ("AWS::ApiGatewayV2::Stage", "AWS::ApiGatewayV2::RouteResponse"),
        ("AWS::ApiGatewayV2::Stage", "AWS::ApiGatewayV2::Authorizer"),
        # A deployment is a copy of what the API has at that moment.
        ("AWS::ApiGateway::Stage", "AWS::ApiGateway::Method"),
        ("AWS::ApiGateway::Stage", "AWS::ApiGateway::GatewayResponse"),
        ("AWS::ApiGateway::Stage", "AWS::ApiGateway::Model"),
        ("AWS::ApiGateway::Stage", "AWS::ApiGateway::RequestValidator"),
        ("AWS::WAFv2::WebACLAssociation", "AWS::ApiGateway::Stage"),
        ("AWS::ApiGateway::BasePathMapping", "AWS::ApiGateway::Stage"),
        ("AWS::ApiGatewayV2::ApiMapping", "AWS::ApiGatewayV2::Stage"),
    ],
)
def test_all_of_a_kind_exist_before_what_needs_them(
    templates: Templates, later: str, earlier: str
) -> None:
    for name, service in _services(templates):
        for logical_id in service.resources(later):
            missing = service.resources(earlier).keys() - service.created_before(logical_id)
            assert not missing, f"{name}: {logical_id} may come before {missing}"


@pytest.mark.parametrize(
    ("kind", "role_of"),
    [
        ("AWS::Scheduler::Schedule", lambda schedule: schedule["Target"]["RoleArn"]),
        ("AWS::Lambda::Function", lambda function: function["Role"]),
    ],
)
def test_a_role_has_its_permissions_before_something_acts_in_it(
    templates: Templates, kind: str, role_of: Callable[[Any], Any]
) -> None:
    """A rate schedule invokes its target as soon as it exists."""
    for name, service in _services(templates):
        for logical_id, properties in service.properties(kind).items():
            role = role_of(properties)["Fn::GetAtt"][0]
            policies = {
                policy
                for policy, each in service.properties("AWS::IAM::Policy").items()
                if {"Ref": role} in each["Roles"]
            }
            assert policies, (name, logical_id)
            assert policies <= service.created_before(logical_id), (name, logical_id)


def test_a_schedule_does_not_invoke_a_function_before_it_is_told_not_to_retry(
    templates: Templates,
) -> None:
    for name, service in _services(templates):
        configured = {
            each["FunctionName"]["Ref"]: logical_id
            for logical_id, each in service.properties("AWS::Lambda::EventInvokeConfig").items()
        }
        for logical_id in service.resources("AWS::Scheduler::Schedule"):
            before = service.created_before(logical_id)
            (function,) = (f for f in configured if f in before)
            assert configured[function] in before, (name, logical_id)


def _services(templates: Templates) -> Iterator[tuple[str, Template]]:
    for name, stacks in templates.items():
        yield name, stacks["Service"]
