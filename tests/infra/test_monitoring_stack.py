"""The topics and outputs of the monitoring stack, and how it depends on the others."""

import re

from infra.configuration import Environment
from tests.infra.conftest import Templates
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


def test_those_who_are_named_are_subscribed_and_nobody_else(
    monitoring: Template, environment: Environment
) -> None:
    on_call = environment.on_call
    assert _subscriptions(monitoring) == sorted(
        (topic, protocol, endpoint)
        for topic, protocol, endpoints in (
            ("OnCallTopic", "email", on_call.page_emails),
            ("OnCallTopic", "https", on_call.page_urls),
            ("TicketsTopic", "email", on_call.ticket_emails),
            ("TicketsTopic", "https", on_call.ticket_urls),
        )
        for endpoint in endpoints
    )


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


def test_monitoring_never_blocks_a_deployment_of_the_service(templates: Templates) -> None:
    """An export cannot change while another stack imports it."""
    for stacks in templates.values():
        assert not any("Export" in output for output in stacks["Service"].outputs.values())


def test_the_service_refers_strongly_to_the_data(templates: Templates) -> None:
    """CloudFormation then refuses to remove or replace what the service uses."""
    for name, stacks in templates.items():
        assert f"BusinessConnections-{name}-Data:Exports" in stacks["Service"].text


def test_nothing_refers_weakly_to_another_stack(templates: Templates) -> None:
    """CloudFormation looks each weak reference up by itself, and is throttled by many of them."""
    for name, stacks in templates.items():
        for template in stacks.values():
            assert "Fn::GetStackOutput" not in template.text, name


def test_monitoring_reads_each_name_of_the_service_once(templates: Templates) -> None:
    for name, stacks in templates.items():
        service, monitoring = stacks["Service"], stacks["Monitoring"]
        _, written = service.only("AWS::SSM::Parameter")
        assert written["Properties"]["Name"] == f"/business-connections/{name}/service-names"
        read = monitoring.parameters["ServiceNames"]
        assert read["Type"] == "AWS::SSM::Parameter::Value<List<String>>"
        assert read["Default"] == written["Properties"]["Name"]

        names = service.names_for_monitoring()
        used = {
            each
            for _, properties in monitoring.all_properties()
            for each in names
            if each in str(properties)
        }
        assert used == set(names)
        assert len(used) == len(names), "a name is written twice"
        assert len(names) * 128 <= 4_096  # what a parameter holds, if all names are long


def _subscriptions(monitoring: Template) -> list[tuple[str, str, str]]:
    """The topic (its construct id), protocol and endpoint of each subscription."""
    return sorted(
        (flat(each["TopicArn"])[1:-9], each["Protocol"], each["Endpoint"])
        for each in monitoring.properties("AWS::SNS::Subscription").values()
    )
