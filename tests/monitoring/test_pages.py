"""Who is told, over hours: one incident is one page, and pages about businesses always go out.

Incidents are played against all alarms of prod, including the composite one.
"""

import random

import pytest

from infra.environments import DEV
from local.cloudwatch.alarm_rules import State
from tests.infra.synthesis import Templates
from tests.infra.template import Template
from tests.monitoring.incident import Incident

ON_CALL, TICKETS = "OnCall", "Tickets"


@pytest.fixture
def incident(prod: Template) -> Incident:
    """Four hours of prod, which was deployed long ago."""
    return Incident(prod, minutes=240)


def paged(incident: Incident) -> list[str]:
    """The alarms that page on-call, in order."""
    return [alarm for alarm, _ in incident.told(ON_CALL)]


def ticketed(incident: Incident) -> list[str]:
    """The alarms that open tickets, in order."""
    return [alarm for alarm, _ in incident.told(TICKETS)]


def _outage_of_the_table(incident: Incident, start: int, end: int) -> None:
    incident.during(start, end, {"SystemErrors": 50, "5XXError": 100})
    for function in ("Connect", "Disconnect", "Ping", "Status", "Rest"):
        incident.during(start, end, {"Errors": 60}, of=f"Functions{function}")
    incident.no_census(start, end)


def test_a_good_day_tells_nobody(incident: Incident) -> None:
    assert paged(incident) == []
    assert ticketed(incident) == []


def test_an_outage_of_the_table_is_one_page_and_one_all_clear(incident: Incident) -> None:
    _outage_of_the_table(incident, 60, 120)
    ((alarm, minute),) = incident.told(ON_CALL)
    assert alarm == "ServiceImpaired"
    assert 60 < minute <= 75
    all_clear = [told for told in incident.told(ON_CALL, State.OK) if told[1] > 60]
    ((alarm, minute),) = all_clear
    assert alarm == "ServiceImpaired"
    assert 120 < minute <= 145
    assert ticketed(incident) == []


def test_a_second_failure_during_an_incident_does_not_page_again(incident: Incident) -> None:
    incident.during(60, 120, {"Errors": 100}, of="FunctionsPing")
    incident.during(100, 180, {"Throttles": 50}, of="FunctionsRest")
    assert paged(incident) == ["ServiceImpaired"]


def test_two_incidents_are_two_pages(incident: Incident) -> None:
    for start in (30, 150):
        incident.during(start, start + 30, {"Errors": 100}, of="FunctionsPing")
    assert paged(incident) == ["ServiceImpaired"] * 2


def test_one_minute_of_trouble_pages_nobody(incident: Incident) -> None:
    _outage_of_the_table(incident, 61, 62)
    assert paged(incident) == []


@pytest.mark.parametrize(
    ("metric", "of", "value"),
    [
        ("Errors", "FunctionsCleanup", 1),
        ("Errors", "FunctionsConnect", 100),
        ("Throttles", "FunctionsAuthorizer", 100),
        ("5XXError", "", 100),
        ("ExecutionError", "", 100),
        ("ReadThrottleEvents", "", 100),
        ("SystemErrors", "Scan", 100),
        ("ProbesUnknown", "", 100),
        ("CleanupRefused", "", 1),
        ("CleanupCompleted", "", None),
        ("CanarySucceeded", "", 0),
        ("CanarySucceeded", "", None),
        ("IteratorAge", "FunctionsRecorder", 400_000),
        ("IteratorAge", "FunctionsPublisher", 400_000),
        ("Invocations", "FunctionsRecorder", None),
        ("Invocations", "FunctionsPublisher", None),
    ],
)
def test_any_failure_of_the_service_pages(
    incident: Incident, metric: str, of: str, value: float | None
) -> None:
    incident.during(60, 180, {metric: value}, of=of)
    assert paged(incident) == ["ServiceImpaired"]


def test_one_run_of_the_canary_that_fails_or_is_missing_pages_nobody(incident: Incident) -> None:
    incident.during(60, 65, {"CanarySucceeded": 0})
    incident.during(120, 125, {"CanarySucceeded": None})
    assert paged(incident) == []


