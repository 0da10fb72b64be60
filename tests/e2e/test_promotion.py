"""One build goes from one environment to the next, and back: two environments of an emulator.

The build is made from a committed copy of the sources, so that it can be promoted whatever is
uncommitted in the developer's working tree.
"""

import io
import json
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.table_schema import CENSUS_KEY, LAST_TRANSITION_KEY
from local.cloudwatch.alarm_states import AlarmStates
from local.cloudwatch.metrics_from_logs import MetricsFromLogs
from local.run import emulator_environment, ministack
from operations.shared.local_system import ACCOUNT, REGION, aws_client, is_ready
from operations.shared.repository import ROOT
from tests.e2e.harness import eventually, free_port
from tests.runbook import OPERATORS, commands

SOURCES = (
    *("app.py", "cdk.json", ".gitignore", "docs", "infra", "lambdas", "local", "operations"),
    *("Makefile", "requirements.txt", "package-lock.json"),
)


@dataclass(frozen=True)
class Laptop:
    """A committed copy of the sources, and an emulator to deploy to."""

    repository: Path
    endpoint_url: str

    def client(self, service: str) -> Any:
        return aws_client(service, self.endpoint_url)

    def start(self, *command: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            cwd=self.repository,
            env={
                **emulator_environment(self.endpoint_url),
                "SMOKE_PATIENCE": "5",
                "BUILD_ARGS": f"--local {self.endpoint_url}",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str) -> tuple[int, str]:
        """Run a program to its end; return its exit code and what it printed."""
        process = self.start(*command)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def operate(self, tool: str, *arguments: str) -> tuple[int, str]:
        return self.run(sys.executable, "-m", f"operations.{tool}", *arguments)

    def promote(self) -> tuple[int, str]:
        return self.operate("promote", "--from", "local", "--to", "local-next")

    def outputs(self, environment: str) -> Mapping[str, str]:
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return {
            output["OutputKey"]: output["OutputValue"]
            for stack in stacks
            if stack["StackName"].rpartition("-")[0] == f"BusinessConnections-{environment}"
            for output in stack["Outputs"]
        }

    def record(self, environment: str) -> Any:
        return self.history(environment)[-1]

    def history(self, environment: str) -> list[Any]:
        """All records of an environment, the newest last."""
        versions = self.client("ssm").get_parameter_history(
            Name=f"/business-connections/{environment}/deployment"
        )
        return [json.loads(version["Value"]) for version in versions["Parameters"]]

    def git(self, *command: str) -> str:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        done = subprocess.run(
            ["git", *identity, *command],
            cwd=self.repository,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def items(self, environment: str) -> list[Any]:
        """All items of the table except those of the cleanup and of the change feed themselves."""
        table = self.outputs(environment)["TableName"]
        items = self.client("dynamodb").scan(TableName=table)["Items"]
        own = ({"S": CENSUS_KEY}, {"S": LAST_TRANSITION_KEY})
        return [item for item in items if item["pk"] not in own and item["sk"] not in own]

    def users(self, environment: str) -> list[Any]:
        pool = self.outputs(environment)["UserPoolId"]
        users: list[Any] = self.client("cognito-idp").list_users(UserPoolId=pool)["Users"]
        return users

    def is_at_rest(self) -> bool:
        """Whether no stack is being changed."""
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return not any(stack["StackStatus"].endswith("IN_PROGRESS") for stack in stacks)

    def settle_alarms(self) -> None:
        """Run the first cleanup, and evaluate all alarms on what it published."""
        cleanup = self.outputs("local")["CleanupFunctionName"]
        answer = self.client("lambda").invoke(FunctionName=cleanup, Payload=b"{}")
        assert "FunctionError" not in answer
        metrics = MetricsFromLogs(self.client("logs"), self.client("cloudwatch"))
        states = AlarmStates(self.client("cloudwatch"))

        def settled() -> bool:
            metrics.step()
            states.step()
            alarms = self.client("cloudwatch").describe_alarms()["MetricAlarms"]
            page = self.outputs("local")["OnCallTopicArn"]
            return all(a["StateValue"] == "OK" for a in alarms if page in a["AlarmActions"])

        eventually("the paging alarms are OK", settled)

    @contextmanager
    def broken_authorizer(self) -> Iterator[None]:
        """Change the code of the authorizer of `local` by hand."""
        client, stack = self.client("lambda"), "BusinessConnections-local-Service"
        resources = self.client("cloudformation").list_stack_resources(StackName=stack)
        authorizer = {
            resource["ResourceType"]: resource["PhysicalResourceId"]
            for resource in resources["StackResourceSummaries"]
            if resource["LogicalResourceId"].startswith("FunctionsAuthorizer")
        }
        function = authorizer["AWS::Lambda::Function"]
        alias = authorizer.get("AWS::Lambda::Alias")
        if alias is not None:
            alias = alias.split(":")[-1]
            version = client.get_alias(FunctionName=function, Name=alias)["FunctionVersion"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as bundle:
            bundle.writestr("lambdas/__init__.py", "")
            bundle.writestr("lambdas/handlers/__init__.py", "")
            bundle.writestr("lambdas/handlers/authorizer.py", "raise RuntimeError")
        client.update_function_code(FunctionName=function, ZipFile=code.getvalue())
        if alias is not None:
            changed = client.publish_version(FunctionName=function)["Version"]
            client.update_alias(FunctionName=function, Name=alias, FunctionVersion=changed)
        try:
            yield
        finally:
            if alias is not None:
                client.update_alias(FunctionName=function, Name=alias, FunctionVersion=version)
            asset = json.loads((self.repository / "build/release/manifest.json").read_text())
            client.update_function_code(
                FunctionName=function,
                S3Bucket=f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}",
                S3Key=f"{asset['environments']['local']}.zip",
            )

    @contextmanager
    def outdated_bootstrap(self) -> Iterator[None]:
        """Make `cdk deploy` fail before it changes any stack."""
        ssm, name = self.client("ssm"), "/cdk-bootstrap/hnb659fds/version"
        version = ssm.get_parameter(Name=name)["Parameter"]["Value"]
        ssm.put_parameter(Name=name, Value="1", Overwrite=True)
        try:
            yield
        finally:
            ssm.put_parameter(Name=name, Value=version, Overwrite=True)

    @contextmanager
    def blind_alarm(self) -> Iterator[str]:
        """Make an alarm of `local` watch a function that no longer exists."""
        cloudwatch = self.client("cloudwatch")
        alarms = cloudwatch.describe_alarms()["MetricAlarms"]
        (alarm,) = (a for a in alarms if "local-Monitoring-AlarmsPingThrottles" in a["AlarmName"])
        fields = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
        settings = {name: value for name, value in alarm.items() if name in fields}
        gone = [{"Name": "FunctionName", "Value": "replaced"}]
        cloudwatch.put_metric_alarm(**{**settings, "Dimensions": gone})
        try:
            yield alarm["AlarmName"]
        finally:
            cloudwatch.put_metric_alarm(**settings)


def copy_sources(repository: Path) -> None:
    for name in SOURCES:
        source, copy = ROOT / name, repository / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            repository.mkdir(exist_ok=True)
            shutil.copy2(source, copy)  # with its time: `make` compares it with what is installed
    (repository / "node_modules").symlink_to((ROOT / "node_modules").resolve())
    (repository / ".venv").symlink_to(sys.prefix)
    ignored = (ROOT / ".gitignore").read_text()
    (repository / ".gitignore").write_text(f"{ignored}node_modules\n.venv\n")


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """Environment `local` deployed from a clean build; `local-next` does not exist yet."""
    state = tmp_path_factory.mktemp("promotion")
    port = free_port()
    laptop = Laptop(state / "repository", f"http://127.0.0.1:{port}")
    copy_sources(laptop.repository)
    laptop.git("init", "--quiet")
    laptop.commit("Everything")
    with ministack(state, port):
        build = laptop.start(
            *(sys.executable, "-m", "operations.build", "--local", laptop.endpoint_url)
        )
        try:
            eventually("the emulator is ready", lambda: is_ready(laptop.endpoint_url), seconds=60)
            # The repository has a cdk.json, but this must not synthesize the application.
            code, output = laptop.operate("bootstrap")
            assert code == 0, output
            output, _ = build.communicate(timeout=180)
            assert build.returncode == 0, output
        finally:
            build.kill()
        code, output = laptop.operate("deploy", "--environment", "local")
        assert code == 0, output
        yield laptop


def test_a_first_deployment_that_cannot_begin_leaves_no_record(laptop: Laptop) -> None:
    with laptop.outdated_bootstrap():
        code, output = laptop.operate("deploy", "--environment", "local-next", "--force")
    assert code == 2, output
    with pytest.raises(ClientError, match="ParameterNotFound"):
        laptop.record("local-next")


@pytest.fixture(scope="module")
def promoted(laptop: Laptop) -> Laptop:
    """The laptop after a promotion to `local-next`, and one attempt that came too early."""
    code, output = laptop.promote()
    assert code == 1, output
    assert "alarms of local that page are not OK but INSUFFICIENT_DATA" in output
    assert not laptop.outputs("local-next"), "a refused promotion deploys nothing"

    laptop.settle_alarms()
    code, output = laptop.promote()
    assert code == 0, output
    assert "local-next runs commit" in output
    return laptop


def test_the_next_environment_runs_the_same_build(promoted: Laptop) -> None:
    first, second = promoted.record("local"), promoted.record("local-next")
    assert first["commit"] == second["commit"] == promoted.git("rev-parse", "HEAD")
    assert first["assetHash"] == second["assetHash"]
    assert first["codeSha256"] == second["codeSha256"]
    assert (first["source"], first["target"]) == (None, "local")
    assert (second["source"], second["target"]) == ("local", "local-next")
    assert {first["smoke"], second["smoke"]} == {"passed"}
    assert ACCOUNT in second["by"]


def test_the_smoke_test_leaves_nothing_behind(promoted: Laptop) -> None:
    for environment in ("local", "local-next"):
        assert promoted.items(environment) == []
        assert promoted.users(environment) == []


def test_all_reasons_against_a_promotion_are_given_at_once(promoted: Laptop) -> None:
    promoted.settle_alarms()
    before = promoted.record("local-next")
    cloudwatch = promoted.client("cloudwatch")
    (alarm,) = (
        name
        for name in promoted.outputs("local")["AlarmNames"].split(",")
        if "VirtualWithoutReal" in name
    )
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    with promoted.broken_authorizer(), promoted.blind_alarm() as blind:
        code, output = promoted.promote()
    assert code == 1, output
    assert "somebody changed the code of FunctionsAuthorizer" in output
    assert f"alarms of local that page are not OK but ALARM: {alarm}" in output
    assert (
        f"{blind} of local watches something that does not exist: FunctionName replaced" in output
    )
    assert "the smoke test fails on local: PUT availability false" in output
    assert promoted.items("local") == [], "a smoke test that fails also leaves nothing behind"
    assert promoted.record("local-next") == before


def test_a_later_environment_is_not_deployed_to_directly(promoted: Laptop) -> None:
    code, output = promoted.operate("deploy", "--environment", "local-next")
    assert code == 1
    assert "comes after local" in output


def test_a_diff_is_shown_of_an_environment_that_may_not_be_deployed_yet(promoted: Laptop) -> None:
    (metadata,) = promoted.repository.glob("build/release/assembly/*local/*Data*.metadata.json")
    before = metadata.read_text()
    refused = {"type": "aws:cdk:error", "data": "page_emails must name somebody"}
    metadata.write_text(json.dumps({"/local/Data": [refused]}))
    try:
        code, output = promoted.run("make", "diff", "ENVIRONMENT=local")
    finally:
        metadata.write_text(before)
    assert code == 0, output
    assert "page_emails must name somebody" in output
    assert "Number of stacks with differences: 0" in output


# Rollback. From here on, environment `local` has more than one commit in its history.


@pytest.fixture(scope="module")
def broken(promoted: Laptop) -> tuple[str, str]:
    """The good commit, and a second one that was deployed to `local` and lets nobody connect."""
    good = promoted.git("rev-parse", "HEAD")
    (promoted.repository / "lambdas/handlers/authorizer.py").write_text("raise RuntimeError\n")
    bad = promoted.commit("A mistake")
    assert promoted.run("make", "build")[0] == 0
    code, output = promoted.operate("deploy", "--environment", "local")
    assert code == 3, output
    assert "its smoke test failed: PUT availability false" in output
    assert promoted.record("local")["smoke"] == "failed"
    return good, bad


def test_a_dry_run_of_a_rollback_says_what_it_would_do_and_changes_nothing(
    promoted: Laptop, broken: tuple[str, str]
) -> None:
    good, bad = broken
    before = promoted.history("local")
    code, output = promoted.run("make", "rollback", "ENVIRONMENT=local", "DRY_RUN=1")
    assert code == 0, output
    assert f"local runs commit {bad[:12]}" in output
    assert f"rolling back from {bad[:12]} to {good[:12]}" in output
    assert promoted.history("local") == before


def test_a_deployment_that_cannot_begin_leaves_the_record_as_it_was(
    promoted: Laptop, broken: tuple[str, str]
) -> None:
    before = promoted.record("local")
    with promoted.outdated_bootstrap():
        code, output = promoted.operate("deploy", "--environment", "local")
    assert code == 2, output
    assert "failed before it changed any stack" in output
    assert promoted.record("local") == before


def test_an_interrupted_rollback_is_resumed_and_never_leads_forward(
    promoted: Laptop, broken: tuple[str, str]
) -> None:
    good, bad = broken
    interrupted = promoted.start(sys.executable, "-m", "operations.rollback", "--environment=local")
    eventually(
        "the deployment has begun",
        lambda: promoted.record("local")["smoke"] == "pending",
        seconds=180,
    )
    interrupted.send_signal(signal.SIGTERM)
    output, _ = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 3, output
    assert "interrupted" in output
    assert len(promoted.git("worktree", "list").splitlines()) == 1
    eventually("no stack is at work", promoted.is_at_rest, seconds=60)

    code, output = promoted.run("make", "rollback", "ENVIRONMENT=local")
    assert code == 0, output
    record = promoted.record("local")
    first = promoted.history("local")[1]
    assert (record["commit"], record["rolledBackFrom"], record["source"]) == (good, bad, None)
    assert record["clean"]
    assert (record["assetHash"], record["codeSha256"]) == (first["assetHash"], first["codeSha256"])
    assert record["smoke"] == "passed"
    assert len(promoted.git("worktree", "list").splitlines()) == 1

    code, output = promoted.run("make", "rollback", "ENVIRONMENT=local")
    assert code == 2, output  # the exit code of `make` for any failure
    assert f"nothing before commit {good[:12]} to roll back to" in output
    assert promoted.record("local") == record


def test_the_commands_of_the_cdk_cli_in_the_documents_run(promoted: Laptop) -> None:
    documented = [
        words for document in OPERATORS for words in commands("node_modules/.bin/cdk", document)
    ]
    assert {words[1] for words in documented} == {"deploy", "destroy"}
    of_here = (
        tuple(re.sub("^(dev|prod)/", "local-next/", word) for word in words) for words in documented
    )
    for command in dict.fromkeys(of_here):
        code, output = promoted.run(*command, "--force")
        assert code == 0, output
    assert not promoted.outputs("local-next"), "the commands of the documents delete an environment"
