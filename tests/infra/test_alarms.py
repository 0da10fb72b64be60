"""The alarms as they are deployed: whom they tell, what they look at, and what they are silent on.

That the metrics exist is proved in `tests/monitoring`, and so is when an alarm goes off.
"""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from infra.environments import DEV, Environment
from infra.monitoring.alarms import TABLE_OPERATIONS
from tests.infra.crowd import CROWD, crowd_templates
from tests.infra.synthesis import ENVIRONMENTS, Templates, synthesize
from tests.infra.template import Template, as_list, flat

FUNCTIONS: Final = (
    "Authorizer",
    "Connect",
    "Disconnect",
    "Ping",
    "Status",
    "DefaultRoute",
    "Rest",
    "Cleanup",
)

PAGE, IMPAIRED, TICKET, NOBODY = "page", "impaired", "ticket", "nobody"
MATH, COMPOSITE = "metric math", "composite"


class Row(NamedTuple):
    """One line of the table below."""

    name: str
    section: str
    tells: str
    needs: str | None


_TABLE: Final = (
    # alarm, section of the runbook, whom it tells, what it needs
    ("VirtualWithoutReal", "Virtual without real", PAGE, None),
    ("VirtualWithoutRealShare", "Virtual without real, share", PAGE, MATH),
    ("AttentionEntered", "Attention entered", PAGE, None),
    ("UnreachableBusinesses", "Unreachable businesses", PAGE, None),
    ("MassDisconnect", "Mass disconnect", PAGE, MATH),
    ("CleanupDidNotComplete", "Cleanup did not complete", IMPAIRED, None),
    ("CleanupRefused", "Cleanup refused", IMPAIRED, None),
    ("CleanupFailed", "Cleanup failed", IMPAIRED, None),
    ("CleanupDeadLetters", "Cleanup dead letters", TICKET, None),
    ("ProbesUnknown", "Probes unknown", IMPAIRED, None),
    *(
        (f"{name}Errors", "Function errors", IMPAIRED, MATH)
        for name in FUNCTIONS
        if name != "Cleanup"  # CleanupFailed is that
    ),
    *((f"{name}Throttles", "Function throttles", IMPAIRED, None) for name in FUNCTIONS),
    *((f"{name}Duration", "Function duration", TICKET, None) for name in FUNCTIONS),
    ("RestServerErrors", "REST server errors", IMPAIRED, MATH),
    ("RestLatency", "REST latency", TICKET, None),
    ("WebSocketErrors", "WebSocket errors", IMPAIRED, MATH),
    ("NewConnections", "New connections near the quota", TICKET, None),
    ("TableThrottles", "Table throttles", IMPAIRED, MATH),
    ("TableSystemErrors", "Table system errors", IMPAIRED, MATH),
    ("PlannedWork", "Planned work", NOBODY, COMPOSITE),
    ("ServiceImpaired", "Service impaired", PAGE, COMPOSITE),
)

ROWS: Final = {line[0]: Row(*line) for line in _TABLE}
MEMBERS: Final = {row.name for row in ROWS.values() if row.tells == IMPAIRED}

EVERY_ENVIRONMENT: Final = {**ENVIRONMENTS, CROWD.name: CROWD}


@pytest.fixture(params=list(EVERY_ENVIRONMENT))
def environment(request: pytest.FixtureRequest) -> Environment:
    """Each environment in turn, and one with several workers."""
    return EVERY_ENVIRONMENT[request.param]


