"""Who is told, over hours: one incident is one page, and nothing keeps a business's page back.

Incidents are played minute by minute against all alarms of prod, the composite one included.
"""

from collections.abc import Iterator

import pytest

from infra.environments import PROD
from lambdas.metrics import DIMENSION, NAMESPACE, MetricName
from local.alarms import Alarm, Metric, State
from local.composite_alarms import CompositeAlarm
from tests.monitoring.pager import Incident

ON_CALL, TICKETS = "OnCall", "Tickets"
PAGE, ALL_CLEAR = State.ALARM, State.OK

CENSUS = PROD.cleanup.interval // 60
"""Minutes between two cleanup runs."""

# What the metrics are on a good day: of the census and of runs each interval, of AWS each minute.
# What DynamoDB counts only when it happens is not there.
GOOD_CENSUS = {
    MetricName.REAL_CONNECTIONS: 1000,
    MetricName.ONLINE_BUSINESSES: 800,
    MetricName.VIRTUAL_ONLY_BUSINESSES: 0,
    MetricName.UNREACHABLE_BUSINESSES: 0,
    MetricName.CLEANUP_COMPLETED: 1,
    MetricName.ATTENTION_ENTERED: 0,
    MetricName.PROBES_UNKNOWN: 0,
    MetricName.CLEANUP_REFUSED: 0,
}
GOOD_MINUTE = {
    "Invocations": 200,
    "Errors": 0,
    "Throttles": 0,
    "Duration": 30,
    "Count": 300,
    "5XXError": 0,
    "Latency": 40,
    "ConnectCount": 10,
    "MessageCount": 200,
    "IntegrationError": 0,
    "ExecutionError": 0,
    "ConsumedReadCapacityUnits": 500,
    "ApproximateNumberOfMessagesVisible": 0,
}
RARE = {"ReadThrottleEvents", "WriteThrottleEvents", "SystemErrors", "PlannedWork"}


class Prod:
    """All alarms of prod, and an incident that begins as a good day."""

    def __init__(
        self, alarms: dict[str, Alarm], impaired: CompositeAlarm, minutes: int, deployed: int
    ) -> None:
        self._alarms = alarms
        self._composites = {"ServiceImpaired": impaired}
        self._incident = Incident(minutes)
        for metric in self._metrics():
            if metric.name in GOOD_CENSUS:
                value = GOOD_CENSUS[MetricName(metric.name)]
                self._incident.set(metric, value, start=deployed, every=CENSUS)
            elif metric.name not in RARE:
                self._incident.set(metric, GOOD_MINUTE[metric.name], start=deployed)

    def _metrics(self, name: str | None = None, of: str = "") -> Iterator[Metric]:
        for metric in {
            line.metric for alarm in self._alarms.values() for line in alarm.lines.values()
        }:
            if name is None or (metric.name == name and of in str(metric.dimensions)):
                yield metric

    def during(self, start: int, end: int, of: str = "", **values: float | None) -> None:
        """Say what metrics are from one minute until before another; `None` is no data.

        `of` is part of a dimension's value.
        """
        for name, value in values.items():
            every = CENSUS if name in GOOD_CENSUS else 1
            found = list(self._metrics(name.lstrip("_"), of))
            assert found, name
            for metric in found:
                self._incident.set(metric, value, start=start, end=end, every=every)

    def no_census(self, start: int, end: int, of: str = "") -> None:
        """Let no cleanup run be completed, or say anything."""
        for metric in self._metrics():
            if metric.name in GOOD_CENSUS and of in str(metric.dimensions):
                self._incident.set(metric, None, start=start, end=end)

    def announce_planned_work(self, minute: int) -> None:
        """Do what the runbook's command does."""
        metric = Metric.of(NAMESPACE, "PlannedWork", {DIMENSION: PROD.name})
        assert metric in set(self._metrics())
        self._incident.set(metric, 1, start=minute, end=minute + 1)

    def told(
        self, topic: str, state: State = PAGE, *, late: frozenset[str] = frozenset()
    ) -> list[tuple[str, int]]:
        """Return which alarms told a topic that they are in a state, and at which minute.

        Those that are `late` are judged a minute after all others.
        """
        return [
            (told.alarm, told.minute)
            for told in self._incident.told(self._alarms, self._composites, late=late)
            if told.topic.startswith(f"<{topic}") and told.state is state
        ]


