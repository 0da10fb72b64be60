"""What an environment really runs, asked of AWS, and not of what somebody wrote down."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from operations.assembly import StackArtifact
from operations.deployment import PARTS, Deployment

_ALARMS_AT_ONCE: Final = 100
"""DescribeAlarms takes so many names."""


def changed_stacks(deployment: Deployment, stacks: Sequence[StackArtifact]) -> list[str]:
    """Name the stacks whose template is another than the one of this build.

    A template names the bundle by its hash, so the same templates run the same code.
    """
    cloudformation = deployment.client("cloudformation")
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
    """CloudFormation gives back a question mark for what is not ASCII; the CDK CLI knows it too.

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


def code_of_functions(deployment: Deployment, service: StackArtifact) -> Mapping[str, str]:
    """The SHA-256 of the code that takes the calls, by logical id, as Lambda says.

    A function behind an alias is asked about the version there; one whose alias shifts traffic
    between two versions has two, written with a plus between them.
    """
    cloudformation, client = deployment.client("cloudformation"), deployment.client("lambda")
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
    """The resources of a stack, as CloudFormation lists them."""
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        yield from page["StackResourceSummaries"]


def paging_alarms(deployment: Deployment) -> Mapping[str, str]:
    """The state of each alarm that tells the on-call topic, by its name."""
    outputs = deployment.outputs
    topic = outputs["OnCallTopicArn"]
    return {
        alarm["AlarmName"]: alarm["StateValue"]
        for alarm in _alarms(deployment, outputs["AlarmNames"].split(","))
        if topic in alarm.get("AlarmActions", ())
    }


def blind_alarms(deployment: Deployment) -> Mapping[str, str]:
    """Find the resources that alarms watch but the stacks do not have, by the name of the alarm.

    CloudFormation resolved the names of functions, APIs and the queue when it last updated the
    monitoring stack; a resource that was replaced since then never publishes a metric again.
    """
    cloudformation = deployment.client("cloudformation")
    resources = [
        resource
        for part in PARTS
        for resource in resources_of(cloudformation, deployment.stack(part))
    ]
    there = {dimension for resource in resources for dimension in _named(deployment, resource)}
    names = [
        str(each["PhysicalResourceId"])
        for each in resources
        if each["ResourceType"] == "AWS::CloudWatch::Alarm"
    ]
    blind = {}
    for alarm in _alarms(deployment, names):
        missing = sorted(set(_watched(alarm)) - there)
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
    """The resources whose metrics an alarm looks at, as dimensions."""
    stats = (query.get("MetricStat", {}) for query in alarm.get("Metrics", ()))
    for metric in (alarm, *(stat.get("Metric", {}) for stat in stats)):
        for dimension in metric.get("Dimensions", ()):
            if dimension["Name"] in _DIMENSIONS.get(metric.get("Namespace", ""), ()):
                yield dimension["Name"], dimension["Value"]


def _named(deployment: Deployment, resource: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The dimensions by which the metrics of a resource are found."""
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
            answer = deployment.client("apigateway").get_rest_api(restApiId=physical_id)
            yield "ApiName", answer["name"]
        case "AWS::DynamoDB::Table":
            yield "TableName", physical_id
        case "AWS::SQS::Queue":
            yield "QueueName", physical_id.split("/")[-1]


def _alarms(deployment: Deployment, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    cloudwatch = deployment.client("cloudwatch")
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
    """What CloudFormation says about a stack."""

    status: str
    changed_at: datetime


def stack_states(deployment: Deployment) -> Mapping[str, StackState]:
    """The state of each existing stack of an environment, by name."""
    cloudformation = deployment.client("cloudformation")
    states = {}
    for part in PARTS:
        name = deployment.stack(part)
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