@pytest.fixture
def crowd(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Template:
    return crowd_templates(tmp_path_factory, source)["Monitoring"]


@pytest.fixture
def prod(templates: Templates) -> Template:
    return templates["prod"]["Monitoring"]


@pytest.fixture
def monitoring(templates: Templates, environment: Environment, crowd: Template) -> Template:
    return crowd if environment is CROWD else templates[environment.name]["Monitoring"]


def test_there_are_these_alarms_and_no_others(
    monitoring: Template, environment: Environment
) -> None:
    missing = {
        *([] if environment.metric_math_alarms else [MATH]),
        *([] if environment.composite_alarms else [COMPOSITE]),
    }
    assert set(_alarms(monitoring)) == {
        row.name for row in ROWS.values() if row.needs not in missing
    }


def test_a_stage_that_knows_neither_math_nor_composites_is_given_none(
    templates: Templates,
) -> None:
    local = _alarms(templates["local"]["Monitoring"])
    assert not any("Metrics" in alarm or "AlarmRule" in alarm for alarm in local.values())


def test_an_alarm_tells_its_topic_when_it_goes_off_and_when_it_is_over(
    monitoring: Template, environment: Environment
) -> None:
    topics = {PAGE: ["<OnCallTopic>"], TICKET: ["<TicketsTopic>"], IMPAIRED: [], NOBODY: []}
    if not environment.composite_alarms:
        topics[IMPAIRED] = topics[PAGE]  # what nothing sums up must page by itself
    for name, alarm in _alarms(monitoring).items():
        for actions in ("AlarmActions", "OKActions"):
            told = [_topic(arn) for arn in alarm.get(actions, [])]
            assert told == topics[ROWS[name].tells], name
        assert "InsufficientDataActions" not in alarm, name
        assert alarm.get("ActionsEnabled", True) is True, name


def test_an_alarm_says_where_how_urgent_and_what_and_names_its_section_of_the_runbook(
    monitoring: Template, environment: Environment
) -> None:
    severities = {
        PAGE: "PAGE:",
        TICKET: "TICKET:",
        IMPAIRED: "PAGE (as part of ServiceImpaired):",
        NOBODY: "NO ACTION:",
    }
    if not environment.composite_alarms:
        severities[IMPAIRED] = severities[PAGE]
    for name, alarm in _alarms(monitoring).items():
        description, row = alarm["AlarmDescription"], ROWS[name]
        assert description.startswith(f"[{environment.name}] {severities[row.tells]} "), name
        assert description.endswith(f'. See docs/runbook.md, "{row.section}".'), name
        assert len(description) <= 1024  # CloudWatch takes no more


def test_what_a_period_without_data_counts_as_is_said_and_fits_the_metric(
    monitoring: Template,
) -> None:
    """Without a census nothing is known; without a completed run something is wrong; and where
    errors are counted, nothing counted is nothing wrong.
    """
    special = {
        "VirtualWithoutReal": "ignore",
        "VirtualWithoutRealShare": "ignore",
        "UnreachableBusinesses": "ignore",
        "CleanupDidNotComplete": "breaching",
    }
    for name, alarm in _alarms(monitoring).items():
        if name != "ServiceImpaired":
            assert alarm["TreatMissingData"] == special.get(name, "notBreaching"), name


def test_one_incident_of_the_service_is_one_page(prod: Template) -> None:
    rule = _rule(prod)
    assert set(re.findall(r"ALARM\((\w+)\)", rule)) == MEMBERS
    assert " AND " not in rule.replace(_FIRST_DEPLOYMENT, "")


_FIRST_DEPLOYMENT: Final = (
    "(ALARM(CleanupDidNotComplete) AND (NOT (INSUFFICIENT_DATA(UnreachableBusinesses))))"
)


def test_the_very_first_deployment_pages_nobody_for_a_run_that_could_not_be_there_yet(
    prod: Template,
) -> None:
    """An alarm that ignores missing data has INSUFFICIENT_DATA until its first data, then never."""
    assert _FIRST_DEPLOYMENT in _rule(prod)
    witness = _alarms(prod)["UnreachableBusinesses"]
    assert witness["TreatMissingData"] == "ignore"
    assert _names(witness) == {"UnreachableBusinesses"}  # in the same census as CleanupCompleted


def test_planned_work_keeps_the_composite_silent_and_nothing_else(prod: Template) -> None:
    alarms = _alarms(prod)
    suppressor = alarms["ServiceImpaired"]["ActionsSuppressor"]
    assert _name(flat(suppressor).removesuffix(".Arn>").strip("<")) == "PlannedWork"
    assert alarms["ServiceImpaired"]["ActionsSuppressorWaitPeriod"] <= 60  # delays every page
    assert alarms["ServiceImpaired"]["ActionsSuppressorExtensionPeriod"] >= 600  # two of 3 periods
    assert [name for name, alarm in alarms.items() if "ActionsSuppressor" in alarm] == [
        "ServiceImpaired"
    ]


def test_an_announcement_of_planned_work_is_seen_at_once_and_holds_for_an_hour(
    prod: Template,
) -> None:
    alarm = _alarms(prod)["PlannedWork"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("BusinessConnections", "PlannedWork")
    assert alarm["Dimensions"] == [{"Name": "environment", "Value": "prod"}]
    assert alarm["DatapointsToAlarm"] == 1
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 3600


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("VirtualWithoutReal", {"virtual_only_threshold": 77}),
        ("VirtualWithoutRealShare", {"virtual_only_percent": 77}),
        ("UnreachableBusinesses", {"unreachable_threshold": 77}),
        ("MassDisconnect", {"mass_disconnect_percent": 77}),
        ("MassDisconnect", {"mass_disconnect_minimum": 77}),
        ("ProbesUnknown", {"probes_unknown_threshold": 77}),
        ("PingErrors", {"errors_percent": 77}),
        ("PingErrors", {"errors_minimum": 77}),
        ("PingThrottles", {"throttles_threshold": 77}),
        ("RestServerErrors", {"errors_percent": 77}),
        ("WebSocketErrors", {"errors_minimum": 77}),
        ("TableThrottles", {"throttles_threshold": 77}),
        ("TableSystemErrors", {"errors_minimum": 77}),
        ("RestLatency", {"rest_latency": 77}),
    ],
)
def test_a_threshold_is_the_environments(
    tuned: Template, name: str, fields: dict[str, int]
) -> None:
    alarm = _alarms(tuned)[name]
    (field,) = fields
    if field.endswith("_minimum") and name != "TableSystemErrors":
        assert ">= 77," in _watched(alarm)["Expression"]
    else:
        assert alarm["Threshold"] == 77


