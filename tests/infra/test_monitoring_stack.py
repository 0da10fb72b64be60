import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.environments import DEV, Environment
from lambdas.metrics import DIMENSION, NAMESPACE, MetricName
from tests.infra.conftest import synthesize
from tests.infra.template import Template, flat

ALARMS = {
    "VirtualWithoutReal": {
        "MetricName": "VirtualOnlyBusinesses",
        "Statistic": "Maximum",
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "ignore",
    },
    "AttentionEntered": {
        "MetricName": "AttentionEntered",
        "Statistic": "Sum",
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": 1,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "TreatMissingData": "notBreaching",
    },
    "CleanupDidNotRun": {
        "MetricName": "CleanupCompleted",
        "Statistic": "Sum",
        "ComparisonOperator": "LessThanThreshold",
        "Threshold": 1,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "TreatMissingData": "breaching",
    },
}


@pytest.mark.parametrize(("name", "expected"), ALARMS.items())
def test_an_alarm_looks_at_a_metric_that_the_code_emits(
    monitoring: Template, environment: Environment, name: str, expected: dict[str, Any]
) -> None:
    alarm = _alarm(monitoring, name)
    assert expected.items() <= alarm.items()
    assert alarm["Namespace"] == NAMESPACE
    assert alarm["MetricName"] in set(MetricName)
    assert alarm["Dimensions"] == [{"Name": DIMENSION, "Value": environment.name}]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_on_call_when_it_goes_off_and_when_it_is_over(
    monitoring: Template, name: str
) -> None:
    topic, _ = monitoring.only("AWS::SNS::Topic")
    alarm = _alarm(monitoring, name)
    assert alarm["AlarmActions"] == [{"Ref": topic}]
    assert alarm["OKActions"] == [{"Ref": topic}]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_it_means_and_where_to_read_on(
    monitoring: Template, environment: Environment, name: str
) -> None:
    description = _alarm(monitoring, name)["AlarmDescription"]
    section = re.sub(r"(?<=.)([A-Z])", lambda letter: f" {letter[1].lower()}", name)
    assert description.startswith(f"[{environment.name}] ")
    assert description.endswith(f'See docs/runbook.md, "{section}".')


def test_there_are_no_other_alarms(monitoring: Template) -> None:
    assert len(monitoring.resources("AWS::CloudWatch::Alarm")) == len(ALARMS)


def test_virtual_without_real_is_sustained_before_it_pages(
    monitoring: Template, environment: Environment
) -> None:
    alarm = _alarm(monitoring, "VirtualWithoutReal")
    assert alarm["Threshold"] == environment.virtual_only_threshold
    assert alarm["DatapointsToAlarm"] == environment.virtual_only_datapoints
    assert alarm["EvaluationPeriods"] == environment.virtual_only_periods
    if environment.name == "local":
        assert (alarm["Period"], alarm["EvaluationPeriods"]) == (60, 1)
    else:
        assert alarm["DatapointsToAlarm"] > 1


@pytest.mark.parametrize("name", ["VirtualWithoutReal", "AttentionEntered"])
def test_a_period_is_as_long_as_the_time_between_two_counts(
    monitoring: Template, environment: Environment, name: str
) -> None:
    """In a shorter one most periods would have no data."""
    assert _alarm(monitoring, name)["Period"] == environment.cleanup_interval * 60


def test_cleanup_did_not_run_looks_back_further_than_one_interval(
    monitoring: Template, environment: Environment
) -> None:
    """The schedule is exact to a minute only: one late run is no reason to page."""
    window = _alarm(monitoring, "CleanupDidNotRun")["Period"]
    assert window >= 2 * environment.cleanup_interval * 60 + 60


