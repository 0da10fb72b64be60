import json
import re
from typing import Any

import pytest

from infra.environments import Environment
from tests.infra.template import Properties, Template, as_list, flat

CALLERS = (
    "AWS::ApiGateway::Authorizer",
    "AWS::ApiGateway::Method",
    "AWS::ApiGatewayV2::Authorizer",
    "AWS::ApiGatewayV2::Integration",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Scheduler::Schedule",
)


@pytest.mark.parametrize("kind", CALLERS)
def test_nobody_invokes_a_function_but_by_its_alias(service: Template, kind: str) -> None:
    callers = service.properties(kind)
    assert callers
    for logical_id, caller in callers.items():
        if kind == "AWS::ApiGateway::Method" and caller["Integration"]["Type"] == "MOCK":
            continue
        if kind == "AWS::Lambda::EventInvokeConfig":
            assert _qualified(service, caller["Qualifier"]), logical_id
            continue
        named = [name for name in _references(caller) if name in _functions(service)]
        aliases = [name for name in _references(caller) if name in _aliases(service)]
        assert aliases, f"{logical_id} invokes no alias"
        assert not named, f"{logical_id} invokes {named}, whatever its version"


def test_no_role_may_invoke_a_function_but_by_its_alias(service: Template) -> None:
    invoked = [
        flat(resource)
        for policy in service.properties("AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if "lambda:InvokeFunction" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    assert invoked
    for resource in invoked:
        # CodeDeploy asks the check itself: a build is looked at before it is live.
        asked = resource.startswith("<FunctionsPreflightFunction")
        assert asked or resource.strip("<>") in _aliases(service)


def test_every_function_has_one_alias_that_is_a_published_version(service: Template) -> None:
    aliases = service.properties("AWS::Lambda::Alias").values()
    versions = service.properties("AWS::Lambda::Version")
    assert {alias["Name"] for alias in aliases} == {"live"}
    assert {alias["FunctionName"]["Ref"] for alias in aliases} == _functions(service)
    assert len(aliases) == len(_functions(service))
    for alias in aliases:
        version, attribute = alias["FunctionVersion"]["Fn::GetAtt"]
        assert attribute == "Version"
        assert versions[version]["FunctionName"] == alias["FunctionName"]


def test_traffic_shifts_gradually_where_the_environment_says_so(
    service: Template, environment: Environment
) -> None:
    shifted = {
        _function_of(alias["Properties"])
        for alias in service.resources("AWS::Lambda::Alias").values()
        if "CodeDeployLambdaAliasUpdate" in alias.get("UpdatePolicy", {})
    }
    answering = {
        name for name in map(_short, _functions(service)) if name not in ("Cleanup", "Preflight")
    }
    assert environment.gradual_deployments is (environment.name in ("staging", "prod"))
    assert shifted == (answering if environment.gradual_deployments else set())
    groups = service.properties("AWS::CodeDeploy::DeploymentGroup").values()
    assert len(groups) == len(shifted)
    for group in groups:
        assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
        assert set(group["AutoRollbackConfiguration"]["Events"]) == {
            "DEPLOYMENT_FAILURE",
            "DEPLOYMENT_STOP_ON_ALARM",
            "DEPLOYMENT_STOP_ON_REQUEST",
        }


def test_a_deployment_is_rolled_back_by_errors_of_the_version_that_it_brings(
    templates: dict[str, dict[str, Template]],
) -> None:
    service = templates["prod"]["Service"]
    alarms = service.properties("AWS::CloudWatch::Alarm")
    watched = {}
    for alias in service.resources("AWS::Lambda::Alias").values():
        if "UpdatePolicy" not in alias:
            continue
        update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        group = service.properties("AWS::CodeDeploy::DeploymentGroup")[
            update["DeploymentGroupName"]["Ref"]
        ]
        assert group["AlarmConfiguration"]["Enabled"] is True
        names = [alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]]
        watched[_function_of(alias["Properties"])] = names
        dimensions = {
            each["Name"]: each["Value"] for each in alarms[names[0]].get("Dimensions", [])
        }
        function = alias["Properties"]["FunctionName"]
        assert alarms[names[0]]["MetricName"] == "Errors"
        assert dimensions["FunctionName"] == function
        assert flat(dimensions["Resource"]) == f"{flat(function)}:live"
        assert dimensions["ExecutedVersion"] == alias["Properties"]["FunctionVersion"]
    assert [alarms[name]["MetricName"] for name in watched.pop("Rest")] == ["Errors", "5XXError"]
    assert all(len(names) == 1 for names in watched.values())
    for alarm in alarms.values():
        assert alarm["TreatMissingData"] == "notBreaching"


def test_no_traffic_moves_before_the_new_build_was_found_fit(
    templates: dict[str, dict[str, Template]],
) -> None:
    service = templates["prod"]["Service"]
    preflight = service.function("Preflight")
    assert preflight["Handler"] == "lambdas.handlers.preflight.handler"
    assert preflight["Code"] == service.function("Rest")["Code"]
    (name,) = (each for each in _functions(service) if _short(each) == "Preflight")
    shifted = [
        alias
        for alias in service.resources("AWS::Lambda::Alias").values()
        if "UpdatePolicy" in alias
    ]
    assert shifted
    for alias in shifted:
        update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert update["BeforeAllowTrafficHook"] == {"Ref": name}
        assert name in alias["DependsOn"]


def test_the_cleanup_changes_after_all_that_shifts(
    templates: dict[str, dict[str, Template]],
) -> None:
    service = templates["prod"]["Service"]
    aliases = service.resources("AWS::Lambda::Alias")
    (cleanup,) = (each for name, each in aliases.items() if _short(name) == "Cleanup")
    shifted = {name for name, each in aliases.items() if "UpdatePolicy" in each}
    assert shifted <= set(cleanup["DependsOn"])


def test_a_shift_may_change_the_functions_of_this_service_alone(
    templates: dict[str, dict[str, Template]],
) -> None:
    service = templates["prod"]["Service"]
    (role,) = {
        group["ServiceRoleArn"]["Fn::GetAtt"][0]
        for group in service.properties("AWS::CodeDeploy::DeploymentGroup").values()
    }
    assert "ManagedPolicyArns" not in service.properties("AWS::IAM::Role")[role]
    (policy,) = (
        each
        for each in service.properties("AWS::IAM::Policy").values()
        if {"Ref": role} in each["Roles"]
    )
    for statement in policy["PolicyDocument"]["Statement"]:
        if as_list(statement["Action"]) == ["cloudwatch:DescribeAlarms"]:
            continue
        for resource in as_list(statement["Resource"]):
            assert re.fullmatch(r"<Functions\w+\.Arn>(:live)?", flat(resource))


def _functions(service: Template) -> set[str]:
    return set(service.resources("AWS::Lambda::Function"))


def _aliases(service: Template) -> set[str]:
    return set(service.resources("AWS::Lambda::Alias"))


def _qualified(service: Template, qualifier: Any) -> bool:
    """Whether it is an alias: by its name, which is the last part of its ARN."""
    return qualifier == "live" or bool(_aliases(service) & set(_references(qualifier)))


def _references(properties: Properties) -> list[str]:
    text = json.dumps(properties)
    return [
        *re.findall(r'"Ref": "(\w+)"', text),
        *re.findall(r'"Fn::GetAtt": \["(\w+)"', text),
    ]


def _function_of(alias: Properties) -> str:
    return _short(alias["FunctionName"]["Ref"])


def _short(logical_id: str) -> str:
    return re.sub(r"^Functions(\w+?)(Function|Live)[0-9A-F]{8}$", r"\1", logical_id)