def test_thresholds_that_are_calculated_follow_the_environment(tuned: Template) -> None:
    alarms = _alarms(tuned)
    assert alarms["PingDuration"]["Threshold"] == 7_700  # of 10 seconds
    assert alarms["NewConnections"]["Threshold"] == 77 * 60
    assert alarms["NewConnections"]["Period"] == 60


def test_how_long_something_must_last_is_the_environments(tuned: Template) -> None:
    alarms = _alarms(tuned)
    for name in ("VirtualWithoutReal", "VirtualWithoutRealShare", "UnreachableBusinesses"):
        assert (alarms[name]["DatapointsToAlarm"], alarms[name]["EvaluationPeriods"]) == (5, 7)
    for name in ("CleanupFailed", "ProbesUnknown", "PingErrors", "TableThrottles", "RestDuration"):
        assert (alarms[name]["DatapointsToAlarm"], alarms[name]["EvaluationPeriods"]) == (6, 9)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Template:
    """The alarms of an environment with unlikely thresholds."""
    environment = Environment(
        name="tuned",
        virtual_only_datapoints=5,
        virtual_only_periods=7,
        impaired_datapoints=6,
        impaired_periods=9,
        virtual_only_threshold=77,
        virtual_only_percent=77,
        unreachable_threshold=77,
        mass_disconnect_percent=77,
        mass_disconnect_minimum=77,
        errors_percent=77,
        errors_minimum=77,
        throttles_threshold=77,
        probes_unknown_threshold=77,
        duration_percent=77,
        rest_latency=77,
        new_connections_per_second=77,
    )
    outdir = tmp_path_factory.mktemp("cdk.out")
    return synthesize(outdir, source, [environment])["tuned"]["Monitoring"]


@pytest.mark.parametrize(
    "name", ["VirtualWithoutReal", "AttentionEntered", "UnreachableBusinesses", "ProbesUnknown"]
)
def test_a_period_is_as_long_as_the_time_between_two_counts(
    monitoring: Template, environment: Environment, name: str
) -> None:
    """In a shorter one most periods would have no data."""
    (period,) = _periods(_alarms(monitoring)[name])
    assert period == environment.cleanup_interval * 60


