"""What an environment really runs, asked of AWS, and not of what somebody wrote down."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from operations.assembly import StackArtifact
from operations.deployment import Deployment

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
    names, topic = outputs["AlarmNames"].split(","), outputs["OnCallTopicArn"]
    cloudwatch = deployment.client("cloudwatch")
    states: dict[str, str] = {}
    for start in range(0, len(names), _ALARMS_AT_ONCE):
        described = cloudwatch.describe_alarms(
            AlarmNames=names[start : start + _ALARMS_AT_ONCE],
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
            MaxRecords=_ALARMS_AT_ONCE,
        )
        for alarm in (*described.get("MetricAlarms", ()), *described.get("CompositeAlarms", ())):
            if topic in alarm.get("AlarmActions", ()):
                states[alarm["AlarmName"]] = alarm["StateValue"]
    return states
