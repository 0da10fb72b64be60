import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.configuration import Environment
from lambdas.bootstrap import Service
from lambdas.domain.rules import Rules
from lambdas.observability import DIMENSION, NAMESPACE, VERSION_DIMENSION, MetricName
from tests.infra.every_option import EVERY_OPTION
from tests.infra.synthesis import synthesize
from tests.infra.template import Properties, Template, as_list, flat, function_name
from tests.monitoring.alarm_tables import Table, play, row_names, tables
from tests.monitoring.cloudwatch.metric_alarms import Alarm
from tests.monitoring.template_reader import alarms_in
from tests.runbook import sections

ANSWER_NOBODY = {"Cleanup", "Recorder", "Publisher", "Canary"}

CALLERS = (
    "AWS::ApiGateway::Authorizer",
    "AWS::ApiGateway::Method",
    "AWS::ApiGatewayV2::Authorizer",
    "AWS::ApiGatewayV2::Integration",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Permission",
    "AWS::Scheduler::Schedule",
)


@pytest.fixture
def gradual(every_option: dict[str, Template]) -> Template:
    """The service stack of an environment with gradual deployments."""
    return every_option["Service"]


@pytest.mark.parametrize("kind", CALLERS)
def test_every_caller_invokes_the_alias_of_a_function(service: Template, kind: str) -> None:
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
        assert not named, f"{logical_id} invokes {named}, not an alias"


