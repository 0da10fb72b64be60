"""The live state of an environment, as AWS reports it: stacks, code and alarms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from infra import names
from operations.release.assembly import StackArtifact
from operations.shared.environment import PARTS, DeployedEnvironment, error_code

_ALARMS_AT_ONCE: Final = 100
"""The most names that DescribeAlarms takes."""


def changed_stacks(environment: DeployedEnvironment, stacks: Sequence[StackArtifact]) -> list[str]:
    """The names of the stacks whose template differs from the one of this build.

    A template names the bundle by its hash, so equal templates run equal code.
    """
    cloudformation = environment.client("cloudformation")
    return [
        stack.name
        for stack in stacks
        if _template(cloudformation, stack.name) != _as_cloudformation_keeps(stack.template)
    ]


def stacks_in_the_way(
    environment: DeployedEnvironment, stacks: Sequence[StackArtifact]
) -> list[str]:
    """The names of the stacks that import what this build no longer exports.

    CloudFormation refuses to remove an export that is in use, so these must be deployed first.
    """
    cloudformation = environment.client("cloudformation")
    deployed = {stack.name: _template(cloudformation, stack.name) for stack in stacks}
    exported = {name for template in deployed.values() for name in _exports(template or {})}
    removed = exported - {name for stack in stacks for name in _exports(stack.template)}
    return [name for name, template in deployed.items() if removed & set(_imports(template))]


def _exports(template: Mapping[str, Any]) -> Iterator[str]:
    for output in template.get("Outputs", {}).values():
        if "Export" in output:
            yield str(output["Export"]["Name"])


def _imports(template: Any) -> Iterator[str]:
    if isinstance(template, Mapping):
        if "Fn::ImportValue" in template:
            yield str(template["Fn::ImportValue"])
        template = list(template.values())
    if isinstance(template, list):
        for each in template:
            yield from _imports(each)


def _template(cloudformation: Any, stack: str) -> Any:
    try:
        answer = cloudformation.get_template(StackName=stack, TemplateStage="Original")
    except ClientError as error:
        if error_code(error) == "ValidationError":
            return None
        raise
    return _as_cloudformation_keeps(answer.get("TemplateBody"))


def _as_cloudformation_keeps(template: Any) -> Any:
    """Replace what is not ASCII by question marks, as CloudFormation does.

    https://github.com/aws/aws-cdk/issues/10219
    """
    if isinstance(template, str):
        return "".join(character if character.isascii() else "?" for character in template)
    if isinstance(template, Mapping):
        return {
            _as_cloudformation_keeps(k): _as_cloudformation_keeps(template[k]) for k in template
        }
    if isinstance(template, list):
        return [_as_cloudformation_keeps(each) for each in template]
    return template


def code_of_functions(
    environment: DeployedEnvironment, service: StackArtifact
) -> Mapping[str, str]:
    """The SHA-256 of the code that takes the calls, by logical id of the function.

    If a function has an alias, this is the code of the alias's version. While the alias shifts
    traffic between two versions, both hashes are returned with a plus between them.
    """
    cloudformation, client = environment.client("cloudformation"), environment.client("lambda")
    resources = list(resources_of(cloudformation, service.name))
    names = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in resources
        if each["LogicalResourceId"] in service.functions()
    }
    aliases = {
        function: alias
        for each in resources
        if each["ResourceType"] == "AWS::Lambda::Alias"
        for function, alias in [each["PhysicalResourceId"].split(":")[-2:]]
    }
    return {
        logical_id: _code(client, function, aliases.get(function))
        for logical_id, function in sorted(names.items())
    }


def _code(client: Any, function: str, alias: str | None) -> str:
    versions = ["$LATEST"]
    if alias is not None:
        described = client.get_alias(FunctionName=function, Name=alias)
        shifting = (described.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        versions = [described["FunctionVersion"], *shifting]
    return "+".join(
        client.get_function_configuration(FunctionName=function, Qualifier=version)["CodeSha256"]
        for version in versions
    )


def resources_of(cloudformation: Any, stack: str) -> Iterator[Mapping[str, Any]]:
    """List the resources of a stack, as CloudFormation describes them."""
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        yield from page["StackResourceSummaries"]


@dataclass(frozen=True, kw_only=True)
class AlarmState:
    """An alarm that pages, or that the composite alarm which pages depends on."""

    pages: bool
    """Whether it notifies the on-call topic by itself."""
    state: str
    looks_back: timedelta
    """How far back it looks. Before that time has passed, it judges what ran earlier, too."""


def alarms_behind_pages(environment: DeployedEnvironment) -> Mapping[str, AlarmState]:
    """The alarms that notify the on-call topic, and those of which a composite one of them
    consists, by name.

    The state of one that somebody has deleted is `DELETED`, and of one whose actions somebody has
    disabled, `SILENCED`.
    """
    outputs = environment.outputs
    topic, known = outputs[names.ON_CALL_TOPIC_ARN], outputs[names.ALARM_NAMES].split(",")
    alarms = {str(alarm["AlarmName"]): alarm for alarm in _alarms(environment, known)}
    paging = {name for name, alarm in alarms.items() if topic in alarm.get("AlarmActions", ())}
    rules = [alarms[name].get("AlarmRule", "") for name in paging]
    deleted = AlarmState(pages=True, state="DELETED", looks_back=timedelta())
    return dict.fromkeys((name for name in known if name not in alarms), deleted) | {
        name: AlarmState(
            pages=name in paging,
            state=alarm["StateValue"] if alarm.get("ActionsEnabled", True) else "SILENCED",
            looks_back=_looks_back(alarm),
        )
        for name, alarm in alarms.items()
        if name in paging or any(alarm["AlarmArn"] in rule for rule in rules)
    }


def _looks_back(alarm: Mapping[str, Any]) -> timedelta:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html"""
    periods = [
        period
        for metric in (alarm, *alarm.get("Metrics", ()))
        for period in (metric.get("Period"), metric.get("MetricStat", {}).get("Period"))
        if period
    ]
    return timedelta(seconds=max(periods, default=0) * alarm.get("EvaluationPeriods", 1))


