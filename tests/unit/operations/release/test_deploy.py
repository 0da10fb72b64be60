"""What a deployment passes to the CDK CLI, what it records, and what it says if it fails."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from infra.names import DEPLOYMENT, GUARD
from operations.release import cdk, diff, promote, quotas, records, rollback, stored_builds
from operations.release import deploy as tool
from operations.release.assembly import Build
from operations.release.cdk import parameters
from operations.release.deploy import deploy
from operations.release.deployment_lock import LockLost
from operations.release.live_state import StackState
from operations.release.records import Record
from operations.shared.verbs import CannotBegin, DeploymentFailed, ExitCode, Refused
from tests.unit.operations.builders import record, template

SERVICE, MONITORING = (
    "BusinessConnections-staging-Service",
    "BusinessConnections-staging-Monitoring",
)
BEFORE = StackState("UPDATE_COMPLETE", datetime(2026, 11, 23, tzinfo=UTC))
NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Aws:
    """An environment with its records. `answer` is called for the CDK CLI: whether it succeeds."""

    name = "staging"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.history: list[Record] = []
        self.stacks = {SERVICE: BEFORE, MONITORING: BEFORE}
        self.commands: list[list[str]] = []
        self.answer: Any = lambda: True
        self.smoke_failure: str | None = None
        self.credentials: list[str] = []
        self.changed: list[str] = []
        self.caller = {"Arn": "somebody"}
        self.region = "eu-west-1"
        self.kept: list[str] = []
        self.locked = False
        self.lost: LockLost | None = None
        monkeypatch.setattr(Build, "environment", lambda *_, **__: self)
        monkeypatch.setattr(quotas, "require", lambda *_: None)
        monkeypatch.setattr(tool, "deployment_lock", self._lock)
        monkeypatch.setattr(
            stored_builds, "store", lambda _, it: self.kept.append(it.manifest.commit)
        )
        monkeypatch.setattr(tool, "stack_states", lambda _: dict(self.stacks))
        monkeypatch.setattr(tool, "changed_stacks", lambda *_: self.changed)
        self.in_the_way: list[str] = []
        self.unprotected: list[str] = []
        monkeypatch.setattr(cdk, "stacks_in_the_way", lambda *_: self.in_the_way)
        monkeypatch.setattr(tool, "log_groups", lambda *_: ["/ping-logs"])
        monkeypatch.setattr(tool, "code_of_functions", lambda *_: {"Ping": "c0de="})
        monkeypatch.setattr(tool, "smoke", lambda *_: self.smoke_failure)
        monkeypatch.setattr(tool, "give_credential", lambda _: self.credentials.append(self.name))
        monkeypatch.setattr(records, "newest", lambda _: self._newest())
        monkeypatch.setattr(records, "write", self._write)
        monkeypatch.setattr(records, "delete", lambda *_: self.history.clear())
        monkeypatch.setattr(cdk, "cdk", self._cdk)

    def _newest(self) -> tuple[Record | None, int]:
        return (self.history[-1] if self.history else None), len(self.history)

    @contextmanager
    def _lock(self, *_: Any) -> Iterator["Aws"]:
        self.locked = True
        yield self
        self.locked = False

    def confirm(self) -> None:
        """Confirm the lock."""
        assert self.locked

    def stack(self, part: str) -> str:
        return f"BusinessConnections-staging-{part}"

    def client(self, _: str) -> "Aws":
        return self

    def update_termination_protection(self, **asked: Any) -> None:
        assert asked.pop("EnableTerminationProtection") is False
        self.unprotected.append(asked["StackName"])

    def _write(self, _: Any, record: Record, lock: Any) -> None:
        assert self.locked
        assert lock is self
        self.history.append(record)

    def fails_after(self, status: str | None) -> None:
        """Let the CDK CLI fail once the service stack has this status. None: it was deleted."""

        def fail() -> bool:
            if status is None:
                del self.stacks[SERVICE]
            else:
                self.stacks[SERVICE] = StackState(status, NOW)
            return False

        self.answer = fail

    def _cdk(self, *command: str, **_: Any) -> int:
        self.commands.append(list(command))
        return 0 if self.answer() else 1


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    return Aws(monkeypatch)


def results(aws: Aws) -> list[str]:
    return [record.smoke for record in aws.history]


def test_a_deployment_is_recorded_when_it_begins_and_when_it_is_done(
    aws: Aws, build: Build
) -> None:
    aws.answer = lambda: results(aws) == ["pending"]
    deploy(build, "staging", rolled_back_from="bad")
    assert results(aws) == ["pending", "passed"]
    done = aws.history[-1]
    assert (done.codeSha256, done.rolledBackFrom) == ("c0de=", "bad")
    assert (done.digest, aws.kept) == (build.manifest.digest, [build.manifest.commit])


@pytest.mark.parametrize(("failure", "given"), [(None, ["staging"]), ("no pong", [])])
def test_the_canary_begins_once_the_smoke_test_has_passed(
    aws: Aws, build: Build, failure: str | None, given: list[str]
) -> None:
    """Otherwise the first deployment would page for what the smoke test already says."""
    aws.smoke_failure = failure
    with nullcontext() if failure is None else pytest.raises(DeploymentFailed, match=failure):
        deploy(build, "staging")
    assert aws.credentials == given


def test_each_deployment_updates_the_monitoring_stack(aws: Aws, build: Build) -> None:
    """Its parameter is new each time, so CloudFormation resolves what the stack refers to again."""
    deploy(with_parameter(build, "staging", DEPLOYMENT), "staging")
    (command,) = aws.commands
    begun = aws.history[0]
    assert f"{SERVICE}:{DEPLOYMENT}={begun.commit[:12]} at {begun.at}" in command


def test_a_failure_before_the_cdk_cli_runs_deploys_nothing(
    aws: Aws, build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_credentials(*_: Any) -> str:
        raise NoCredentialsError

    monkeypatch.setattr(stored_builds, "store", no_credentials)
    with pytest.raises(CannotBegin, match="Unable to locate credentials"):
        deploy(build, "staging")
    assert (aws.commands, aws.history) == ([], [])
    assert "deploying" not in capsys.readouterr().out, "nothing was being deployed"


@pytest.mark.parametrize("history", [[record()], []], ids=["a later", "the first"])
def test_a_deployment_that_fails_before_any_stack_changes_leaves_the_record_as_it_was(
    aws: Aws, build: Build, history: list[Record]
) -> None:
    aws.history = list(history)
    aws.answer = lambda: False
    with pytest.raises(CannotBegin):
        deploy(build, "staging")
    assert aws.history[-1:] == history


@pytest.mark.parametrize(
    "status", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED", "ROLLBACK_FAILED"]
)
def test_a_stack_that_cannot_be_changed_now_is_named(aws: Aws, build: Build, status: str) -> None:
    """An interrupted deployment holds no lock, and CloudFormation goes on with what it began."""
    aws.stacks[SERVICE] = StackState(status, NOW)
    with pytest.raises(CannotBegin, match=f"{SERVICE} is {status}"):
        deploy(build, "staging")
    assert (aws.commands, aws.history) == ([], [])


def test_a_stack_that_could_not_be_created_may_be_deleted_and_no_other(
    aws: Aws, build: Build
) -> None:
    """The CDK CLI deletes it before it creates it anew, but cannot if it is protected."""
    aws.stacks[SERVICE] = StackState("ROLLBACK_COMPLETE", NOW)
    deploy(build, "staging")
    assert aws.unprotected == [SERVICE]


@pytest.mark.parametrize("succeeds", [True, False])
def test_stacks_that_use_what_the_build_no_longer_has_are_deployed_first(
    aws: Aws, build: Build, succeeds: bool
) -> None:
    """CloudFormation would refuse the first stack: "Export … cannot be deleted as it is in use"."""
    aws.in_the_way = [SERVICE]
    aws.answer = lambda: succeeds
    with nullcontext() if succeeds else pytest.raises(CannotBegin):
        deploy(build, "staging")
    first, *then = [command[: command.index("--require-approval")] for command in aws.commands]
    assert first == ["deploy", "staging/Service", "--exclusively"]
    assert then == ([["deploy", "staging/*"]] if succeeds else [])


def test_a_rollback_that_was_decided_before_somebody_deployed_is_refused(
    aws: Aws, build: Build
) -> None:
    aws.history = [record(commit="seen"), record(commit="meanwhile")]
    with pytest.raises(Refused, match="somebody has deployed to staging since"):
        deploy(build, "staging", rolled_back_from="bad", seen=1)
    assert aws.commands == []
    deploy(build, "staging", rolled_back_from="bad", seen=2)


def test_the_result_of_a_smoke_test_of_something_else_is_not_recorded(
    aws: Aws, build: Build
) -> None:
    """Somebody ran a plain `cdk deploy` meanwhile, which knows no lock."""
    aws.changed = [SERVICE]
    with pytest.raises(DeploymentFailed, match=f"{SERVICE} no longer has the template"):
        deploy(build, "staging")
    assert results(aws) == ["pending"]


def test_only_make_run_deploys_the_local_system(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The CDK CLI would deploy it to the AWS account of the shell."""
    for verb, arguments in (
        (tool, ["--environment", "local"]),
        (diff, ["--environment", "local"]),
        (rollback, ["--environment", "local"]),
        (promote, ["--from", "local", "--to", "dev"]),
    ):
        monkeypatch.setattr("sys.argv", ["verb", *arguments])
        assert verb.main() == ExitCode.REFUSED
        assert "make run" in capsys.readouterr().err


