"""The cleanup function: its options, its report and its metrics."""

import json
from typing import Any

import pytest

from lambdas import bootstrap
from lambdas.domain.errors import InvalidValue
from lambdas.handlers.cleanup import handler
from lambdas.metrics import MetricName
from tests.builders import business, real, settings, virtual
from tests.unit.handlers.conftest import Context, Deployed

GAUGES = {
    MetricName.REAL_CONNECTIONS,
    MetricName.VIRTUAL_CONNECTIONS,
    MetricName.ONLINE_BUSINESSES,
    MetricName.VIRTUAL_ONLY_BUSINESSES,
    MetricName.UNREACHABLE_BUSINESSES,
    MetricName.CLEANUP_COMPLETED,
}
COUNTS = {
    MetricName.ATTENTION_ENTERED,
    MetricName.STALE_REAL_REMOVED,
    MetricName.EXPIRED_VIRTUAL_REMOVED,
    MetricName.PROBES_UNKNOWN,
    MetricName.CLEANUP_REFUSED,
    MetricName.CLEANUP_DURATION,
}


def _emitted(output: str) -> dict[str, Any]:
    """The metrics of the one EMF line, by name."""
    lines = [json.loads(line) for line in output.splitlines()]
    emf = [line for line in lines if "_aws" in line]
    if not emf:
        return {}
    (line,) = emf
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["environment"]]
    assert line["environment"] == "test"
    return {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}


def test_a_complete_run_reports_and_publishes_the_census(
    deployed: Deployed, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    now = bootstrap.now()
    deployed.seed(
        business(
            real("alive", now=now),
            real("silent", now=now, seen=700),
            virtual(now=now, left=-1),
            declared=settings(),
        )
    )
    report = handler({}, context)
    assert report["complete"] is True
    assert (report["businesses"], report["silent"], report["expired"]) == (1, 1, 1)
    emitted = _emitted(capsys.readouterr().out)
    assert emitted.keys() == GAUGES | COUNTS
    assert emitted[MetricName.REAL_CONNECTIONS] == [1]
    assert emitted[MetricName.VIRTUAL_CONNECTIONS] == [0]
    assert emitted[MetricName.STALE_REAL_REMOVED] == [1]
    assert emitted[MetricName.EXPIRED_VIRTUAL_REMOVED] == [1]
    assert emitted[MetricName.CLEANUP_COMPLETED] == [1]
    left = {item["sk"]["S"] for item in deployed.items()}
    assert left == {"BUSINESS", "CONNECTION#alive"}


def test_a_run_near_its_deadline_is_no_census(
    deployed: Deployed, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(business(declared=settings()))
    context.milliseconds_left = 9_999
    assert handler({}, context)["complete"] is False
    assert _emitted(capsys.readouterr().out).keys() == COUNTS


def test_a_dry_run_publishes_nothing_and_writes_nothing(
    deployed: Deployed, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(business(real("silent", now=bootstrap.now(), seen=700), declared=settings()))
    before = deployed.items()
    report = handler({"dryRun": True}, context)
    assert (report["dryRun"], report["silent"]) == (True, 1)
    assert _emitted(capsys.readouterr().out) == {}
    assert deployed.items() == before


@pytest.mark.parametrize("options", [{"dry_run": True}, {"dryRun": "yes"}, {"force": 1}])
def test_a_wrong_option_stops_the_run_before_it_begins(
    deployed: Deployed, context: Context, options: dict[str, object]
) -> None:
    with pytest.raises(InvalidValue, match=next(iter(options))):
        handler(options, context)
    assert deployed.operations == []