@pytest.fixture
def prod(prod_alarms: dict[str, Alarm], impaired: CompositeAlarm) -> Prod:
    """Prod, deployed long ago, for four hours."""
    return Prod(prod_alarms, impaired, minutes=240, deployed=0)


def _alarms(told: list[tuple[str, int]]) -> list[str]:
    return [alarm for alarm, _ in told]


def _outage_of_the_table(prod: Prod, start: int, end: int) -> None:
    prod.during(start, end, SystemErrors=50, _5XXError=100)
    for function in ("Connect", "Disconnect", "Ping", "Status", "Rest"):
        prod.during(start, end, of=f"Functions{function}", Errors=60)
    prod.during(start, end, IntegrationError=80)
    prod.no_census(start, end)


def test_a_good_day_tells_nobody(prod: Prod) -> None:
    assert prod.told(ON_CALL) == []
    assert prod.told(TICKETS) == []


def test_an_outage_of_the_table_is_one_page_and_one_all_clear(prod: Prod) -> None:
    _outage_of_the_table(prod, 60, 120)
    ((alarm, minute),) = prod.told(ON_CALL)
    assert alarm == "ServiceImpaired"
    assert 60 < minute <= 75
    clear = [(alarm, minute) for alarm, minute in prod.told(ON_CALL, ALL_CLEAR) if minute > 60]
    assert _alarms(clear) == ["ServiceImpaired"]
    assert 120 < clear[0][1] <= 145
    assert prod.told(TICKETS) == []


def test_a_second_member_that_joins_is_no_second_page(prod: Prod) -> None:
    prod.during(60, 120, of="FunctionsPing", Errors=100)
    prod.during(100, 180, of="FunctionsRest", Throttles=50)
    assert _alarms(prod.told(ON_CALL)) == ["ServiceImpaired"]


def test_two_incidents_are_two_pages(prod: Prod) -> None:
    for start in (30, 150):
        prod.during(start, start + 30, of="FunctionsPing", Errors=100)
    assert _alarms(prod.told(ON_CALL)) == ["ServiceImpaired"] * 2


def test_a_minute_of_trouble_pages_nobody(prod: Prod) -> None:
    _outage_of_the_table(prod, 61, 62)
    assert prod.told(ON_CALL) == []


@pytest.mark.parametrize(
    ("metric", "of", "value"),
    [
        ("Errors", "FunctionsCleanup", 1),
        ("Errors", "FunctionsConnect", 100),
        ("Throttles", "FunctionsAuthorizer", 100),
        ("_5XXError", "", 100),
        ("IntegrationError", "", 100),
        ("ExecutionError", "", 100),
        ("ReadThrottleEvents", "", 100),
        ("SystemErrors", "Scan", 100),
        ("ProbesUnknown", "", 100),
        ("CleanupRefused", "", 1),
        ("CleanupCompleted", "", None),
    ],
)
def test_each_thing_that_is_wrong_with_the_service_pages(
    prod: Prod, metric: str, of: str, value: float | None
) -> None:
    prod.during(60, 180, of=of, **{metric: value})
    assert _alarms(prod.told(ON_CALL)) == ["ServiceImpaired"]


@pytest.mark.parametrize("late", ["", "CleanupDidNotComplete", "UnreachableBusinesses"])
def test_the_first_deployment_pages_nobody(
    prod_alarms: dict[str, Alarm], impaired: CompositeAlarm, late: str
) -> None:
    """Alarms are judged once a minute, not all at the same moment."""
    prod = Prod(prod_alarms, impaired, minutes=120, deployed=30)
    assert prod.told(ON_CALL, late=frozenset({late})) == []
    assert prod.told(TICKETS) == []


def test_a_cleanup_that_fails_from_the_first_run_on_pages(
    prod_alarms: dict[str, Alarm], impaired: CompositeAlarm
) -> None:
    prod = Prod(prod_alarms, impaired, minutes=120, deployed=0)
    prod.no_census(0, 120)
    prod.during(0, 120, of="FunctionsCleanup", Errors=1)
    assert _alarms(prod.told(ON_CALL)) == ["ServiceImpaired"]


def test_planned_work_pages_nobody(prod: Prod) -> None:
    prod.announce_planned_work(55)
    _outage_of_the_table(prod, 60, 100)
    assert prod.told(ON_CALL) == []


