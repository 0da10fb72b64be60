import re
from pathlib import Path

import pytest

from infra.environments import Environment
from infra.parameters import DEPLOYMENT
from tests.infra.crowd import CROWD, crowd_templates
from tests.infra.template import Template, flat


@pytest.fixture
def crowd(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Template:
    """The monitoring of an environment that names whom to tell."""
    return crowd_templates(tmp_path_factory, source)["Monitoring"]


def test_a_topic_lets_this_accounts_alarms_in_and_nothing_unencrypted(
    monitoring: Template,
) -> None:
    """A topic with a policy of its own has lost the default one, which let alarms publish."""
    policies = monitoring.properties("AWS::SNS::TopicPolicy").values()
    topics = [topic for policy in policies for topic in policy["Topics"]]
    assert sorted(topics, key=str) == [
        {"Ref": each} for each in sorted(monitoring.resources("AWS::SNS::Topic"))
    ]
    for policy in policies:
        statements = policy["PolicyDocument"]["Statement"]
        (allow,) = (each for each in statements if each["Effect"] == "Allow")
        (deny,) = (each for each in statements if each["Effect"] == "Deny")
        assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert allow["Action"] == "sns:Publish"
        source = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        assert allow["Condition"] == {"StringEquals": source}
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_those_who_are_paged_and_those_who_get_tickets_are_subscribed(crowd: Template) -> None:
    subscribed = {
        (flat(each["TopicArn"])[1:-9], each["Protocol"], each["Endpoint"])
        for each in crowd.properties("AWS::SNS::Subscription").values()
    }
    assert subscribed == {
        ("OnCallTopic", "email", CROWD.page_emails[0]),
        ("OnCallTopic", "https", CROWD.page_urls[0]),
        ("TicketsTopic", "email", CROWD.ticket_emails[0]),
        ("TicketsTopic", "https", CROWD.ticket_urls[0]),
    }


def test_nobody_is_told_who_was_not_named(monitoring: Template, environment: Environment) -> None:
    named = (
        *environment.page_emails,
        *environment.page_urls,
        *environment.ticket_emails,
        *environment.ticket_urls,
    )
    assert len(monitoring.resources("AWS::SNS::Subscription")) == len(named)


def test_outputs_name_the_topics_every_alarm_and_the_dashboard(monitoring: Template) -> None:
    alarms = {
        *monitoring.resources("AWS::CloudWatch::Alarm"),
        *monitoring.resources("AWS::CloudWatch::CompositeAlarm"),
    }
    outputs = {name: flat(output["Value"]) for name, output in monitoring.outputs.items()}
    named = outputs["AlarmNames"].split(",")
    # The name of a composite alarm is the last part of its ARN.
    assert {re.findall(r"<(?:select[^<]*<)?(\w+)", name)[0] for name in named} == alarms
    assert len(named) == len(alarms)
    assert re.fullmatch(r"<OnCallTopic[0-9A-F]{8}>", outputs["OnCallTopicArn"])
    assert re.fullmatch(r"<TicketsTopic[0-9A-F]{8}>", outputs["TicketTopicArn"])
    assert re.fullmatch(r"<Dashboard\w+>", outputs["DashboardName"])
    assert len(outputs["AlarmNames"]) < 4_000  # an output holds 4 KB


def test_the_topic_of_the_pages_is_never_made_anew(monitoring: Template) -> None:
    """With it would go the subscriptions that people have confirmed, and those made by hand."""
    assert monitoring.outputs["OnCallTopicArn"]["Value"] == {"Ref": "OnCallTopic2FB15ED5"}


def test_monitoring_never_stands_in_the_way_of_a_deployment(
    service: Template, monitoring: Template, environment: Environment
) -> None:
    """An export cannot change while another stack imports it. Only the table's may be one."""
    imported = set(re.findall(r'"Fn::ImportValue":\s*"([^"]+)"', monitoring.text))
    assert not any("Export" in output for output in service.outputs.values())
    assert all(
        name.startswith(f"BusinessConnections-{environment.name}-Data:ExportsOutputRefConnections")
        for name in imported
    )


def test_the_service_holds_on_to_its_data(service: Template, environment: Environment) -> None:
    assert "Fn::GetStackOutput" not in service.text
    assert f"BusinessConnections-{environment.name}-Data:Exports" in service.text


def test_a_new_deployment_changes_a_resource_so_that_references_are_resolved_again(
    monitoring: Template,
) -> None:
    """CloudFormation resolves `Fn::GetStackOutput` when it updates a stack, and not again."""
    assert DEPLOYMENT in monitoring.parameters
    _, dashboard = monitoring.only("AWS::CloudWatch::Dashboard")
    assert {"Ref": DEPLOYMENT} in dashboard["Properties"]["DashboardBody"]["Fn::Join"][1]
