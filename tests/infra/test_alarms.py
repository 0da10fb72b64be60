"""The alarms as they are deployed: whom they notify, what they watch, and how they end.

`tests/monitoring` proves when each alarm fires, and that the metrics exist.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from infra.configuration import Environment, Sustained, Thresholds
from infra.environments import PROD
from local.environment import local_environment
from tests.infra.synthesis import Templates, synthesize
from tests.infra.template import Template, flat

Alarm = dict[str, Any]


@pytest.fixture
def alarms(monitoring: Template) -> dict[str, Alarm]:
    """The alarms of each environment in turn, by construct id."""
    return _alarms(monitoring)


@pytest.fixture
def prod(templates: Templates) -> dict[str, Alarm]:
    return _alarms(templates[PROD.name]["Monitoring"])


def test_an_alarm_notifies_its_topic_when_it_fires_and_when_it_is_over(
    alarms: dict[str, Alarm],
) -> None:
    for name, alarm in alarms.items():
        told = {"PAGE": ["<OnCallTopic>"], "TICKET": ["<TicketsTopic>"]}
        topics = told.get(_severity(alarm), [])
        for actions in ("AlarmActions", "OKActions"):
            assert [_topic(arn) for arn in alarm.get(actions, [])] == topics, name
        assert "InsufficientDataActions" not in alarm, name
        assert alarm.get("ActionsEnabled", True) is True, name


def test_the_local_system_gets_every_alarm_that_it_can_judge(
    templates: Templates, prod: dict[str, Alarm]
) -> None:
    simple_alarms = _alarms(templates["local"]["Monitoring"])
    assert not any("Metrics" in alarm or "AlarmRule" in alarm for alarm in simple_alarms.values())
    without = {"PlannedWork", "ServiceImpaired"}  # the composite, and what suppresses it
    simple = {name for name, alarm in prod.items() if "Metrics" not in alarm} - without
    # Without a canary. The cleanup's watches a simple metric there.
    assert simple_alarms.keys() == simple - {"CanaryFailed"} | {"CleanupDidNotComplete"}


def test_the_local_system_judges_the_alarms_of_a_canary(tmp_path: Path, source: Path) -> None:
    asked = local_environment(canary=True)
    alarms = _alarms(synthesize(tmp_path, source, [asked])["local"]["Monitoring"])
    assert {"CanaryFailed", "CanarySilent"} <= alarms.keys()
    assert "Metrics" not in alarms["CanarySilent"]


def test_one_incident_of_the_service_is_one_page(templates: Templates) -> None:
    monitoring = templates[PROD.name]["Monitoring"]
    members = {
        name
        for name, alarm in _alarms(monitoring).items()
        if _severity(alarm) == "PAGE (as part of ServiceImpaired)"
    }
    rule = _rule(monitoring)
    assert members
    assert set(re.findall(r"ALARM\((\w+)\)", rule)) == members


def test_no_alarm_counts_what_a_client_does_wrong(templates: Templates) -> None:
    """IntegrationError counts 4xx too: one client that is refused each second would page."""
    of_clients = {"4XXError", "ClientError", "IntegrationError"}
    for stacks in templates.values():
        for template in stacks.values():
            for alarm in template.properties("AWS::CloudWatch::Alarm").values():
                assert not any(f"'{name}'" in str(alarm) for name in of_clients)


def test_thresholds_are_those_of_the_environment(
    tmp_path_factory: pytest.TempPathFactory, source: Path
) -> None:
    environment = Environment(
        name="tuned",
        alarms=Thresholds(
            attention_burst=60,
            virtual_only=61,
            attention_percent=62,
            attention_minimum=59,
            unreachable=63,
            businesses=Sustained(5, 7),
            mass_disconnect_percent=64,
            mass_disconnect_minimum=65,
            service=Sustained(6, 9),
            errors_percent=66,
            errors_minimum=67,
            throttles=68,
            probes_unknown=69,
            duration_percent=70,
            rest_latency_ms=71,
            new_connections_per_second=72,
            feed_age=73,
        ),
    )
    outdir = tmp_path_factory.mktemp("cdk.out")
    alarms = _alarms(synthesize(outdir, source, [environment])["tuned"]["Monitoring"])
    thresholds = {
        "AttentionBurst": 60,
        "VirtualWithoutReal": 61,
        "AttentionShare": 62,
        "UnreachableBusinesses": 63,
        "MassDisconnect": 64,
        "PingErrors": 66,
        "RestServerErrors": 66,
        "WebSocketErrors": 66,
        "TableSystemErrors": 67,
        "PingThrottles": 68,
        "TableThrottles": 68,
        "ProbesUnknown": 69,
        "PingDuration": 7_000,  # of 10 seconds
        "RestLatency": 71,
        "NewConnections": 72 * 60,  # in a minute
        "RecorderLate": 73_000,  # milliseconds
        "PublisherLate": 73_000,
    }
    assert {name: alarms[name]["Threshold"] for name in thresholds} == thresholds
    assert alarms["NewConnections"]["Period"] == 60
    for name, minimum in (
        ("AttentionShare", 59),
        ("MassDisconnect", 65),
        ("PingErrors", 67),
        ("RestServerErrors", 67),
        ("WebSocketErrors", 67),
    ):
        assert f">= {minimum}," in _watched(alarms[name])["Expression"]
    for sustained, names in (
        ((5, 7), ("VirtualWithoutReal", "AttentionShare", "UnreachableBusinesses")),
        ((6, 9), ("CleanupFailed", "ProbesUnknown", "PingErrors", "TableThrottles", "RestLatency")),
    ):
        for name in names:
            alarm = alarms[name]
            assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == sustained, name


def test_an_alarm_stays_within_the_limits_of_cloudwatch(
    alarms: dict[str, Alarm], templates: Templates
) -> None:
    """Ten metrics and ten expressions of one period, one day back, a rule of 10,240 characters."""
    for name, alarm in alarms.items():
        assert len(alarm["AlarmDescription"]) <= 1024, name
        metrics = alarm.get("Metrics", [])
        assert len([each for each in metrics if "MetricStat" in each]) <= 10, name
        assert len([each for each in metrics if "Expression" in each]) <= 10, name
        if name != "ServiceImpaired":
            (period,) = _periods(alarm)
            assert period * alarm["EvaluationPeriods"] <= 86_400, name
    arn = f"arn:aws:cloudwatch:eu-central-1:{'1' * 12}:alarm:{'n' * 100}"
    rule = _rule(templates[PROD.name]["Monitoring"])
    assert len(rule) + len(re.findall(r"\(\w+\)", rule)) * len(arn) < 10_240


@pytest.mark.parametrize("name", ["TableThrottles", "TableSystemErrors"])
def test_an_alarm_on_the_table_cannot_get_stuck(prod: dict[str, Alarm], name: str) -> None:
    """An alarm on DynamoDB's metrics keeps its state while there is no data, and there is none
    while nothing goes wrong. What the cleanup reads is a data point in every period.
    """
    assert _parts(prod[name])["consumed"]["MetricName"] == "ConsumedReadCapacityUnits"
    assert _watched(prod[name])["Expression"].startswith("0 * consumed + ")
    (period,) = _periods(prod[name])
    assert period >= PROD.cleanup.interval


def test_throttles_of_the_table_and_of_every_index_are_watched(
    templates: Templates, prod: dict[str, Alarm]
) -> None:
    indexes = {
        index["IndexName"]
        for table in templates[PROD.name]["Data"].properties("AWS::DynamoDB::Table").values()
        for index in table.get("GlobalSecondaryIndexes", ())
    }
    watched = {
        (part["MetricName"], part["dimensions"].get("GlobalSecondaryIndexName"))
        for part in _parts(prod["TableThrottles"]).values()
    }
    assert {
        (f"{kind}ThrottleEvents", index) for kind in ("Read", "Write") for index in (None, *indexes)
    } <= watched


def _severity(alarm: Alarm) -> str:
    """How urgent an alarm is by its description."""
    return str(re.findall(r"^\[[^]]+\] (.+?): ", alarm["AlarmDescription"])[0])


def _alarms(monitoring: Template) -> dict[str, Alarm]:
    """Metric alarms and composites by construct id."""
    return {
        re.sub(r"^Alarms(\w+)[0-9A-F]{8}$", r"\1", logical_id): properties
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for logical_id, properties in monitoring.properties(kind).items()
    }


def _topic(arn: Any) -> str:
    return re.sub(r"[0-9A-F]{8}>$", ">", flat(arn))


def _rule(monitoring: Template) -> str:
    """The rule of the composite, with construct ids."""
    rule = flat(_alarms(monitoring)["ServiceImpaired"]["AlarmRule"])
    return re.sub(r'"<Alarms(\w+?)[0-9A-F]{8}\.Arn>"', r"\1", rule)


def _watched(alarm: Alarm) -> dict[str, Any]:
    """The expression that the alarm watches."""
    (watched,) = (each for each in alarm["Metrics"] if each.get("ReturnData", True))
    return dict(watched)


def _parts(alarm: Alarm) -> dict[str, dict[str, Any]]:
    """The metrics in the expression of an alarm, by id."""
    return {
        each["Id"]: {
            "MetricName": each["MetricStat"]["Metric"]["MetricName"],
            "Stat": each["MetricStat"]["Stat"],
            "dimensions": {
                pair["Name"]: flat(pair["Value"])
                for pair in each["MetricStat"]["Metric"]["Dimensions"]
            },
        }
        for each in alarm["Metrics"]
        if "MetricStat" in each
    }


def _periods(alarm: Alarm) -> set[int]:
    """The periods of an alarm's metrics. CloudWatch accepts only one."""
    if "Period" in alarm:
        return {alarm["Period"]}
    return {each["MetricStat"]["Period"] for each in alarm["Metrics"] if "MetricStat" in each}