def test_the_topic_lets_this_accounts_alarms_in_and_nothing_unencrypted(
    monitoring: Template,
) -> None:
    """A topic with a policy of its own has lost the default one, which let alarms publish."""
    _, policy = monitoring.only("AWS::SNS::TopicPolicy")
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    (allow,) = (each for each in statements if each["Effect"] == "Allow")
    (deny,) = (each for each in statements if each["Effect"] == "Deny")
    assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allow["Action"] == "sns:Publish"
    assert allow["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_email_addresses_are_subscribed(tmp_path: Path, source: Path) -> None:
    environment = dataclasses.replace(DEV, on_call_emails=("on-call@example.com",))
    monitoring = synthesize(tmp_path, source, iter([environment]))["dev"]["Monitoring"]
    _, subscription = monitoring.only("AWS::SNS::Subscription")
    assert subscription["Properties"]["Protocol"] == "email"
    assert subscription["Properties"]["Endpoint"] == "on-call@example.com"


def test_the_dashboard_shows_both_connection_types_apart_and_their_ratio(
    monitoring: Template,
) -> None:
    lines = _widget(monitoring, "Connections")["metrics"]
    assert _own_metrics([lines[0]]) == ["RealConnections"]
    assert _own_metrics([lines[1]]) == ["VirtualConnections"]
    ids = {line[1]: line[-1].get("id") for line in lines[:2]}
    assert lines[2][0]["expression"] == (f"{ids['RealConnections']} / {ids['VirtualConnections']}")


def test_the_dashboard_shows_who_is_online_and_who_is_in_trouble(monitoring: Template) -> None:
    assert {"OnlineBusinesses", "VirtualOnlyBusinesses", "UnreachableBusinesses"} <= set(
        _own_metrics(_widget(monitoring, "Businesses")["metrics"])
    )


def test_the_dashboard_shows_every_metric_that_the_code_emits(
    monitoring: Template, environment: Environment
) -> None:
    shown = [
        line
        for widget in _widgets(monitoring)
        for line in widget["properties"].get("metrics", [])
        if line[0] == NAMESPACE
    ]
    assert set(_own_metrics(shown)) == {name.value for name in MetricName}
    for line in shown:
        assert line[2:4] == [DIMENSION, environment.name]


def test_the_dashboard_shows_the_health_of_the_machinery(monitoring: Template) -> None:
    shown = {
        line[1]
        for widget in _widgets(monitoring)
        for line in widget["properties"].get("metrics", [])
        if isinstance(line[0], str) and line[0].startswith("AWS/")
    }
    assert {
        "IntegrationError",
        "5XXError",
        "4XXError",
        "Errors",
        "Throttles",
        "Duration",
        "ReadThrottleEvents",
        "WriteThrottleEvents",
        "ApproximateNumberOfMessagesVisible",
    } <= shown


def test_outputs_name_the_topic_the_alarms_and_the_dashboard(monitoring: Template) -> None:
    names = flat(monitoring.outputs["AlarmNames"]["Value"]).split(",")
    assert [re.sub(r"<Alarms(\w+?)[0-9A-F]{8}>", r"\1", name) for name in names] == list(ALARMS)
    assert "<OnCallTopic" in flat(monitoring.outputs["OnCallTopicArn"]["Value"])
    assert "<Dashboard" in flat(monitoring.outputs["DashboardName"]["Value"])


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


def _alarm(monitoring: Template, name: str) -> dict[str, Any]:
    (found,) = (
        properties
        for logical_id, properties in monitoring.properties("AWS::CloudWatch::Alarm").items()
        if logical_id.startswith(f"Alarms{name}")
    )
    return found


def _widgets(monitoring: Template) -> list[Any]:
    _, dashboard = monitoring.only("AWS::CloudWatch::Dashboard")
    widgets: list[Any] = json.loads(flat(dashboard["Properties"]["DashboardBody"]))["widgets"]
    return widgets


def _widget(monitoring: Template, title: str) -> dict[str, Any]:
    (found,) = (
        widget["properties"]
        for widget in _widgets(monitoring)
        if widget["properties"].get("title") == title
    )
    return dict(found)


def _own_metrics(lines: list[Any]) -> list[str]:
    return [line[1] for line in lines if line[0] == NAMESPACE]