def test_one_late_run_is_no_reason_to_page(monitoring: Template, environment: Environment) -> None:
    """The schedule is exact to a minute only."""
    (window,) = _periods(_alarms(monitoring)["CleanupDidNotComplete"])
    assert window == 3 * environment.cleanup_interval * 60


@pytest.mark.parametrize("name", ["VirtualWithoutReal", "UnreachableBusinesses"])
def test_the_censuses_of_several_workers_add_up(crowd: Template, name: str) -> None:
    alarm = _alarms(crowd)[name]
    parts = _parts(alarm)
    assert [part["workers"] for part in parts.values()] == ["0", "1", "2"]
    assert {part["Stat"] for part in parts.values()} == {"Maximum"}
    assert _watched(alarm)["Expression"] == _sum_of_all(parts)


def test_a_share_is_one_of_the_sums_of_all_workers(crowd: Template) -> None:
    parts = _parts(_alarms(crowd)["VirtualWithoutRealShare"])
    assert len(parts) == 2 * CROWD.cleanup_workers
    assert {part["workers"] for part in parts.values()} == {"0", "1", "2"}


def test_one_worker_that_does_not_complete_is_missed(crowd: Template) -> None:
    alarm = _alarms(crowd)["CleanupDidNotComplete"]
    parts = _parts(alarm)
    assert [part["workers"] for part in parts.values()] == ["0", "1", "2"]
    assert _watched(alarm)["Expression"] == " + ".join(f"(FILL({each}, 0) > 0)" for each in parts)
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    assert alarm["Threshold"] == CROWD.cleanup_workers


def test_an_alarm_stays_within_what_cloudwatch_takes(crowd: Template, prod: Template) -> None:
    """Ten metrics and ten expressions; a look back of one day; a rule of 10,240 characters."""
    for monitoring in (crowd, prod):
        for name, alarm in _alarms(monitoring).items():
            metrics = alarm.get("Metrics", [])
            assert len([each for each in metrics if "MetricStat" in each]) <= 10, name
            assert len([each for each in metrics if "Expression" in each]) <= 10, name
            for period in _periods(alarm):
                assert period * alarm["EvaluationPeriods"] <= 86_400, name
    arn = f"arn:aws:cloudwatch:eu-central-1:{'1' * 12}:alarm:{'n' * 100}"
    assert len(_rule(prod)) + len(ROWS) * len(arn) < 10_240


def test_an_alarm_on_the_table_can_end(prod: Template) -> None:
    """Alarms on DynamoDB's metrics keep their state while there is no data, and nothing is counted
    while nothing goes wrong: what the cleanup reads makes a data point of every period.
    """
    for name in ("TableThrottles", "TableSystemErrors"):
        alarm = _alarms(prod)[name]
        assert _parts(alarm)["consumed"]["MetricName"] == "ConsumedReadCapacityUnits"
        assert _watched(alarm)["Expression"].startswith("0 * consumed + ")
        (period,) = _periods(alarm)
        assert period >= ENVIRONMENTS["prod"].cleanup_interval * 60


def test_throttles_are_seen_on_the_table_and_on_every_index(
    prod: Template, templates: Templates
) -> None:
    (table,) = templates["prod"]["Data"].properties("AWS::DynamoDB::Table").values()
    indexes = {index["IndexName"] for index in table["GlobalSecondaryIndexes"]}
    seen = {
        (part["MetricName"], part["dimensions"].get("GlobalSecondaryIndexName"))
        for part in _parts(_alarms(prod)["TableThrottles"]).values()
    }
    assert {
        (f"{kind}ThrottleEvents", index) for kind in ("Read", "Write") for index in (None, *indexes)
    } <= seen


