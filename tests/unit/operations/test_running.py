"""What an environment runs is asked of AWS. Its answers are made up here, in its own form."""

from collections.abc import Iterator
from typing import Any

from operations import running
from operations.assembly import StackArtifact

FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {"Handler": "lambdas.handlers.rest.handler", "Code": {"S3Key": "b.zip"}},
}
SERVICE = StackArtifact("Service", None, None, {"Resources": {"Rest": FUNCTION}, "D": "über → all"})


class Aws:
    """A deployment whose functions, aliases, templates and alarms are given."""

    environment = "staging"

    def __init__(self, **given: Any) -> None:
        self._given = given
        self.outputs = {"AlarmNames": "A,B,C", "OnCallTopicArn": "arn:topic"}

    def client(self, _service: str) -> "Aws":
        return self

    def get_paginator(self, _operation: str) -> "Aws":
        return self

    def paginate(self, **_: Any) -> Iterator[Any]:
        resources = [("AWS::Lambda::Function", "Rest", "fn"), ("AWS::Lambda::Function", "X", "x")]
        if "alias" in self._given:
            arn = "arn:aws:lambda:us-east-1:1:function:fn:live"
            resources.append(("AWS::Lambda::Alias", "RestLive", arn))
        yield {
            "StackResourceSummaries": [
                {"ResourceType": kind, "LogicalResourceId": logical, "PhysicalResourceId": physical}
                for kind, logical, physical in resources
            ]
        }

    def get_alias(self, *, FunctionName: str, Name: str) -> Any:  # noqa: N803 - as boto3 has it
        assert (FunctionName, Name) == ("fn", "live")
        return self._given["alias"]

    def get_function_configuration(self, *, FunctionName: str, Qualifier: str) -> Any:  # noqa: N803
        return {"CodeSha256": f"{FunctionName}@{Qualifier}"}

    def get_template(self, **_: Any) -> Any:
        return {"TemplateBody": self._given["template"]}

    def describe_alarms(self, **_: Any) -> Any:
        return self._given["alarms"]


def code(**given: Any) -> Any:
    deployment: Any = Aws(**given)
    return running.code_of_functions(deployment, SERVICE)


def test_a_function_is_asked_for_the_code_that_takes_its_calls() -> None:
    assert code() == {"Rest": "fn@$LATEST"}
    assert code(alias={"FunctionVersion": "7"}) == {"Rest": "fn@7"}


def test_an_alias_that_still_shifts_traffic_runs_two() -> None:
    weights = {"AdditionalVersionWeights": {"8": 0.1}}
    shifting = {"FunctionVersion": "7", "RoutingConfig": weights}
    assert code(alias=shifting) == {"Rest": "fn@7+fn@8"}


def test_a_template_is_compared_as_cloudformation_gives_it_back() -> None:
    kept: Any = Aws(template={"Resources": {"Rest": FUNCTION}, "D": "?ber ? all"})
    assert running.changed_stacks(kept, [SERVICE]) == []
    other: Any = Aws(template={"Resources": {}})
    assert running.changed_stacks(other, [SERVICE]) == ["Service"]


def test_only_the_alarms_that_tell_the_on_call_count_composite_ones_too() -> None:
    alarms = {
        "MetricAlarms": [
            {"AlarmName": "A", "AlarmActions": ["arn:topic"], "StateValue": "OK"},
            {"AlarmName": "B", "AlarmActions": ["arn:tickets"], "StateValue": "ALARM"},
        ],
        "CompositeAlarms": [
            {"AlarmName": "C", "AlarmActions": ["arn:topic"], "StateValue": "ALARM"}
        ],
    }
    deployment: Any = Aws(alarms=alarms)
    assert running.paging_alarms(deployment) == {"A": "OK", "C": "ALARM"}
