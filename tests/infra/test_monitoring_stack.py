"""The topics and outputs of the monitoring stack, and how it depends on the others."""

import re
from pathlib import Path

import pytest

from infra.configuration import Environment
from infra.parameters import DEPLOYMENT
from tests.infra.every_option import EVERY_OPTION, every_option_templates
from tests.infra.template import Template, flat


def test_only_this_accounts_alarms_may_publish_to_a_topic_and_only_over_tls(
    monitoring: Template, environment: Environment
) -> None:
    """A policy replaces the default one, which lets alarms publish."""
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
        source = {"aws:SourceAccount": environment.account or {"Ref": "AWS::AccountId"}}
        assert allow["Condition"] == {"StringEquals": source}
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_those_who_are_named_are_subscribed(
    tmp_path_factory: pytest.TempPathFactory, source: Path
) -> None:
    monitoring = every_option_templates(tmp_path_factory, source)["Monitoring"]
    on_call = EVERY_OPTION.on_call
    assert _subscriptions(monitoring) == sorted(
        [
            ("OnCallTopic", "email", *on_call.page_emails),
            ("OnCallTopic", "https", *on_call.page_urls),
            ("TicketsTopic", "email", *on_call.ticket_emails),
            ("TicketsTopic", "https", *on_call.ticket_urls),
        ]
    )


def test_nobody_else_is_subscribed(monitoring: Template, environment: Environment) -> None:
    on_call = environment.on_call
    named = (
        *on_call.page_emails,
        *on_call.page_urls,
        *on_call.ticket_emails,
        *on_call.ticket_urls,
    )
    assert sorted(endpoint for _, _, endpoint in _subscriptions(monitoring)) == sorted(named)


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


def test_the_on_call_topic_is_never_replaced(monitoring: Template) -> None:
    """Confirmed subscriptions, and those made by hand, would be lost with it."""
    assert monitoring.outputs["OnCallTopicArn"]["Value"] == {"Ref": "OnCallTopic2FB15ED5"}


def test_monitoring_never_blocks_a_deployment_of_the_service(
    service: Template, monitoring: Template, environment: Environment
) -> None:
    """An export cannot change while another stack imports it. Only the table's is imported."""
    imported = set(re.findall(r'"Fn::ImportValue":\s*"([^"]+)"', monitoring.text))
    assert not any("Export" in output for output in service.outputs.values())
    assert all(
        name.startswith(f"BusinessConnections-{environment.name}-Data:ExportsOutputRefConnections")
        for name in imported
    )


def test_the_data_stack_cannot_drop_what_the_service_uses(
    service: Template, environment: Environment
) -> None:
    """The feed is the exception: see test_change_feed."""
    assert f"BusinessConnections-{environment.name}-Data:Exports" in service.text
    weak = re.findall(r'"OutputName":\s*"PublishOutput(?:Ref|FnGetAtt)(\w+)"', service.text)
    assert len(weak) == service.text.count("Fn::GetStackOutput")
    for name in weak:
        of_the_feed = re.match(r"HistoryTable|Bus[0-9A-F]{8}", name)
        assert of_the_feed or re.match(r"ConnectionsTable\w{8}StreamArn", name), name


def test_each_deployment_updates_the_stack_so_that_references_are_resolved_again(
    monitoring: Template,
) -> None:
    """CloudFormation resolves `Fn::GetStackOutput` only when it updates a stack."""
    assert DEPLOYMENT in monitoring.parameters
    _, dashboard = monitoring.only("AWS::CloudWatch::Dashboard")
    assert {"Ref": DEPLOYMENT} in dashboard["Properties"]["DashboardBody"]["Fn::Join"][1]


def _subscriptions(monitoring: Template) -> list[tuple[str, str, str]]:
    """Return the topic (its construct id), protocol and endpoint of each subscription."""
    return sorted(
        (flat(each["TopicArn"])[1:-9], each["Protocol"], each["Endpoint"])
        for each in monitoring.properties("AWS::SNS::Subscription").values()
    )