def test_every_operation_that_a_function_may_ask_of_the_table_is_watched(
    templates: Templates,
) -> None:
    may = {
        action.removeprefix("dynamodb:")
        for policy in templates["prod"]["Service"].properties("AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
        if action.startswith("dynamodb:")
    }
    # A transaction needs the permissions of its parts, and is watched by its own name.
    assert may | {"TransactWriteItems"} == set(TABLE_OPERATIONS)


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("cleanup_workers", {"cleanup_workers": 0}),
        ("cleanup_workers", {"cleanup_workers": 4}),
        ("cleanup_workers", {"cleanup_workers": 2, "metric_math_alarms": False}),
        ("virtual_only_percent", {"virtual_only_percent": 0}),
        ("unreachable_threshold", {"unreachable_threshold": 0}),
        ("mass_disconnect_percent", {"mass_disconnect_percent": 101}),
        ("mass_disconnect_minimum", {"mass_disconnect_minimum": 0}),
        ("impaired_periods", {"impaired_periods": 0}),
        ("impaired_datapoints", {"impaired_datapoints": 4, "impaired_periods": 3}),
        ("errors_percent", {"errors_percent": 0}),
        ("errors_minimum", {"errors_minimum": 0}),
        ("throttles_threshold", {"throttles_threshold": 0}),
        ("probes_unknown_threshold", {"probes_unknown_threshold": 0}),
        ("duration_percent", {"duration_percent": 101}),
        ("rest_latency", {"rest_latency": 30_000}),
        ("new_connections_per_second", {"new_connections_per_second": 0}),
        ("page_emails", {"page_emails": ("nobody",)}),
        ("page_urls", {"page_urls": ("http://events.example.com",)}),
        ("ticket_emails", {"ticket_emails": ("nobody",)}),
        ("ticket_urls", {"ticket_urls": ("events.example.com",)}),
        ("runbook_url", {"runbook_url": "docs/runbook.md"}),
    ],
)
def test_a_value_that_cannot_work_is_refused_and_its_field_is_named(
    field: str, changed: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=rf": {field} must "):
        dataclasses.replace(DEV, **changed)  # type: ignore[arg-type]  # wrong values are the point


def _sum_of_all(ids: Iterable[str]) -> str:
    """Return the sum of what workers counted, which is nothing where one of them is missing."""
    there = " AND ".join(f"FILL({each}, -1) >= 0" for each in ids)
    return f"IF({there}, {' + '.join(ids)})"


def _name(logical_id: str) -> str:
    return re.sub(r"^Alarms(\w+)[0-9A-F]{8}$", r"\1", logical_id)


def _alarms(monitoring: Template) -> dict[str, dict[str, Any]]:
    """Return metric alarms and composites by construct id."""
    return {
        _name(logical_id): properties
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for logical_id, properties in monitoring.properties(kind).items()
    }


def _topic(arn: Any) -> str:
    return re.sub(r"[0-9A-F]{8}>$", ">", flat(arn))


def _rule(monitoring: Template) -> str:
    rule = flat(_alarms(monitoring)["ServiceImpaired"]["AlarmRule"])
    return re.sub(r'"<Alarms(\w+?)[0-9A-F]{8}\.Arn>"', r"\1", rule)


def _watched(alarm: dict[str, Any]) -> dict[str, Any]:
    """Return the expression that the alarm looks at."""
    (watched,) = (each for each in alarm["Metrics"] if each.get("ReturnData", True))
    return dict(watched)


def _parts(alarm: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the metrics that the expression of an alarm is made of, by id."""
    found = {}
    for each in alarm["Metrics"]:
        if "MetricStat" in each:
            metric = each["MetricStat"]["Metric"]
            dimensions = {pair["Name"]: flat(pair["Value"]) for pair in metric["Dimensions"]}
            found[each["Id"]] = {
                "MetricName": metric["MetricName"],
                "Stat": each["MetricStat"]["Stat"],
                "dimensions": dimensions,
                "workers": dimensions.get("worker"),
            }
    return found


def _names(alarm: dict[str, Any]) -> set[str]:
    if "MetricName" in alarm:
        return {alarm["MetricName"]}
    return {part["MetricName"] for part in _parts(alarm).values()}


def _periods(alarm: dict[str, Any]) -> set[int]:
    """Return the periods of an alarm's metrics: there is one, or CloudWatch refuses it."""
    if "Period" in alarm:
        return {alarm["Period"]}
    return {
        each["MetricStat"]["Period"] for each in alarm.get("Metrics", []) if "MetricStat" in each
    }