def _alarms(environment: DeployedEnvironment, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    cloudwatch = environment.client("cloudwatch")
    for start in range(0, len(names), _ALARMS_AT_ONCE):
        described = cloudwatch.describe_alarms(
            AlarmNames=names[start : start + _ALARMS_AT_ONCE],
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
            MaxRecords=_ALARMS_AT_ONCE,
        )
        yield from described.get("MetricAlarms", ())
        yield from described.get("CompositeAlarms", ())


@dataclass(frozen=True)
class StackState:
    """The status of a stack and when it last changed."""

    status: str
    changed_at: datetime


def log_groups(environment: DeployedEnvironment, service: StackArtifact) -> Sequence[str]:
    """The names of the log groups of the functions."""
    client = environment.client("lambda")
    return sorted(
        client.get_function_configuration(FunctionName=each["PhysicalResourceId"])["LoggingConfig"][
            "LogGroup"
        ]
        for each in resources_of(environment.client("cloudformation"), service.name)
        if each["LogicalResourceId"] in service.functions()
    )


def stack_states(environment: DeployedEnvironment) -> Mapping[str, StackState]:
    """The state of each existing stack of an environment, by name."""
    cloudformation = environment.client("cloudformation")
    states = {}
    for part in PARTS:
        name = environment.stack(part)
        try:
            (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if error_code(error) != "ValidationError":
                raise
            continue
        # A change set for a stack that does not exist yet creates an empty one.
        if stack["StackStatus"] != "REVIEW_IN_PROGRESS":
            changed_at = stack.get("LastUpdatedTime", stack["CreationTime"])
            states[name] = StackState(stack["StackStatus"], changed_at)
    return states
