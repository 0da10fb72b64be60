"""One build goes from one environment to the next, for real: two of them on an emulator of its own.

The build is made from a copy of the sources that is committed, so that it can be promoted whatever
the working tree of the developer holds.
"""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.bridge import AlarmStates, MetricsFromLogs
from local.run import CDK, emulator_environment, ministack
from local.system import ACCOUNT, REGION, ROOT, aws_client, is_ready
from tests.e2e.harness import eventually, free_port

SOURCES = ("app.py", "cdk.json", ".gitignore", "infra", "lambdas", "local", "operations")


@dataclass(frozen=True)
class Laptop:
    """A committed copy of the sources, and an emulator to deploy to."""

    repository: Path
    endpoint_url: str

    def client(self, service: str) -> Any:
        return aws_client(service, self.endpoint_url)

    def start(self, *command: str, folder: Path | None = None) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            cwd=folder or self.repository,
            env={**emulator_environment(self.endpoint_url), "SMOKE_PATIENCE": "3"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, folder: Path | None = None) -> tuple[int, str]:
        """Run a program to its end; return its exit code and what it printed."""
        process = self.start(*command, folder=folder)
        output, _ = process.communicate(timeout=120)
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
        name = f"/business-connections/{environment}/deployment"
        return json.loads(self.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])

    def items(self, environment: str) -> list[Any]:
        table = self.outputs(environment)["TableName"]
        items: list[Any] = self.client("dynamodb").scan(TableName=table)["Items"]
        return items

    def users(self, environment: str) -> list[Any]:
        pool = self.outputs(environment)["UserPoolId"]
        users: list[Any] = self.client("cognito-idp").list_users(UserPoolId=pool)["Users"]
        return users

    def settle_alarms(self) -> None:
        """Have the first cleanup run, and each alarm judged on what it published."""
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
        """Have the authorizer of `local` run other code, changed by hand past every deployment."""
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


def committed_copy(repository: Path) -> None:
    """Copy the sources into a Git repository of their own."""
    for name in SOURCES:
        source, copy = ROOT / name, repository / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            repository.mkdir(exist_ok=True)
            shutil.copyfile(source, copy)
    (repository / "node_modules").symlink_to((ROOT / "node_modules").resolve())
    (repository / ".gitignore").write_text((ROOT / ".gitignore").read_text() + "node_modules\n")
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    for command in (("init", "--quiet"), ("add", "."), (*identity, "commit", "-qm", "Everything")):
        subprocess.run(["git", *command], cwd=repository, check=True)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """Environment `local` deployed from a clean build; `local-next` is not there yet."""
    state = tmp_path_factory.mktemp("promotion")
    port = free_port()
    laptop = Laptop(state / "repository", f"http://127.0.0.1:{port}")
    committed_copy(laptop.repository)
    with ministack(state, port):
        build = laptop.start(
            *(sys.executable, "-m", "operations.build", "--local", laptop.endpoint_url)
        )
        try:
            eventually("the emulator is ready", lambda: is_ready(laptop.endpoint_url), seconds=60)
            code, output = laptop.run(
                str(CDK), "bootstrap", f"aws://{ACCOUNT}/{REGION}", folder=state
            )
            assert code == 0, output
            output, _ = build.communicate(timeout=180)
            assert build.returncode == 0, output
        finally:
            build.kill()
        code, output = laptop.operate("deploy", "--environment", "local")
        assert code == 0, output
        yield laptop


@pytest.fixture(scope="module")
def promoted(laptop: Laptop) -> Laptop:
    """`local-next` promoted to, after one attempt that came too early."""
    code, output = laptop.promote()
    assert code == 1, output
    assert "alarms of local that page are not OK but INSUFFICIENT_DATA" in output
    assert not laptop.outputs("local-next"), "a refused promotion deploys nothing"

    laptop.settle_alarms()
    code, output = laptop.promote()
    assert code == 0, output
    assert "local-next runs commit" in output
    return laptop


def test_the_next_environment_runs_the_very_same_build(promoted: Laptop) -> None:
    first, second = promoted.record("local"), promoted.record("local-next")
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=promoted.repository,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    assert first["commit"] == second["commit"] == commit
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
    with promoted.broken_authorizer():
        code, output = promoted.promote()
    assert code == 1, output
    assert "somebody changed the code of FunctionsAuthorizer" in output
    assert f"alarms of local that page are not OK but ALARM: {alarm}" in output
    assert "the smoke test fails on local: a device connects" in output
    assert promoted.items("local") == [], "a smoke test that fails leaves nothing behind either"
    assert promoted.record("local-next") == before


def test_an_environment_that_comes_later_is_not_deployed_to_directly(promoted: Laptop) -> None:
    code, output = promoted.operate("deploy", "--environment", "local-next")
    assert code == 1
    assert "comes after local" in output