def _play_runs(incident: Incident, seed: int, failing: range) -> None:
    """Let the canary run every five minutes, more or less. The runs of some minutes fail.

    The schedule is exact to a minute, and a failure comes up to a minute later than a success.
    """
    rolls = random.Random(seed)
    incident.during(60, 180, {"CanarySucceeded": None})
    for minute in range(60, 176, 5):
        fails = minute in failing
        late = rolls.randint(0, 1) + (rolls.randint(0, 1) if fails else 0)
        incident.at(minute + late, "CanarySucceeded", 0 if fails else 1)


@pytest.mark.parametrize("seed", range(20))
def test_one_failed_run_pages_nobody_however_unpunctual(incident: Incident, seed: int) -> None:
    _play_runs(incident, seed, range(100, 105))
    assert paged(incident) == []


@pytest.mark.parametrize("length", [10, 60])
@pytest.mark.parametrize("seed", range(20))
def test_failing_runs_are_one_page_however_unpunctual(
    incident: Incident, seed: int, length: int
) -> None:
    _play_runs(incident, seed, range(100, 100 + length))
    assert paged(incident) == ["ServiceImpaired"]


def test_a_broken_authorizer_that_no_other_alarm_sees_is_one_page(incident: Incident) -> None:
    """It denies everybody with 401: no function fails, and devices just fall silent."""
    incident.during(60, 120, {"CanarySucceeded": 0})
    ((alarm, minute),) = incident.told(ON_CALL)
    assert alarm == "ServiceImpaired"
    assert 60 < minute <= 75
    assert ticketed(incident) == []


def test_a_canary_that_has_no_credential_yet_pages_nobody(prod: Template) -> None:
    incident = Incident(prod, minutes=240, deployed=30)
    incident.during(30, 240, {"CanarySucceeded": None})
    assert paged(incident) == []


def test_a_canary_that_fails_from_its_first_run_on_pages(prod: Template) -> None:
    incident = Incident(prod, minutes=120, deployed=30)
    incident.during(30, 120, {"CanarySucceeded": 0})
    assert paged(incident) == ["ServiceImpaired"]


@pytest.mark.parametrize(
    "late",
    ["", "CleanupDidNotComplete", "UnreachableBusinesses", "CanarySilent", "CanaryFailed"],
)
def test_the_first_deployment_pages_nobody(prod: Template, late: str) -> None:
    """Alarms are judged once a minute, but not all at the same moment."""
    incident = Incident(prod, minutes=120, deployed=30)
    assert incident.told(ON_CALL, late={late}) == []
    assert ticketed(incident) == []


def test_a_cleanup_that_fails_from_the_first_run_on_pages(prod: Template) -> None:
    incident = Incident(prod, minutes=120)
    incident.no_census(0, 120)
    incident.during(0, 120, {"Errors": 1}, of="FunctionsCleanup")
    assert paged(incident) == ["ServiceImpaired"]


def test_planned_work_pages_nobody(incident: Incident) -> None:
    incident.announce_planned_work(55)
    _outage_of_the_table(incident, 60, 100)
    assert paged(incident) == []


def test_planned_work_announced_when_the_trouble_begins_pages_nobody(incident: Incident) -> None:
    incident.during(60, 100, {"Errors": 100}, of="FunctionsRest")
    incident.announce_planned_work(64)
    assert paged(incident) == []


def test_trouble_that_lasts_beyond_planned_work_pages_then(incident: Incident) -> None:
    incident.announce_planned_work(55)
    incident.during(60, 240, {"Errors": 100}, of="FunctionsRest")
    ((alarm, minute),) = incident.told(ON_CALL)
    assert alarm == "ServiceImpaired"
    assert 55 + 60 < minute <= 55 + 60 + 25


def test_trouble_that_ends_soon_after_planned_work_pages_nobody(incident: Incident) -> None:
    """The announcement made at minute 55 holds until minute 125 at the latest."""
    incident.announce_planned_work(55)
    incident.during(60, 122, {"Errors": 100}, of="FunctionsRest")
    assert paged(incident) == []


