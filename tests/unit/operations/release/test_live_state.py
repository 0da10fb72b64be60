"""The live state of an environment, read from made-up answers of AWS."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from operations.release import live_state
from operations.release.assembly import StackArtifact
from tests.unit.operations.builders import alarm

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
        self.outputs = {"AlarmNames": "A,B,C,D,E,F", "OnCallTopicArn": "arn:topic"}

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


def test_a_stack_is_in_the_way_if_it_imports_what_the_build_no_longer_exports() -> None:
    def exporting(*names: str) -> Any:
        return {"Outputs": {name: {"Value": 1, "Export": {"Name": name}} for name in names}}

    def importing(*names: str) -> Any:
        return {
            "Resources": {
                "R": {"P": [{"Fn::Sub": ["", {n: {"Fn::ImportValue": n}}]} for n in names]}
            }
        }

    deployed = {
        "Data": exporting("table", "stream", "unused"),
        "Service": importing("table", "stream"),
        "Monitoring": importing("table"),
    }

    class Templates(Aws):
        def get_template(self, **asked: Any) -> Any:
            return {"TemplateBody": deployed[asked["StackName"]]}

    environment: Any = Templates()

    def in_the_way(*exported: str) -> list[str]:
        templates = {**deployed, "Data": exporting(*exported)}
        artifacts = [StackArtifact(name, None, None, it) for name, it in templates.items()]
        return live_state.stacks_in_the_way(environment, artifacts)

    assert in_the_way("table", "stream", "new") == []
    assert in_the_way("table") == ["Service"]
    assert in_the_way("stream") == ["Service", "Monitoring"]


def test_the_alarms_behind_pages_are_those_of_on_call_and_the_members_of_a_composite_one() -> None:
    def arn(name: str) -> str:
        return f"arn:aws:cloudwatch:eu-west-1:1:alarm:{name}"

    def metric_alarm(name: str, action: str, **more: Any) -> Any:
        return {
            "AlarmName": name,
            "AlarmArn": arn(name),
            "AlarmActions": [action],
            "StateValue": "OK",
            **more,
        }

    math = [
        {"Id": "sum", "Expression": "a + b"},
        {"Id": "a", "MetricStat": {"Period": 300}},
        {"Id": "b", "MetricStat": {"Period": 300}},
    ]
    alarms = {
        "MetricAlarms": [
            metric_alarm("A", "arn:topic", Period=60, EvaluationPeriods=3),
            metric_alarm("B", "arn:tickets", Metrics=math, EvaluationPeriods=2),
            metric_alarm("D", "arn:tickets", Period=3600, EvaluationPeriods=24),
            metric_alarm("E", "arn:topic", ActionsEnabled=False),
        ],
        "CompositeAlarms": [
            {
                "AlarmName": "C",
                "AlarmArn": arn("C"),
                "AlarmActions": ["arn:topic"],
                "AlarmRule": f'(ALARM("{arn("B")}"))',
                "StateValue": "ALARM",
            }
        ],
    }
    environment: Any = Aws(alarms=alarms)
    assert live_state.alarms_behind_pages(environment) == {
        "A": alarm(minutes=3),
        "B": alarm(pages=False, minutes=10),
        "C": alarm("ALARM", minutes=0),
        "E": alarm("SILENCED", minutes=0),
        "F": alarm("DELETED", minutes=0),
    }


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

    class Described(Aws):
        def stack(self, part: str) -> str:
            return part

        def describe_stacks(self, *, StackName: str) -> Any:  # noqa: N803
            return {"Stacks": [described[StackName]]}

    environment: Any = Described()
    assert live_state.stack_states(environment) == {
        "Data": live_state.StackState("CREATE_COMPLETE", created),
        "Service": live_state.StackState("UPDATE_COMPLETE", updated),
    }
