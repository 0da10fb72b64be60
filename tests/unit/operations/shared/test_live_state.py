"""The live state of an environment, read from made-up answers of AWS."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from operations.shared import live_state
from operations.shared.assembly import StackArtifact

FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {"Handler": "lambdas.handlers.rest.handler", "Code": {"S3Key": "b.zip"}},
}
SERVICE = StackArtifact("Service", None, None, {"Resources": {"Rest": FUNCTION}, "D": "über → all"})


class Aws:
    """An environment with the given functions, aliases, templates and alarms."""

    name = "staging"

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
    environment: Any = Aws(**given)
    return live_state.code_of_functions(environment, SERVICE)


def test_the_code_of_a_function_is_the_one_behind_its_alias() -> None:
    assert code() == {"Rest": "fn@$LATEST"}
    assert code(alias={"FunctionVersion": "7"}) == {"Rest": "fn@7"}


def test_an_alias_that_still_shifts_traffic_has_the_code_of_two_versions() -> None:
    weights = {"AdditionalVersionWeights": {"8": 0.1}}
    shifting = {"FunctionVersion": "7", "RoutingConfig": weights}
    assert code(alias=shifting) == {"Rest": "fn@7+fn@8"}


def test_a_template_is_compared_as_cloudformation_returns_it() -> None:
    kept: Any = Aws(template={"Resources": {"Rest": FUNCTION}, "D": "?ber ? all"})
    assert live_state.changed_stacks(kept, [SERVICE]) == []
    other: Any = Aws(template={"Resources": {}})
    assert live_state.changed_stacks(other, [SERVICE]) == ["Service"]


def test_paging_alarms_notify_on_call_and_may_be_composite() -> None:
    alarms = {
        "MetricAlarms": [
            {"AlarmName": "A", "AlarmActions": ["arn:topic"], "StateValue": "OK"},
            {"AlarmName": "B", "AlarmActions": ["arn:tickets"], "StateValue": "ALARM"},
        ],
        "CompositeAlarms": [
            {"AlarmName": "C", "AlarmActions": ["arn:topic"], "StateValue": "ALARM"}
        ],
    }
    environment: Any = Aws(alarms=alarms)
    assert live_state.paging_alarms(environment) == {"A": "OK", "C": "ALARM"}


RESOURCES = {
    "Data": [("AWS::DynamoDB::Table", "table")],
    "Service": [
        ("AWS::Lambda::Function", "fn"),
        ("AWS::Lambda::Alias", "arn:aws:lambda:us-east-1:1:function:fn:live"),
        ("AWS::ApiGateway::RestApi", "rest1"),
        ("AWS::ApiGatewayV2::Api", "ws1"),
        ("AWS::SQS::Queue", "https://sqs.us-east-1.amazonaws.com/1/queue"),
        ("AWS::IAM::Role", "role"),
    ],
    "Monitoring": [("AWS::CloudWatch::Alarm", "A"), ("AWS::CloudWatch::Alarm", "B")],
}


class Stacks(Aws):
    """An environment whose stacks have these resources."""

    def stack(self, part: str) -> str:
        return part

    def paginate(self, **asked: Any) -> Iterator[Any]:
        yield {
            "StackResourceSummaries": [
                {"ResourceType": kind, "LogicalResourceId": "X", "PhysicalResourceId": physical}
                for kind, physical in RESOURCES[asked["StackName"]]
            ]
        }

    def get_rest_api(self, *, restApiId: str) -> Any:  # noqa: N803
        assert restApiId == "rest1"
        return {"name": "the-rest-api"}


def metric(namespace: str, **dimensions: str) -> Any:
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return {"Namespace": namespace, "MetricName": "M", "Dimensions": named}


def blind(*metrics: Any) -> Any:
    alarms = [
        {"AlarmName": "A", **metrics[0]},
        {
            "AlarmName": "B",
            "Metrics": [
                {"Id": "sum", "Expression": "SUM(METRICS())"},
                *({"Id": f"m{i}", "MetricStat": {"Metric": m}} for i, m in enumerate(metrics)),
            ],
        },
    ]
    environment: Any = Stacks(
        alarms={"MetricAlarms": alarms, "CompositeAlarms": [{"AlarmName": "C"}]}
    )
    return live_state.blind_alarms(environment)


def test_an_alarm_that_watches_existing_resources_is_not_blind() -> None:
    assert (
        blind(
            metric("AWS/Lambda", FunctionName="fn", Resource="fn:live", ExecutedVersion="7"),
            metric("AWS/Lambda", FunctionName="fn", Resource="fn"),
            metric("AWS/ApiGateway", ApiName="the-rest-api", Stage="v1", Resource="/health"),
            metric("AWS/ApiGateway", ApiId="ws1", Stage="v1"),
            metric("AWS/DynamoDB", TableName="table", Operation="Query"),
            metric("AWS/SQS", QueueName="queue"),
            metric("BusinessConnections", environment="staging", ApiId="of our own"),
        )
        == {}
    )


@pytest.mark.parametrize(
    ("namespace", "dimension", "name"),
    [
        ("AWS/Lambda", "FunctionName", "gone"),
        ("AWS/Lambda", "Resource", "gone:live"),
        ("AWS/Lambda", "Resource", "fn:gone"),
        ("AWS/ApiGateway", "ApiId", "gone"),
        ("AWS/ApiGateway", "ApiName", "rest1"),
        ("AWS/DynamoDB", "TableName", "gone"),
        ("AWS/SQS", "QueueName", "gone"),
    ],
)
def test_an_alarm_that_watches_a_missing_resource_is_blind_also_in_metric_math(
    namespace: str, dimension: str, name: str
) -> None:
    gone = f"{dimension} {name}"
    assert blind(metric(namespace, **{dimension: name})) == {"A": gone, "B": gone}


def test_the_state_of_a_stack_is_its_status_and_when_it_changed() -> None:
    created, updated = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)
    described = {
        "Data": {"StackStatus": "CREATE_COMPLETE", "CreationTime": created},
        "Service": {
            "StackStatus": "UPDATE_COMPLETE",
            "CreationTime": created,
            "LastUpdatedTime": updated,
        },
        # A change set that was never executed.
        "Monitoring": {"StackStatus": "REVIEW_IN_PROGRESS", "CreationTime": updated},
    }

    class Described(Stacks):
        def describe_stacks(self, *, StackName: str) -> Any:  # noqa: N803
            return {"Stacks": [described[StackName]]}

    environment: Any = Described()
    assert live_state.stack_states(environment) == {
        "Data": live_state.StackState("CREATE_COMPLETE", created),
        "Service": live_state.StackState("UPDATE_COMPLETE", updated),
    }
