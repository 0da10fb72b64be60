"""What a deployment asks of the CDK CLI, and what is recorded and said of one that fails."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from infra.parameters import DEPLOYMENT, GUARD
from operations import deploy as tool
from operations import records
from operations.assembly import Build
from operations.deploy import DeploymentFailed, deploy, parameters
from operations.deployment import NoDeployment
from operations.records import Record
from operations.running import StackState
from tests.unit.operations.test_promote import record, template

SERVICE, MONITORING = (
    "BusinessConnections-staging-Service",
    "BusinessConnections-staging-Monitoring",
)
BEFORE = StackState("UPDATE_COMPLETE", datetime(2026, 11, 23, tzinfo=UTC))
NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Aws:
    """An environment with a record, as AWS has it. `cdk` is what the CDK CLI does to it."""

    environment = "staging"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.history: list[Record] = []
        self.stacks = {SERVICE: BEFORE, MONITORING: BEFORE}
        self.commands: list[list[str]] = []
        self.answer: Any = lambda: True
        monkeypatch.setattr(tool, "find", lambda *_: self)
        monkeypatch.setattr(tool, "stack_states", lambda _: dict(self.stacks))
        monkeypatch.setattr(tool, "code_of_functions", lambda *_: {"Ping": "c0de="})
        monkeypatch.setattr(tool, "smoke", lambda *_, **__: None)
        monkeypatch.setattr(records, "read", lambda _: self.history[-1] if self.history else None)
        monkeypatch.setattr(records, "write", lambda _, record: self.history.append(record))
        monkeypatch.setattr(records, "who", lambda _: "somebody")
        monkeypatch.setattr("operations.deploy.subprocess.run", self._run)

    def _run(self, command: list[str], **_: Any) -> Any:
        self.commands.append(command)
        return SimpleNamespace(returncode=0 if self.answer() else 1)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    return Aws(monkeypatch)


def results(aws: Aws) -> list[str]:
    return [record.smoke for record in aws.history]


def test_a_deployment_is_recorded_when_it_begins_and_when_it_is_done(
    aws: Aws, build: Build
) -> None:
    aws.answer = lambda: results(aws) == ["pending"]
    done = deploy(build, "staging", rolled_back_from="bad")
    assert results(aws) == ["pending", "passed"]
    assert aws.history[-1] == done
    assert (done.codeSha256, done.rolledBackFrom) == ("c0de=", "bad")


def test_every_reference_is_resolved_again(aws: Aws, build: Build) -> None:
    """A parameter that is new each time makes CloudFormation update the monitoring stack."""
    done = deploy(with_parameter(build, "staging", DEPLOYMENT), "staging")
    (command,) = aws.commands
    assert f"{SERVICE}:{DEPLOYMENT}={done.commit[:12]} at {done.at}" in command


def test_what_fails_before_cloudformation_is_asked_deploys_nothing(
    aws: Aws, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_credentials(_: Any) -> str:
        raise NoCredentialsError

    monkeypatch.setattr(records, "who", no_credentials)
    with pytest.raises(NoDeployment, match="nothing was deployed to staging: Unable to locate cre"):
        deploy(build, "staging")
    assert (aws.commands, aws.history) == ([], [])


def test_what_fails_before_a_stack_changes_is_as_if_it_had_not_begun(
    aws: Aws, build: Build
) -> None:
    aws.history = [record()]
    aws.answer = lambda: False
    with pytest.raises(NoDeployment, match="failed before it changed any stack"):
        deploy(build, "staging")
    assert aws.history[-1] == record()


def test_what_fails_later_says_what_the_stacks_did(aws: Aws, build: Build) -> None:
    def rolled_back() -> bool:
        aws.stacks[SERVICE] = StackState("UPDATE_ROLLBACK_COMPLETE", NOW)
        return False

    aws.answer = rolled_back
    with pytest.raises(
        DeploymentFailed,
        match=f"{SERVICE} UPDATE_ROLLBACK_COMPLETE, {MONITORING} as it was",
    ):
        deploy(build, "staging")
    assert results(aws) == ["pending"]


def test_one_that_was_rolled_back_a_second_time_did_begin(aws: Aws, build: Build) -> None:
    aws.stacks[SERVICE] = StackState("UPDATE_ROLLBACK_COMPLETE", BEFORE.changed_at)

    def rolled_back() -> bool:
        aws.stacks[SERVICE] = StackState("UPDATE_ROLLBACK_COMPLETE", NOW)
        return False

    aws.answer = rolled_back
    with pytest.raises(DeploymentFailed, match="UPDATE_ROLLBACK_COMPLETE"):
        deploy(build, "staging")


def test_an_interrupted_deployment_stays_pending(aws: Aws, build: Build) -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    aws.answer = interrupted
    with pytest.raises(DeploymentFailed, match="interrupted"):
        deploy(build, "staging")
    assert results(aws) == ["pending"]


# The guards of a gradual deployment.


def options(build: Build, environment: str, *, unguarded: bool) -> list[str]:
    guarded = with_parameter(build, "staging", GUARD)
    return parameters(guarded, environment, unguarded=unguarded, at="now")


def with_parameter(build: Build, environment: str, name: str) -> Build:
    """Give the service stack of an environment a parameter."""
    path = build.assembly.folder / f"assembly-{environment}" / "service.json"
    parameters = {name: {"Type": "String", "Default": "true"}}
    path.write_text(json.dumps({**template("b" * 64), "Parameters": parameters}))
    return build


@pytest.mark.parametrize(("unguarded", "value"), [(False, "true"), (True, "false")])
def test_a_guarded_deployment_always_says_whether_its_guards_are_on(
    build: Build, unguarded: bool, value: str
) -> None:
    assert options(build, "staging", unguarded=unguarded) == [
        "--parameters",
        f"{SERVICE}:GuardDeployment={value}",
    ]


def test_nothing_is_said_to_a_stack_without_guards(
    build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    assert options(build, "dev", unguarded=False) == []
    assert capsys.readouterr().out == ""
    assert options(build, "dev", unguarded=True) == []
    assert "UNGUARDED has no effect" in capsys.readouterr().out


def test_the_cdk_cli_gets_the_guards(aws: Aws, build: Build) -> None:
    deploy(with_parameter(build, "staging", GUARD), "staging", unguarded=True)
    (command,) = aws.commands
    assert f"{SERVICE}:GuardDeployment=false" in command


# The record.


class Ssm:
    """A parameter with a history, in pages."""

    exceptions = SimpleNamespace(ParameterNotFound=KeyError)
    environment = "prod"

    def __init__(self, *values: str) -> None:
        self._values = values

    def client(self, _service: str) -> "Ssm":
        return self

    def get_paginator(self, _operation: str) -> "Ssm":
        return self

    def paginate(self, **_: Any) -> Any:
        for version, value in enumerate(self._values, start=8):
            yield {"Parameters": [{"Version": version, "Value": value}]}


def test_a_history_begins_with_the_newest_and_knows_older_and_newer_tools() -> None:
    fields = vars(record(commit="new"))
    old = {name: value for name, value in fields.items() if name != "rolledBackFrom"}
    ssm: Any = Ssm(
        json.dumps({**old, "commit": "old"}),
        "by hand",
        "[]",
        "{}",
        json.dumps({**fields, "somethingNew": 1}),
    )
    assert [(each.commit, each.rolledBackFrom) for each in records.history(ssm)] == [
        ("new", None),
        ("old", None),
    ]
