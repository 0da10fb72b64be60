import pytest

from infra.configuration import Environment
from tests.infra.synthesis import Templates

NAMES = {
    "AWS::CodeDeploy::Application": "ApplicationName",
    "AWS::CodeDeploy::DeploymentGroup": "DeploymentGroupName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_resource_gets_its_name_from_cloudformation(templates: Templates, kind: str) -> None:
    """With a name of its own it could be neither replaced nor deployed twice into one account."""
    named = [
        logical_id
        for stacks in templates.values()
        for stack in stacks.values()
        for logical_id, properties in stack.properties(kind).items()
        if NAMES[kind] in properties
    ]
    found = [stack.resources(kind) for stack in templates["prod"].values()]
    assert any(found)
    assert named == []


def test_what_can_bear_tags_says_whose_it_is(
    templates: Templates, environment: Environment
) -> None:
    for part, kind in (
        ("Data", "AWS::DynamoDB::Table"),
        ("Service", "AWS::Lambda::Function"),
        ("Service", "AWS::Logs::LogGroup"),
        ("Service", "AWS::SQS::Queue"),
        ("Monitoring", "AWS::SNS::Topic"),
    ):
        for properties in templates[environment.name][part].properties(kind).values():
            tags = {tag["Key"]: tag["Value"] for tag in properties["Tags"]}
            assert tags["application"] == "business-connections"
            assert tags["environment"] == environment.name
