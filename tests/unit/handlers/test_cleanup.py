"""The cleanup function: its options, its report and its metrics."""

import json
from typing import Any

import pytest

from lambdas.adapters.table import Table
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention, Episode
from lambdas.handlers.cleanup import handler
from lambdas.observability import MetricGroup, MetricName, metrics_of
from lambdas.use_cases.recorder import Recorder
from tests.builders import (
    NOW,
    RULES,
    business,
    devices,
    make_cleanup,
    no_wait,
    real,
    settings,
    virtual,
)
from tests.events import Context
from tests.fakes import MemoryHistory, MemoryStore, raising
from tests.unit.handlers.conftest import Deployed

GAUGES = {*metrics_of(MetricGroup.CENSUS), MetricName.CLEANUP_COMPLETED}
COUNTS = {*metrics_of(MetricGroup.CLEANUP, MetricGroup.RUN)} - {MetricName.CLEANUP_COMPLETED}


def _emitted(output: str, **dimensions: str) -> dict[str, Any]:
    """The metrics that were written with exactly these dimensions and the environment."""
    found: dict[str, Any] = {}
    for line in map(json.loads, output.splitlines()):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        (names,) = directive["Dimensions"]
        assert line["environment"] == "test"
        if {name: line[name] for name in names} == {"environment": "test", **dimensions}:
            found |= {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}
    return found


class _EndingContext(Context):
    """Of a function whose time runs: each time it is asked, a second of 300 is over."""

    def __init__(self) -> None:
        self._asked = 0

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override] # static over there
        self._asked += 1
        return 300_000 - 1000 * self._asked


def test_after_half_of_its_time_it_records_no_more_and_is_still_complete(
    deployed: Deployed,
) -> None:
    store = MemoryStore()
    names = [BusinessId(f"b{n}") for n in range(60)]
    store.seed(*[business(declared=settings(), business_id=name) for name in names])
    clock = deployed.clock
    recorder = Recorder(store, MemoryHistory(store), RULES, clock, no_wait)
    deployed.service.cleanup = make_cleanup(store, clock=clock, recorder=recorder)
    deployed.context = _EndingContext()
    report = deployed.invoke(handler, {})
    assert report["recorded"] > 0
    assert report["unrecorded"] > 0
    assert report["complete"] is True