def run(
    monkeypatch: pytest.MonkeyPatch, build: Build, name: str, *more: str
) -> tuple[int, list[str]]:
    """Run the verb up to the deployment; return its exit code and what it would deploy to."""
    deployed: list[str] = []
    monkeypatch.setattr(tool, "require_deployable", lambda _: None)
    monkeypatch.setattr(tool, "deploy", lambda _, name, **__: deployed.append(name))
    monkeypatch.setattr("sys.argv", ["deploy", "--environment", name, *more])
    return tool.main(), deployed


def test_a_build_that_is_made_meanwhile_is_not_deployed(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be recorded, and kept, under the name of the build that was taken."""

    def deploy(taken: Build, *_: Any, **__: Any) -> None:
        (build.assembly.folder / "assembly-dev" / "service.json").write_text("another build")
        assert taken.is_intact()
        assert taken.manifest == build.manifest

    monkeypatch.setattr(tool, "require_deployable", lambda _: None)
    monkeypatch.setattr(tool, "deploy", deploy)
    monkeypatch.setattr("sys.argv", ["deploy", "--environment", "dev"])
    assert tool.main() == ExitCode.DONE


@pytest.mark.parametrize(
    ("name", "force", "code"),
    [
        ("dev", [], ExitCode.DONE),
        ("staging", ["--force"], ExitCode.REFUSED),
        ("prod", ["--force"], ExitCode.REFUSED),
    ],
)
def test_uncommitted_changes_reach_the_first_environment_only(
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    force: list[str],
    code: int,
) -> None:
    replace(build.manifest, clean=False).write(build.assembly.folder.parent)
    assert run(monkeypatch, build, name, *force)[0] == code
    assert ("uncommitted changes" in capsys.readouterr().err) is (code == ExitCode.REFUSED)


@pytest.mark.parametrize(("force", "code"), [([], ExitCode.REFUSED), (["--force"], ExitCode.DONE)])
def test_a_later_environment_is_deployed_to_directly_only_by_force(
    build: Build, monkeypatch: pytest.MonkeyPatch, force: list[str], code: int
) -> None:
    assert run(monkeypatch, build, "prod", *force) == (code, ["prod"] if force else [])


@pytest.mark.parametrize("before", ["UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_failed_deployment_says_in_what_state_it_left_the_stacks(
    aws: Aws, build: Build, before: str
) -> None:
    """Also after a second roll-back, which leaves the status as it was."""
    aws.stacks[SERVICE] = StackState(before, BEFORE.changed_at)
    aws.fails_after("UPDATE_ROLLBACK_COMPLETE")
    aws.history = [record()]
    with pytest.raises(
        DeploymentFailed, match=f"{SERVICE} UPDATE_ROLLBACK_COMPLETE, {MONITORING} as it was"
    ) as failed:
        deploy(build, "staging")
    assert results(aws) == ["passed", "pending"]
    assert "the logs: docs/runbook.md" in str(failed.value)
    assert "make rollback ENVIRONMENT=staging" in str(failed.value)


@pytest.mark.parametrize("history", [[record()], []], ids=["a later", "the first"])
def test_a_failed_smoke_test_says_where_the_logs_are_and_how_to_go_back(
    aws: Aws, build: Build, history: list[Record]
) -> None:
    aws.smoke_failure, aws.history = "no pong", list(history)
    with pytest.raises(DeploymentFailed, match="no pong") as failed:
        deploy(build, "staging")
    assert "/ping-logs" in str(failed.value)
    assert ("make rollback ENVIRONMENT=staging" in str(failed.value)) is bool(history)


def test_an_interrupted_deployment_stays_pending(aws: Aws, build: Build) -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    aws.answer = interrupted
    with pytest.raises(DeploymentFailed, match="interrupted"):
        deploy(build, "staging")
    assert results(aws) == ["pending"]


def test_a_deployment_whose_lock_was_taken_over_is_stopped_between_two_calls_of_the_cdk_cli(
    aws: Aws, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine slept for an hour. What the other one has deployed must not be overwritten."""
    aws.in_the_way = [SERVICE]

    def taken_over() -> None:
        if aws.commands:
            raise LockLost("somebody else deploys")

    monkeypatch.setattr(aws, "confirm", taken_over)
    with pytest.raises(LockLost, match="somebody else deploys"):
        deploy(build, "staging")
    assert len(aws.commands) == 1


def test_a_canary_without_a_credential_is_no_deployment_that_could_not_begin(
    aws: Aws, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_: Any) -> None:
        raise CannotBegin("no secret")

    monkeypatch.setattr(tool, "give_credential", cannot)
    with pytest.raises(DeploymentFailed, match=r"was deployed and works, but .* no secret"):
        deploy(build, "staging")
    assert results(aws) == ["pending", "passed"]


def test_stacks_that_a_failed_deployment_deleted_are_named(aws: Aws, build: Build) -> None:
    aws.fails_after(None)
    with pytest.raises(DeploymentFailed, match=f"left {SERVICE} deleted, {MONITORING} as it was"):
        deploy(build, "staging")


@pytest.mark.parametrize(
    ("previous", "back_from", "hint"),
    [
        (record(), None, "make rollback ENVIRONMENT=staging$"),
        (record(rolledBackFrom="bad"), None, "make rollback ENVIRONMENT=staging$"),
        (record(), "bad", "make rollback ENVIRONMENT=staging COMMIT=<another>$"),
        (record(smoke="pending", codeSha256=None), None, 'was rolled back"$'),
        (None, None, 'was rolled back"$'),
    ],
)
def test_the_way_back_is_named_only_if_there_is_one(
    aws: Aws, build: Build, previous: Record | None, back_from: str | None, hint: str
) -> None:
    aws.history = [previous] if previous else []
    aws.fails_after("UPDATE_ROLLBACK_COMPLETE")
    with pytest.raises(DeploymentFailed, match=hint):
        deploy(build, "staging", rolled_back_from=back_from)


# The guards of a gradual deployment.


def with_parameter(build: Build, environment: str, name: str) -> Build:
    """Give the service stack of an environment a parameter."""
    path = build.assembly.folder / f"assembly-{environment}" / "service.json"
    parameters = {name: {"Type": "String", "Default": "true"}}
    path.write_text(json.dumps({**template("b" * 64), "Parameters": parameters}))
    return build


@pytest.mark.parametrize(("unguarded", "value"), [(False, "true"), (True, "false")])
def test_every_deployment_says_whether_its_guards_are_on(
    aws: Aws, build: Build, unguarded: bool, value: str
) -> None:
    deploy(with_parameter(build, "staging", GUARD), "staging", unguarded=unguarded)
    (command,) = aws.commands
    assert command[-2:] == ["--parameters", f"{SERVICE}:GuardDeployment={value}"]


def test_a_stack_without_guards_gets_no_parameter_for_them(
    build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parameters(build, "dev", unguarded=False, at="now") == []
    assert capsys.readouterr().out == ""
    assert parameters(build, "dev", unguarded=True, at="now") == []
    assert "UNGUARDED has no effect" in capsys.readouterr().out


# The record.


class Ssm:
    """A parameter with a history, in pages."""

    exceptions = SimpleNamespace(ParameterNotFound=KeyError)
    name = "prod"

    def __init__(self, *values: str) -> None:
        self._values = values

    def client(self, _service: str) -> "Ssm":
        return self

    def get_paginator(self, _operation: str) -> "Ssm":
        return self

    def paginate(self, **_: Any) -> Any:
        for version, value in enumerate(self._values, start=8):
            yield {"Parameters": [{"Version": version, "Value": value}]}


def test_a_history_has_the_newest_first_and_records_of_older_and_newer_tools() -> None:
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