def test_planned_work_that_is_announced_as_the_trouble_begins_pages_nobody(prod: Prod) -> None:
    prod.during(60, 100, of="FunctionsRest", Errors=100)
    prod.announce_planned_work(64)
    assert prod.told(ON_CALL) == []


def test_planned_work_that_leaves_trouble_behind_pages_when_it_is_over(prod: Prod) -> None:
    prod.announce_planned_work(55)
    prod.during(60, 240, of="FunctionsRest", Errors=100)
    ((alarm, minute),) = prod.told(ON_CALL)
    assert alarm == "ServiceImpaired"
    assert 55 + 60 < minute <= 55 + 60 + 25


def test_what_recovers_soon_after_planned_work_pages_nobody(prod: Prod) -> None:
    """The announcement made at minute 55 holds until minute 125 at the latest."""
    prod.announce_planned_work(55)
    prod.during(60, 122, of="FunctionsRest", Errors=100)
    assert prod.told(ON_CALL) == []


def test_planned_work_keeps_no_page_about_a_business_back(prod: Prod) -> None:
    prod.announce_planned_work(55)
    _outage_of_the_table(prod, 60, 62)
    prod.during(60, 75, AttentionEntered=1)
    prod.during(60, 120, VirtualOnlyBusinesses=1)
    assert set(_alarms(prod.told(ON_CALL))) == {"AttentionEntered", "VirtualWithoutReal"}


def test_a_business_pages_while_the_service_is_impaired(prod: Prod) -> None:
    prod.during(60, 200, of="FunctionsRest", Errors=100)
    prod.during(120, 125, AttentionEntered=1)
    assert _alarms(prod.told(ON_CALL)) == ["ServiceImpaired", "AttentionEntered"]


def test_a_second_business_in_trouble_pages_again(prod: Prod) -> None:
    prod.during(60, 180, VirtualOnlyBusinesses=1)
    prod.during(60, 65, AttentionEntered=1)
    prod.during(120, 125, AttentionEntered=1)
    told = _alarms(prod.told(ON_CALL))
    assert told.count("AttentionEntered") == 2
    assert told.count("VirtualWithoutReal") == 1


def test_a_business_that_becomes_unreachable_pages_as_such(prod: Prod) -> None:
    prod.during(60, 120, VirtualOnlyBusinesses=1)
    prod.during(120, 180, UnreachableBusinesses=1)
    assert _alarms(prod.told(ON_CALL)) == ["VirtualWithoutReal", "UnreachableBusinesses"]


def test_a_mass_disconnect_pages_by_itself(prod: Prod) -> None:
    prod.during(60, 240, RealConnections=300)
    assert _alarms(prod.told(ON_CALL)) == ["MassDisconnect"]


@pytest.mark.parametrize(
    ("alarm", "metric", "of", "value"),
    [
        ("CleanupDeadLetters", "ApproximateNumberOfMessagesVisible", "", 1),
        ("RestDuration", "Duration", "FunctionsRest", 27_000),
        ("CleanupDuration", "Duration", "FunctionsCleanup", 289_000),
        ("RestLatency", "Latency", "", 5_000),
        ("NewConnections", "ConnectCount", "", 400 * 60),
    ],
)
def test_what_can_wait_is_a_ticket_and_no_page(
    prod: Prod, alarm: str, metric: str, of: str, value: float
) -> None:
    prod.during(60, 120, of=of, **{metric: value})
    assert _alarms(prod.told(TICKETS)) == [alarm]
    assert prod.told(ON_CALL) == []


def test_one_worker_of_three_that_is_gone_pages(
    crowd_alarms: dict[str, Alarm], crowd_impaired: CompositeAlarm
) -> None:
    crowd = Prod(crowd_alarms, crowd_impaired, minutes=120, deployed=0)
    crowd.during(60, 100, of="('worker', '2')", CleanupCompleted=None)
    assert _alarms(crowd.told(ON_CALL)) == ["ServiceImpaired"]


def test_the_first_deployment_of_three_workers_pages_nobody(
    crowd_alarms: dict[str, Alarm], crowd_impaired: CompositeAlarm
) -> None:
    crowd = Prod(crowd_alarms, crowd_impaired, minutes=120, deployed=30)
    crowd.no_census(30, 45, of="('worker', '2')")
    assert crowd.told(ON_CALL) == []
