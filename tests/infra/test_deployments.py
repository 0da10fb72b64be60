import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.configuration import Environment
from infra.environments import STAGING
from lambdas.bootstrap import Service
from lambdas.domain.rules import Rules
from lambdas.observability import DIMENSION, NAMESPACE, VERSION_DIMENSION, MetricName
from tests.infra.synthesis import synthesize
from tests.infra.template import Properties, Template, as_list, flat
from tests.runbook import sections

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
        assert _by_guard(service, group["DeploymentConfigName"])["true"] == (
            "CodeDeployDefault.LambdaCanary10Percent5Minutes"
        )
        assert set(group["AutoRollbackConfiguration"]["Events"]) == {
            "DEPLOYMENT_FAILURE",
            "DEPLOYMENT_STOP_ON_ALARM",
            "DEPLOYMENT_STOP_ON_REQUEST",
        }


def test_a_shift_is_guarded_unless_somebody_says_otherwise(
    service: Template, environment: Environment
) -> None:
    if not environment.gradual_deployments:
        assert "GuardDeployment" not in service.parameters
        return
    guard = service.parameters["GuardDeployment"]
    assert guard["Default"] == "true"
    assert guard["AllowedValues"] == ["true", "false"]
    for group in service.properties("AWS::CodeDeploy::DeploymentGroup").values():
        assert _by_guard(service, group["DeploymentConfigName"])["false"] == (
            "CodeDeployDefault.LambdaAllAtOnce"
        )
        enabled = _by_guard(service, group["AlarmConfiguration"]["Enabled"])
        assert enabled == {"true": True, "false": False}


def test_a_deployment_is_rolled_back_by_errors_of_the_version_that_it_brings_alone(
    templates: dict[str, dict[str, Template]],
) -> None:
    service = templates["prod"]["Service"]
    alarms = service.properties("AWS::CloudWatch::Alarm")
    watched = []
    for alias in _shifted(service).values():
        group = service.properties("AWS::CodeDeploy::DeploymentGroup")[_group_of(alias)]
        names = [alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]]
        watched += names
        function = alias["Properties"]["FunctionName"]
        version = alias["Properties"]["FunctionVersion"]
        errors, *more = [_metric(alarms[name]) for name in names]
        assert errors == (
            "AWS/Lambda",
            "Errors",
            {
                "FunctionName": flat(function),
                "Resource": f"{flat(function)}:live",
                "ExecutedVersion": flat(version),
            },
        )
        # The one that turns its errors into answers, so that Lambda does not count them.
        answers = _function_of(alias["Properties"]) == "Rest"
        assert (
            more
            == [
                (
                    NAMESPACE,
                    MetricName.INTERNAL_ERRORS,
                    {DIMENSION: "prod", VERSION_DIMENSION: flat(version)},
                )
            ]
            * answers
        )
    assert sorted(watched) == sorted(alarms)
    for alarm in alarms.values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert "AlarmActions" not in alarm


def test_the_alarms_of_a_shift_are_new_with_the_version_that_they_watch(
    templates: dict[str, dict[str, Template]], tmp_path: Path, source: Path
) -> None:
    """An alarm that stays keeps its state, and one in ALARM stops the next deployment."""
    bundle = tmp_path / "bundle"
    shutil.copytree(source, bundle)
    (bundle / "lambdas" / "handlers" / "rest.py").write_text("# another build\n")

    def alarms(name: str, bundle: Path, **changed: Any) -> dict[str, set[str]]:
        changed_environment = dataclasses.replace(STAGING, **changed)
        made = synthesize(tmp_path / name, bundle, [changed_environment])
        return _alarms_by_function(made[STAGING.name]["Service"])

    before = _alarms_by_function(templates[STAGING.name]["Service"])
    assert set().union(*before.values())
    assert alarms("same", source) == before
    for made in (
        alarms("code", bundle),
        alarms("configuration", source, rules=Rules(ping_grace=61)),
    ):
        assert made.keys() == before.keys()
        for function, names in made.items():
            assert len(names) == len(before[function])
            assert names.isdisjoint(before[function]), function


def test_an_alarm_of_a_shift_says_that_it_pages_nobody_and_where_to_read_on(
    templates: dict[str, dict[str, Template]],
) -> None:
    alarms = templates["prod"]["Service"].properties("AWS::CloudWatch::Alarm").values()
    assert alarms
    for alarm in alarms:
        description = alarm["AlarmDescription"]
        assert description.startswith("[prod] NO ACTION: ")
        assert "rolls the deployment back and pages nobody" in description
        assert re.search(r'See docs/runbook\.md, "A deployment was rolled back"\.$', description)
    assert "A deployment was rolled back" in sections()


