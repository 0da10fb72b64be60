"""The CDK code in docs/events.md makes rules on the bus that a Data stack deploys."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from infra.environments import PROD
from lambdas import protocol
from tests.infra.template import Properties, Template
from tests.protocol_document import EVENTS, snippets

SNIPPETS = {snippet.name: snippet.code for snippet in snippets(EVENTS)}


def _synthesized(name: str, folder: Path) -> Template:
    namespace: dict[str, Any] = {"__name__": name}
    exec(SNIPPETS[name], namespace)
    (stack,) = (kind for kind in namespace.values() if _is_stack_of(kind, name))
    app = cdk.App(outdir=str(folder))
    stack(app, "Consumer")
    return Template(str(Path(app.synth().directory) / "Consumer.template.json"))


def _is_stack_of(kind: object, module: str) -> bool:
    return isinstance(kind, type) and issubclass(kind, cdk.Stack) and kind.__module__ == module


def _rule(template: Template) -> Properties:
    _, rule = template.only("AWS::Events::Rule")
    properties: Properties = rule["Properties"]
    return properties


@pytest.mark.parametrize("name", ["queue", "webhook", "account"])
def test_a_rule_takes_the_events_of_the_bus_and_keeps_what_cannot_be_delivered(
    name: str, tmp_path: Path
) -> None:
    rule = _rule(_synthesized(name, tmp_path))
    assert rule["EventBusName"] == f"business-connections-{PROD.name}"
    assert rule["EventPattern"]["source"] == [protocol.EVENT_SOURCE]
    (target,) = rule["Targets"]
    assert target["DeadLetterConfig"]["Arn"]


def test_the_rule_for_a_queue_is_the_pattern_for_attention(tmp_path: Path) -> None:
    assert _rule(_synthesized("queue", tmp_path))["EventPattern"] == json.loads(
        SNIPPETS["attention"]
    )


def test_the_rule_for_another_account_may_put_events_on_its_bus(tmp_path: Path) -> None:
    template = _synthesized("account", tmp_path)
    (target,) = _rule(template)["Targets"]
    (policy,) = template.properties("AWS::IAM::Policy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Effect"]) == ("events:PutEvents", "Allow")
    assert statement["Resource"] == target["Arn"]
    assert policy["Roles"] == [{"Ref": target["RoleArn"]["Fn::GetAtt"][0]}]
