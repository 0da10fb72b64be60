"""The live state of an environment, as AWS reports it: stacks, code and alarms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from operations.shared.assembly import StackArtifact
from operations.shared.environment import PARTS, DeployedEnvironment

_ALARMS_AT_ONCE: Final = 100
"""The most names that DescribeAlarms takes."""


def changed_stacks(environment: DeployedEnvironment, stacks: Sequence[StackArtifact]) -> list[str]:
    """Return the names of the stacks whose template differs from the one of this build.

    A template names the bundle by its hash, so equal templates run equal code.
    """
    cloudformation = environment.client("cloudformation")
    return [
        stack.name
        for stack in stacks
        if _template(cloudformation, stack.name) != _as_cloudformation_keeps(stack.template)
    ]


def _template(cloudformation: Any, stack: str) -> Any:
    try:
        answer = cloudformation.get_template(StackName=stack, TemplateStage="Original")
    except cloudformation.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return _as_cloudformation_keeps(answer["TemplateBody"])


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
    """Return the SHA-256 of the code that takes the calls, by logical id of the function.

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


def paging_alarms(environment: DeployedEnvironment) -> Mapping[str, str]:
    """Return the state of each alarm that notifies the on-call topic, by its name."""
    outputs = environment.outputs
    topic = outputs["OnCallTopicArn"]
    return {
        alarm["AlarmName"]: alarm["StateValue"]
        for alarm in _alarms(environment, outputs["AlarmNames"].split(","))
        if topic in alarm.get("AlarmActions", ())
    }


def blind_alarms(environment: DeployedEnvironment) -> Mapping[str, str]:
    """Find resources that an alarm watches but the stacks no longer have, by the alarm's name.

    The monitoring stack has the names of functions, APIs and the queue from its last update. A
    resource that was replaced since then never publishes a metric again.
    """
    cloudformation = environment.client("cloudformation")
    resources = [
        resource
        for part in PARTS
        for resource in resources_of(cloudformation, environment.stack(part))
    ]
    existing = {each for resource in resources for each in _dimensions(environment, resource)}
    names = [
        str(each["PhysicalResourceId"])
        for each in resources
        if each["ResourceType"] == "AWS::CloudWatch::Alarm"
    ]
    blind = {}
    for alarm in _alarms(environment, names):
        missing = sorted(set(_watched(alarm)) - existing)
        if missing:
            blind[str(alarm["AlarmName"])] = ", ".join(" ".join(pair) for pair in missing)
    return blind


_DIMENSIONS: Final = {
    "AWS/Lambda": {"FunctionName", "Resource"},
    "AWS/ApiGateway": {"ApiId", "ApiName"},
    "AWS/DynamoDB": {"TableName"},
    "AWS/SQS": {"QueueName"},
}
"""The dimensions of AWS's own metrics that name a resource of a stack."""


def _watched(alarm: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The dimensions of the metrics that an alarm watches, where they name a resource."""
    stats = (query.get("MetricStat", {}) for query in alarm.get("Metrics", ()))
    for metric in (alarm, *(stat.get("Metric", {}) for stat in stats)):
        for dimension in metric.get("Dimensions", ()):
            if dimension["Name"] in _DIMENSIONS.get(metric.get("Namespace", ""), ()):
                yield dimension["Name"], dimension["Value"]


def _dimensions(
    environment: DeployedEnvironment, resource: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """The dimensions that the metrics of a resource have."""
    physical_id = str(resource.get("PhysicalResourceId", ""))
    match resource["ResourceType"]:
        case "AWS::Lambda::Function":
            yield "FunctionName", physical_id
            yield "Resource", physical_id
        case "AWS::Lambda::Alias":
            yield "Resource", ":".join(physical_id.split(":")[-2:])
        case "AWS::ApiGatewayV2::Api":
            yield "ApiId", physical_id
        case "AWS::ApiGateway::RestApi":
            answer = environment.client("apigateway").get_rest_api(restApiId=physical_id)
            yield "ApiName", answer["name"]
        case "AWS::DynamoDB::Table":
            yield "TableName", physical_id
        case "AWS::SQS::Queue":
            yield "QueueName", physical_id.split("/")[-1]


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


def stack_states(environment: DeployedEnvironment) -> Mapping[str, StackState]:
    """Return the state of each existing stack of an environment, by name."""
    cloudformation = environment.client("cloudformation")
    states = {}
    for part in PARTS:
        name = environment.stack(part)
        try:
            (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        except cloudformation.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            continue
        # A change set for a stack that does not exist yet creates an empty one.
        if stack["StackStatus"] != "REVIEW_IN_PROGRESS":
            changed_at = stack.get("LastUpdatedTime", stack["CreationTime"])
            states[name] = StackState(stack["StackStatus"], changed_at)
    return states