def test_no_traffic_moves_before_the_new_build_was_found_fit(
    templates: dict[str, dict[str, Template]],
) -> None:
    service = templates["prod"]["Service"]
    preflight = service.function("Preflight")
    assert preflight["Handler"] == "lambdas.handlers.preflight.handler"
    assert preflight["Code"] == service.function("Rest")["Code"]
    (name,) = (each for each in _functions(service) if _short(each) == "Preflight")
    shifted = _shifted(service).values()
    assert shifted
    for alias in shifted:
        update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert update["BeforeAllowTrafficHook"] == {"Ref": name}
        assert name in alias["DependsOn"]


def test_the_check_still_answers_when_the_table_does_not(
    templates: dict[str, dict[str, Template]],
) -> None:
    """Without an answer, CodeDeploy waits for an hour."""
    service = Service({}, session=boto3.Session(region_name="us-east-1"))
    config: Any = service.dynamodb.meta.config
    attempts = config.retries["total_max_attempts"]
    waiting = attempts * (config.connect_timeout + config.read_timeout)
    backoff = 2**attempts  # at most 1, 2, 4, ... seconds before each further attempt
    assert templates["prod"]["Service"].function("Preflight")["Timeout"] >= 2 * (waiting + backoff)


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
    shifted = {alias["Properties"]["FunctionName"]["Ref"] for alias in _shifted(service).values()}
    (preflight,) = (each for each in _functions(service) if _short(each) == "Preflight")
    role, _, policy = _role_of_codedeploy(service)
    assert "ManagedPolicyArns" not in service.properties("AWS::IAM::Role")[role]
    allowed = {
        (action, flat(resource))
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    assert allowed == {
        ("cloudwatch:DescribeAlarms", "*"),
        ("lambda:InvokeFunction", f"<{preflight}.Arn>"),
        *(
            (f"lambda:{action}", f"<{name}.Arn>{qualifier}")
            for name in shifted
            for action in ("GetAlias", "UpdateAlias")
            for qualifier in ("", ":live")
        ),
        # It asks this of both versions.
        *(("lambda:GetProvisionedConcurrencyConfig", f"<{name}.Arn>:*") for name in shifted),
    }


def test_nothing_shifts_before_codedeploy_is_told_how_and_allowed_to(
    templates: dict[str, dict[str, Template]],
) -> None:
    service = templates["prod"]["Service"]
    _, policy, _ = _role_of_codedeploy(service)
    for alias in _shifted(service).values():
        assert {_group_of(alias), policy} <= set(alias["DependsOn"])


def _shifted(service: Template) -> dict[str, Any]:
    """The aliases whose traffic moves gradually."""
    return {
        name: alias
        for name, alias in service.resources("AWS::Lambda::Alias").items()
        if "UpdatePolicy" in alias
    }


def _group_of(alias: Properties) -> str:
    group: str = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"]["Ref"]
    return group


def _by_guard(service: Template, value: Any) -> dict[str, Any]:
    """What a value is, by the parameter that says whether a deployment is guarded."""
    condition, guarded, unguarded = value["Fn::If"]
    assert service.conditions[condition] == {"Fn::Equals": [{"Ref": "GuardDeployment"}, "true"]}
    return {"true": guarded, "false": unguarded}


def _role_of_codedeploy(service: Template) -> tuple[str, str, Properties]:
    """The role, and the policy of it with its logical id."""
    (role,) = {
        group["ServiceRoleArn"]["Fn::GetAtt"][0]
        for group in service.properties("AWS::CodeDeploy::DeploymentGroup").values()
    }
    ((name, policy),) = (
        (name, each)
        for name, each in service.properties("AWS::IAM::Policy").items()
        if {"Ref": role} in each["Roles"]
    )
    return role, name, policy


def _metric(alarm: Properties) -> tuple[str, str, dict[str, str]]:
    dimensions = {each["Name"]: flat(each["Value"]) for each in alarm["Dimensions"]}
    return alarm["Namespace"], alarm["MetricName"], dimensions


def _alarms_by_function(service: Template) -> dict[str, set[str]]:
    groups = service.properties("AWS::CodeDeploy::DeploymentGroup")
    return {
        _function_of(alias["Properties"]): {
            alarm["Name"]["Ref"]
            for alarm in groups[_group_of(alias)]["AlarmConfiguration"]["Alarms"]
        }
        for alias in _shifted(service).values()
    }


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