def test_a_complete_run_reports_and_publishes_the_census(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(
        business(real("alive"), real("silent", seen=700), virtual(left=-1), declared=settings())
    )
    report = deployed.invoke(handler, {})
    assert report["complete"] is True
    assert (report["businesses"], report["silent"], report["expired"]) == (1, 1, 1)
    assert report["recorded"] == 1
    emitted = _emitted(capsys.readouterr().out)
    assert emitted.keys() == GAUGES | COUNTS | {MetricName.TRANSITIONS}
    assert emitted[MetricName.TRANSITIONS] == [1]
    assert emitted[MetricName.REAL_CONNECTIONS] == [1]
    assert emitted[MetricName.VIRTUAL_CONNECTIONS] == [0]
    assert emitted[MetricName.STALE_REAL_REMOVED] == [1]
    assert emitted[MetricName.EXPIRED_VIRTUAL_REMOVED] == [1]
    assert emitted[MetricName.CLEANUP_COMPLETED] == [1]
    left = {item["sk"]["S"] for item in deployed.items()}
    assert left == {"BUSINESS", "CONNECTION#alive", "TRANSITION", "0/1"}  # the last is the census
    deployed.invoke(handler, {})
    assert _emitted(capsys.readouterr().out).keys() == GAUGES | COUNTS, "nothing to record"


def test_a_report_has_the_read_units_of_its_own_run(deployed: Deployed) -> None:
    deployed.seed(business(declared=settings()))
    first, second = (deployed.invoke(handler, {"dryRun": True}) for _ in range(2))
    assert first["readUnits"] == second["readUnits"] > 0


def test_a_run_that_is_out_of_time_publishes_no_census(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(business(declared=settings()))
    deployed.context.milliseconds_left = 9_999
    assert deployed.invoke(handler, {})["complete"] is False
    assert _emitted(capsys.readouterr().out).keys() == COUNTS


DUE = settings(episode=Episode(Attention.VIRTUAL_ONLY, NOW - 900))
REPORTED = settings(episode=Episode(Attention.VIRTUAL_ONLY, NOW - 900, reported=True))
"""Of a business that is to be reported."""


def test_a_business_that_newly_needs_attention_is_counted_at_once_with_its_id(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(business(virtual(), declared=DUE))
    assert deployed.invoke(handler, {})["attentionEntered"] == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    values = [line["AttentionEntered"] for line in lines if "AttentionEntered" in line]
    assert values == [[1], [0]]  # the business when it was found, then the run
    (told,) = [line for line in lines if "businessId" in line]
    assert (told["businessId"], told["attention"]) == ("b1", "virtual-only")
    assert told["seconds"] == 900
    deployed.invoke(handler, {})
    assert _emitted(capsys.readouterr().out)[MetricName.ATTENTION_ENTERED] == [0]


def test_a_run_that_fails_publishes_what_it_did_before_it_raises(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    b0 = BusinessId("b0")
    silent = real("c1", business_id=b0, seen=700)
    deployed.seed(business(virtual(), declared=DUE), business(silent, business_id=b0))
    monkeypatch.setattr(Table, "claim_real", raising(RuntimeError("a defect")))
    with pytest.raises(RuntimeError, match="a defect"):
        deployed.invoke(handler, {})
    output = capsys.readouterr().out
    assert _emitted(output).keys() == COUNTS | {MetricName.TRANSITIONS}
    assert '"AttentionEntered":[1.0]' in output.replace(" ", "")
    (line,) = [line for line in deployed.log_lines if line["message"] == "cleanup"]
    assert (line["report"]["complete"], line["report"]["failed"]) == (False, 1)


def test_an_unreadable_item_is_logged_with_its_key(deployed: Deployed) -> None:
    deployed.client.put_item(
        TableName=deployed.table_name,
        Item={"pk": {"S": "BUSINESS#b1"}, "sk": {"S": "CONNECTION#c1"}, "ttl": {"S": "soon"}},
    )
    assert deployed.invoke(handler, {"dryRun": True})["unreadable"] == 1
    (line,) = [line for line in deployed.log_lines if line["message"] == "unreadable item"]
    assert (line["businessId"], line["sortKey"]) == ("b1", "CONNECTION#c1")


def test_each_removed_connection_is_logged_with_its_client(deployed: Deployed) -> None:
    silent = real("silent", seen=700, user_agent="Till/4.2")
    deployed.seed(business(real("alive", user_agent="Till/4.3"), silent, declared=settings()))
    deployed.invoke(handler, {"dryRun": True})
    deployed.invoke(handler, {})
    (line,) = [line for line in deployed.log_lines if line["message"] == "connection removed"]
    assert (line["businessId"], line["connectionId"]) == ("b1", "silent")
    assert (line["userAgent"], line["reason"]) == ("Till/4.2", "silent")


def test_each_business_that_needs_attention_is_logged(deployed: Deployed) -> None:
    deployed.seed(business(virtual(), declared=REPORTED))
    deployed.invoke(handler, {})
    (line,) = [line for line in deployed.log_lines if line["message"] == "needs attention"]
    assert (line["businessId"], line["attention"]) == ("b1", "virtual-only")
    assert line["seconds"] == 900


def test_a_dry_run_publishes_nothing_and_writes_nothing(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(business(real("silent", seen=700), declared=settings()))
    before = deployed.items()
    report = deployed.invoke(handler, {"dryRun": True})
    assert (report["dryRun"], report["silent"]) == (True, 1)
    assert _emitted(capsys.readouterr().out) == {}
    assert deployed.items() == before


def test_each_of_several_workers_publishes_its_own_census(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(*devices(range(12), seen=0))
    reports = [deployed.invoke(handler, {"worker": worker, "workers": 3}) for worker in range(3)]
    assert [(report["worker"], report["workers"]) for report in reports] == [(0, 3), (1, 3), (2, 3)]
    output = capsys.readouterr().out
    assert _emitted(output).keys() == COUNTS
    gauges = [_emitted(output, worker=str(worker)) for worker in range(3)]
    assert all(gauge.keys() == GAUGES for gauge in gauges)
    assert sum(gauge[MetricName.REAL_CONNECTIONS][0] for gauge in gauges) == 12


@pytest.mark.parametrize(
    "options",
    [
        {"dry_run": True},
        {"dryRun": "yes"},
        {"force": 1},
        {"worker": True},
        {"worker": 1},
        {"worker": 3, "workers": 3},
        {"worker": -1, "workers": 3},
        {"workers": 0},
    ],
)
def test_a_wrong_option_stops_the_run_before_it_reads_the_table(
    deployed: Deployed, options: dict[str, object]
) -> None:
    with pytest.raises(InvalidValue, match=r"worker|dry_run|dryRun|force"):
        deployed.invoke(handler, options)
    assert deployed.operations == []