def test_roles_may_invoke_only_the_alias_of_a_function(service: Template) -> None:
    invoked = [
        flat(resource)
        for policy in service.properties("AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if "lambda:InvokeFunction" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    assert invoked
    for resource in invoked:
        # CodeDeploy calls the new preflight itself, before any version is live.
        is_preflight = resource.startswith("<FunctionsPreflightFunction")
        assert is_preflight or resource.strip("<>") in _aliases(service)


def test_every_function_has_one_alias_for_a_published_version(service: Template) -> None:
    aliases = service.properties("AWS::Lambda::Alias").values()
    versions = service.properties("AWS::Lambda::Version")
    assert {alias["Name"] for alias in aliases} == {"live"}
    assert {alias["FunctionName"]["Ref"] for alias in aliases} == _functions(service)
    assert len(aliases) == len(_functions(service))
    for alias in aliases:
        version, attribute = alias["FunctionVersion"]["Fn::GetAtt"]
        assert attribute == "Version"
        assert versions[version]["FunctionName"] == alias["FunctionName"]


def test_traffic_shifts_gradually_and_rolls_back_where_the_environment_asks_for_it(
    service: Template, environment: Environment
) -> None:
    shifted = {
        _function_of(alias["Properties"])
        for alias in service.resources("AWS::Lambda::Alias").values()
        if "CodeDeployLambdaAliasUpdate" in alias.get("UpdatePolicy", {})
    }
    answering = service.functions().keys() - ANSWER_NOBODY - {"Preflight"}
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


def test_alarms_guard_a_deployment_unless_its_parameter_says_otherwise(
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


def test_only_errors_of_the_new_version_roll_a_deployment_back(gradual: Template) -> None:
    alarms = gradual.properties("AWS::CloudWatch::Alarm")
    watched = []
    for alias in _shifted(gradual).values():
        group = gradual.properties("AWS::CodeDeploy::DeploymentGroup")[_group_of(alias)]
        names = [alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]]
        watched += names
        function = flat(alias["Properties"]["FunctionName"])
        version = flat(alias["Properties"]["FunctionVersion"])
        of_version = {
            "FunctionName": function,
            "Resource": f"{function}:live",
            "ExecutedVersion": version,
        }
        errors = ("AWS/Lambda", "Errors", of_version)
        # Rest turns its errors into answers, so Lambda does not count them.
        answers = (
            NAMESPACE,
            MetricName.INTERNAL_ERRORS,
            {DIMENSION: EVERY_OPTION.name, VERSION_DIMENSION: version},
        )
        is_rest = _function_of(alias["Properties"]) == "Rest"
        for name, failures in zip(names, [errors, answers] if is_rest else [errors], strict=True):
            assert _metrics(alarms[name]) == {
                "failures": failures,
                "calls": ("AWS/Lambda", "Invocations", of_version),
                "total": ("AWS/Lambda", "Invocations", {"FunctionName": function}),
            }
    assert sorted(watched) == sorted(alarms)
    for alarm in alarms.values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert "AlarmActions" not in alarm


SHIFTS = tables(
    """
    one transient error, or two, of a new version with few calls
    Errors   0   1   2   0
    calls    10  10  2   10
    total    100 100 100 100
    state    .   .   .   .

    less than 5 % of the calls of the new version fail
    Errors   3    50
    calls    61   1001
    total    610  10010
    state    .    .

    5 %
    Errors   0   3   0
    calls    60  60  60
    total    600 600 600
    state    .   !   .

    every call fails from the beginning on
    Errors   -   3   10
    calls    -   3   10
    total    90  90  90
    state    .   !   !

    the version that runs fails while nothing shifts: it would be in the way of a rollback to it
    Errors   0   100 100
    calls    100 100 100
    total    100 100 100
    state    .   .   .

    so does the version before, while most calls are still its own
    Errors   0   90  90
    calls    90  90  90
    total    100 100 100
    state    .   .   .
    """
)


@pytest.mark.parametrize("table", SHIFTS, ids=lambda table: table.title)
def test_a_share_of_failures_rolls_a_deployment_back(gradual: Template, table: Table) -> None:
    alarms = alarms_in(gradual)
    assert len(alarms) == len(gradual.resources("AWS::CloudWatch::Alarm"))
    for name, alarm in alarms.items():
        rows = {id_: _row(alarm, id_) for id_ in ("failures", "calls", "total")}
        renamed = {
            {"Errors": rows["failures"], **rows}.get(row, row): cells
            for row, cells in table.rows.items()
        }
        expected, states = play(alarm, dataclasses.replace(table, rows=renamed))
        assert states == expected, name


def _row(alarm: Alarm, id_: str) -> str:
    names = row_names({stat.metric for stat in alarm.stats.values()})
    (name,) = (name for name, metric in names.items() if metric == alarm.stats[id_].metric)
    return name


def test_each_version_gets_alarms_of_its_own(
    gradual: Template, tmp_path: Path, source: Path
) -> None:
    """A kept alarm keeps its state, and an alarm in ALARM would stop the next deployment."""
    bundle = tmp_path / "bundle"
    shutil.copytree(source, bundle)
    (bundle / "lambdas" / "handlers" / "rest.py").write_text("# another build\n")

    def alarms(name: str, bundle: Path, environment: Environment) -> dict[str, set[str]]:
        stacks = synthesize(tmp_path / name, bundle, [environment])[environment.name]
        return _alarms_by_function(stacks["Service"])

    before = _alarms_by_function(gradual)
    assert set().union(*before.values())
    other_rules = dataclasses.replace(EVERY_OPTION, rules=Rules(ping_grace=61))
    for after in (
        alarms("code", bundle, EVERY_OPTION),
        alarms("configuration", source, other_rules),
    ):
        assert after.keys() == before.keys()
        for function, names in after.items():
            assert len(names) == len(before[function])
            assert names.isdisjoint(before[function]), function


def test_a_deployments_alarms_say_that_they_page_nobody_and_name_their_runbook_section(
    gradual: Template,
) -> None:
    alarms = gradual.properties("AWS::CloudWatch::Alarm").values()
    assert alarms
    for alarm in alarms:
        description = alarm["AlarmDescription"]
        assert description.startswith("[every-option-set] NO ACTION: ")
        assert "rolls the deployment back and pages nobody" in description
        assert re.search(r'See docs/runbook\.md, "A deployment was rolled back"\.$', description)
    assert "A deployment was rolled back" in sections()


def test_the_preflight_checks_a_new_build_before_it_gets_traffic(gradual: Template) -> None:
    assert gradual.function("Preflight")["Code"] == gradual.function("Rest")["Code"]
    name = _logical_id(gradual, "Preflight")
    shifted = _shifted(gradual).values()
    assert shifted
    for alias in shifted:
        update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert update["BeforeAllowTrafficHook"] == {"Ref": name}
        assert name in alias["DependsOn"]


def test_the_preflight_answers_in_time_even_if_the_table_does_not(gradual: Template) -> None:
    """Without an answer, CodeDeploy waits for an hour."""
    service = Service({}, session=boto3.Session(region_name="us-east-1"))
    config: Any = service.dynamodb.meta.config
    attempts = config.retries["total_max_attempts"]
    waiting = attempts * (config.connect_timeout + config.read_timeout)
    backoff = 2**attempts  # at most 1, 2, 4, ... seconds before each further attempt
    assert gradual.function("Preflight")["Timeout"] >= 2 * (waiting + backoff)


@pytest.mark.parametrize("function", sorted(ANSWER_NOBODY))
def test_what_answers_nobody_changes_after_all_functions_that_shift(
    gradual: Template, function: str
) -> None:
    aliases = gradual.resources("AWS::Lambda::Alias")
    (alias,) = (each for name, each in aliases.items() if function_name(name) == function)
    assert _shifted(gradual).keys() <= set(alias["DependsOn"])


def test_codedeploy_may_change_only_the_functions_of_this_service(gradual: Template) -> None:
    shifted = {alias["Properties"]["FunctionName"]["Ref"] for alias in _shifted(gradual).values()}
    role, _, policy = _role_of_codedeploy(gradual)
    assert "ManagedPolicyArns" not in gradual.properties("AWS::IAM::Role")[role]
    allowed = {
        (action, flat(resource))
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    assert allowed == {
        ("cloudwatch:DescribeAlarms", "*"),
        ("lambda:InvokeFunction", f"<{_logical_id(gradual, 'Preflight')}.Arn>"),
        *(
            (f"lambda:{action}", f"<{name}.Arn>{qualifier}")
            for name in shifted
            for action in ("GetAlias", "UpdateAlias")
            for qualifier in ("", ":live")
        ),
        # It reads this setting of both versions.
        *(("lambda:GetProvisionedConcurrencyConfig", f"<{name}.Arn>:*") for name in shifted),
    }


def test_traffic_shifts_after_codedeploy_has_its_group_and_its_permissions(
    gradual: Template,
) -> None:
    _, policy, _ = _role_of_codedeploy(gradual)
    for alias in _shifted(gradual).values():
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
    """The two values of a property, by the value of the parameter GuardDeployment."""
    condition, guarded, unguarded = value["Fn::If"]
    assert service.conditions[condition] == {"Fn::Equals": [{"Ref": "GuardDeployment"}, "true"]}
    return {"true": guarded, "false": unguarded}


def _role_of_codedeploy(service: Template) -> tuple[str, str, Properties]:
    """The role of CodeDeploy, the logical id of its policy, and the policy."""
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


def _metrics(alarm: Properties) -> dict[str, tuple[str, str, dict[str, str]]]:
    """The namespace, name and dimensions of each metric that an alarm looks at, by id."""
    return {
        each["Id"]: (
            each["MetricStat"]["Metric"]["Namespace"],
            each["MetricStat"]["Metric"]["MetricName"],
            {d["Name"]: flat(d["Value"]) for d in each["MetricStat"]["Metric"]["Dimensions"]},
        )
        for each in alarm["Metrics"]
        if "MetricStat" in each
    }


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


def _logical_id(service: Template, function: str) -> str:
    (found,) = (name for name in _functions(service) if function_name(name) == function)
    return found


def _aliases(service: Template) -> set[str]:
    return set(service.resources("AWS::Lambda::Alias"))


def _qualified(service: Template, qualifier: Any) -> bool:
    """Whether a qualifier is the alias: by its name, or by its ARN, which ends with the name."""
    return qualifier == "live" or bool(_aliases(service) & set(_references(qualifier)))


def _references(properties: Properties) -> list[str]:
    text = json.dumps(properties)
    return [
        *re.findall(r'"Ref": "(\w+)"', text),
        *re.findall(r'"Fn::GetAtt": \["(\w+)"', text),
    ]


def _function_of(alias: Properties) -> str:
    return function_name(alias["FunctionName"]["Ref"])