def test_planned_work_does_not_suppress_pages_about_businesses(incident: Incident) -> None:
    incident.announce_planned_work(55)
    _outage_of_the_table(incident, 60, 62)
    incident.during(60, 75, {"AttentionEntered": 20})
    incident.during(60, 120, {"VirtualOnlyBusinesses": 40, "UnreachableBusinesses": 20})
    assert set(paged(incident)) == {
        "AttentionBurst",
        "AttentionShare",
        "VirtualWithoutReal",
        "UnreachableBusinesses",
    }


def test_one_business_in_trouble_opens_a_ticket_and_pages_nobody(incident: Incident) -> None:
    incident.during(60, 65, {"AttentionEntered": 1})
    incident.during(60, 240, {"VirtualOnlyBusinesses": 1})
    assert ticketed(incident) == ["AttentionEntered"]
    assert paged(incident) == []


def test_one_business_in_trouble_pages_where_each_matters(templates: Templates) -> None:
    incident = Incident(templates[DEV.name]["Monitoring"], minutes=240)
    incident.during(60, 65, {"AttentionEntered": 1})
    incident.during(60, 180, {"VirtualOnlyBusinesses": 1})
    assert paged(incident) == ["AttentionEntered", "VirtualWithoutReal"]
    assert ticketed(incident) == []


def test_a_burst_pages_while_the_service_is_impaired(incident: Incident) -> None:
    incident.during(60, 200, {"Errors": 100}, of="FunctionsRest")
    incident.during(120, 125, {"AttentionEntered": 12})
    assert paged(incident) == ["ServiceImpaired", "AttentionBurst"]


def test_a_second_burst_pages_again_while_the_first_trouble_lasts(incident: Incident) -> None:
    incident.during(60, 180, {"VirtualOnlyBusinesses": 30})
    incident.during(60, 65, {"AttentionEntered": 30})
    incident.during(120, 125, {"AttentionEntered": 12})
    assert paged(incident) == ["AttentionBurst", "VirtualWithoutReal", "AttentionBurst"]


def test_businesses_that_become_unreachable_page_again(incident: Incident) -> None:
    incident.during(60, 120, {"VirtualOnlyBusinesses": 20})
    incident.during(120, 180, {"UnreachableBusinesses": 20})
    assert paged(incident) == ["VirtualWithoutReal", "UnreachableBusinesses"]


def test_a_mass_disconnect_pages_on_its_own(incident: Incident) -> None:
    incident.during(60, 240, {"RealConnections": 300})
    assert paged(incident) == ["MassDisconnect"]


@pytest.mark.parametrize(
    ("alarm", "metric", "of", "value"),
    [
        ("CleanupDeadLetters", "ApproximateNumberOfMessagesVisible", "CleanupSchedule", 1),
        ("FeedDeadLetters", "ApproximateNumberOfMessagesVisible", "ChangeFeed", 1),
        ("RestDuration", "Duration", "FunctionsRest", 27_000),
        ("CleanupDuration", "Duration", "FunctionsCleanup", 289_000),
        ("RestLatency", "Latency", "", 5_000),
        ("NewConnections", "ConnectCount", "", 400 * 60),
    ],
)
def test_what_can_wait_opens_a_ticket_and_pages_nobody(
    incident: Incident, alarm: str, metric: str, of: str, value: float
) -> None:
    incident.during(60, 120, {metric: value}, of=of)
    assert ticketed(incident) == [alarm]
    assert paged(incident) == []


def test_one_worker_of_three_that_stops_pages(three_workers: Template) -> None:
    incident = Incident(three_workers, minutes=120)
    incident.during(60, 100, {"CleanupCompleted": None}, of="('worker', '2')")
    assert paged(incident) == ["ServiceImpaired"]


def test_the_first_deployment_of_three_workers_pages_nobody(three_workers: Template) -> None:
    incident = Incident(three_workers, minutes=120, deployed=30)
    incident.no_census(30, 45, of="('worker', '2')")
    assert paged(incident) == []
