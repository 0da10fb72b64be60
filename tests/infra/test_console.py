"""The console understands the alarms that are deployed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from console.alarms import Alarms
from infra.configuration import Environment
from tests.infra.template import Template
from tests.runbook import SEVERITIES, sections
from tests.unit.console.builders import MemoryCloudWatch

KINDS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")


def _deployed(monitoring: Template) -> Alarms:
    """The alarms of a template, as CloudWatch has them."""
    cloudwatch: Any = MemoryCloudWatch(
        alarms=[
            {
                **properties,
                "AlarmName": f"stack-{logical_id}-abc",
                "StateValue": "OK",
                "StateUpdatedTimestamp": datetime.now(UTC),
            }
            for kind in KINDS
            for logical_id, properties in monitoring.properties(kind).items()
        ]
    )
    return Alarms(cloudwatch, stack="stack")


def test_it_knows_of_each_alarm_what_to_do(monitoring: Template) -> None:
    alarms = _deployed(monitoring).document()["alarms"]
    assert alarms
    for alarm in alarms:
        assert alarm["severity"] in SEVERITIES
        assert alarm["section"] in sections()
    titles = [alarm["title"] for alarm in alarms]
    assert len(set(titles)) == len(titles)


def test_it_knows_the_period_and_the_workers_of_the_census(
    monitoring: Template, environment: Environment
) -> None:
    census = _deployed(monitoring).census()
    assert census.period == environment.cleanup.interval
    workers = environment.cleanup.workers
    assert census.workers == (tuple(map(str, range(workers))) if workers > 1 else ())


@pytest.mark.parametrize("alarm", ["VirtualOnlyBusinesses", "UnreachableBusinesses"])
def test_it_draws_the_thresholds_of_the_gauges(
    monitoring: Template, environment: Environment, alarm: str
) -> None:
    alarms = _deployed(monitoring).document()["alarms"]
    (drawn,) = (each["threshold"] for each in alarms if each["metric"] == alarm)
    expected = {
        "VirtualOnlyBusinesses": environment.alarms.virtual_only,
        "UnreachableBusinesses": environment.alarms.unreachable,
    }
    assert drawn == expected[alarm]
