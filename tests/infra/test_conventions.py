import pytest

from infra.configuration import Environment
from tests.infra.synthesis import Templates

NAME_PROPERTIES = {
    "AWS::CodeDeploy::Application": "ApplicationName",
    "AWS::CodeDeploy::DeploymentGroup": "DeploymentGroupName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
}


@pytest.mark.parametrize("kind", NAME_PROPERTIES)
def test_cloudformation_names_the_resources(templates: Templates, kind: str) -> None:
    """A resource with a fixed name cannot be replaced, nor deployed twice into one account."""
    resources = [
        (logical_id, properties)
        for stacks in templates.values()
        for stack in stacks.values()
        for logical_id, properties in stack.properties(kind).items()
    ]
    assert resources
    assert [name for name, each in resources if NAME_PROPERTIES[kind] in each] == []


def test_tags_name_the_application_and_the_environment(
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
