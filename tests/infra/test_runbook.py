"""The runbook and the templates name the same alarms, outputs and resources."""

import re
from operator import attrgetter
from typing import Any

import pytest

from infra.configuration import MAX_CLEANUP_WORKERS, Environment
from infra.environments import DEV, PROD
from infra.service.functions import TABLE_OPERATIONS
from lambdas.domain.status import ReasonCode
from lambdas.observability import DIMENSION, NAMESPACE, PLANNED_WORK
from tests.infra.conftest import Templates
from tests.infra.template import Template
from tests.runbook import RUNBOOK, SEVERITIES, alarm_sections, commands, sections

ALARM_TYPES = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")

_DESCRIPTION = re.compile(r'\[(.+?)\] (.+?): .+ See docs/runbook\.md, "(.+)"\.', re.DOTALL)


def _alarms(monitoring: Template) -> dict[str, Any]:
    return {
        logical_id: properties
        for kind in ALARM_TYPES
        for logical_id, properties in monitoring.properties(kind).items()
    }


def test_every_alarm_has_a_section(monitoring: Template, environment: Environment) -> None:
    alarms = _alarms(monitoring)
    assert alarms
    for alarm in alarms.values():
        name, _, section = _description(alarm)
        assert name == environment.name
        assert section in sections()


def test_every_section_that_names_a_severity_has_an_alarm(templates: Templates) -> None:
    described = {_description(alarm)[2] for alarm in _all_alarms(templates)}
    assert set(alarm_sections()) == described


def test_a_section_says_how_urgent_its_alarm_is(templates: Templates) -> None:
    for alarm in _all_alarms(templates):
        _, severity, section = _description(alarm)
        assert sections()[section].lstrip().startswith(SEVERITIES[severity]), section


def test_service_impaired_lists_each_of_its_members() -> None:
    listed = set(re.findall(r"\[([^]]+)\]\(#", sections()["Service impaired"]))
    member = SEVERITIES["PAGE (as part of ServiceImpaired)"]
    members = {heading for heading, text in sections().items() if text.lstrip().startswith(member)}
    assert members
    assert members <= listed


def test_the_command_for_current_alarms_lists_every_alarm(
    monitoring: Template, environment: Environment
) -> None:
    """CloudFormation begins the names that it generates with the name of the stack."""
    (prefix,) = (
        words[words.index("--alarm-name-prefix") + 1]
        for words in commands("aws")
        if "--alarm-name-prefix" in words
    )
    prefix = prefix.replace("$ENVIRONMENT", environment.name)
    assert prefix == f"BusinessConnections-{environment.name}-Monitoring-"
    for logical_id, alarm in _alarms(monitoring).items():
        assert alarm.get("AlarmName", prefix).startswith(prefix), logical_id


def test_the_loop_over_operations_covers_those_that_the_alarm_watches() -> None:
    (operations,) = re.findall(r"for OPERATION in (.+); do", RUNBOOK.read_text())
    assert sorted(operations.split()) == sorted(TABLE_OPERATIONS)


def test_fields_of_an_environment_exist() -> None:
    named = set(re.findall(r"`([a-z]+(?:[._][a-z]+)+)`", RUNBOOK.read_text()))
    named = {name for name in named if not re.match(r"(report|platform)\.|.+\.py$", name)}
    functions = set(re.findall(r"^ *(\w+)\(\) \{", RUNBOOK.read_text(), flags=re.MULTILINE))
    fields = named - functions - {reason.value for reason in ReasonCode} - {"jwks_url"}
    assert "cleanup.workers" in fields
    for field in fields:
        attrgetter(field)(DEV)


def test_an_environment_accepts_the_numbers_of_workers() -> None:
    (most,) = re.findall(r"`cleanup\.workers` \(to (\d+) at most\)", RUNBOOK.read_text())
    assert int(most) == MAX_CLEANUP_WORKERS
    for workers in re.findall(r'"workers": (\d+)', RUNBOOK.read_text()):
        assert int(workers) <= MAX_CLEANUP_WORKERS


def test_outputs_that_commands_ask_for_exist(templates: Templates) -> None:
    asked = [words[1:] for words in commands("output")]
    assert len(asked) > 5
    for stack, output in asked:
        if output == "$TOPIC":
            continue
        assert output in templates[PROD.name][stack].outputs
    for output in re.findall(r"for TOPIC in (.+); do", RUNBOOK.read_text())[0].split():
        assert output in templates[DEV.name]["Monitoring"].outputs


def test_resources_that_commands_ask_for_exist(templates: Templates) -> None:
    asked = [words[1:] for words in commands("resource")]
    assert len(asked) > 5
    for stack, kind, *part in asked:
        text = "Rest" if part == ["Functions$1Function"] else "".join(part)
        found = [
            logical_id
            for logical_id in templates[PROD.name][stack].resources(kind)
            if text in logical_id
        ]
        assert found, (stack, kind, part)
        if kind not in {"AWS::Scheduler::Schedule", "AWS::Lambda::Function"}:
            assert len(found) == 1, found


@pytest.mark.parametrize(
    "words",
    commands("function_name") + commands("log_group") + commands("crashes"),
    ids=lambda words: words[1],
)
def test_functions_that_commands_ask_for_exist(templates: Templates, words: list[str]) -> None:
    name = words[1]
    if name.startswith("$"):
        return
    found = [
        logical_id
        for logical_id in templates[PROD.name]["Service"].resources("AWS::Lambda::Function")
        if f"Functions{name}Function" in logical_id
    ]
    assert len(found) == 1


def test_the_command_for_planned_work_sends_the_metric_that_the_alarm_watches(
    templates: Templates,
) -> None:
    (words,) = (words for words in commands("aws") if words[2] == "put-metric-data")
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert given == {
        "--namespace": NAMESPACE,
        "--metric-name": PLANNED_WORK,
        "--dimensions": f"{DIMENSION}=$ENVIRONMENT",
        "--value": "1",
    }
    (alarm,) = (
        properties
        for logical_id, properties in _alarms(_deployed(templates)).items()
        if "PlannedWork" in logical_id
    )
    assert alarm["MetricName"] == PLANNED_WORK


def _deployed(templates: Templates) -> Template:
    return templates[DEV.name]["Monitoring"]


def _all_alarms(templates: Templates) -> list[Any]:
    """Every alarm once, as dev has it; those of the canary, which dev lacks, as prod has."""
    prod = _alarms(templates[PROD.name]["Monitoring"])
    return list({**prod, **_alarms(_deployed(templates))}.values())


def _description(alarm: Any) -> tuple[str, str, str]:
    """The environment, the severity and the section."""
    found = _DESCRIPTION.fullmatch(alarm["AlarmDescription"])
    assert found, alarm["AlarmDescription"]
    return found[1], found[2], found[3]
