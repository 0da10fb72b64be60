"""Releases go from dev to staging to prod and back, as shipped: three accounts of an emulator."""

import io
import json
import re
import signal
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lambdas.domain.identifiers import CANARY
from operations.release.assembly import Assembly
from tests.e2e.harness import eventually
from tests.e2e.three_accounts import ACCOUNTS, Team, team_with_a_build
from tests.runbook import OPERATORS, commands


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Three prepared accounts, and a build from a clean commit. Nothing is deployed yet."""
    with team_with_a_build(tmp_path_factory.mktemp("release")) as team:
        yield team


def commit_of(build: Path) -> str:
    commit: str = json.loads((build / "manifest.json").read_text())["commit"]
    return commit


def write_handler(assembly: Assembly, name: str, text: str) -> None:
    """Replace a module of the functions."""
    (handler,) = assembly.folder.glob(f"asset.*/lambdas/handlers/{name}.py")
    handler.write_text(text)


def stop_devices(assembly: Assembly) -> None:
    """Make the mistake that lets nobody connect."""
    write_handler(assembly, "authorizer", "raise RuntimeError\n")


def break_dashboard(assembly: Assembly) -> None:
    """Make the mistake that CloudFormation finds in Monitoring, after Service has changed."""
    for file in assembly.folder.glob("assembly-*/*Monitoring*.template.json"):
        template = json.loads(file.read_text())
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::CloudWatch::Dashboard":
                resource["Properties"]["DashboardBody"] = ""
        file.write_text(json.dumps(template))


def change_nothing(_assembly: Assembly) -> None:
    """Leave the sources as they are: the build only has another name."""


@pytest.fixture(scope="module")
def first(team: Team) -> Path:
    """The first build, which all three environments run."""
    build = team.release.resolve()
    deployed = team.deploy("dev")
    assert deployed.code == 0, deployed.output

    early = team.promote("dev", "staging")
    assert early.code == 1, early.output
    assert "alarms of dev that page are not OK but INSUFFICIENT_DATA" in early.output
    assert "they judge this build alone from" in early.output

    forgotten = team.make(
        *("promote", "FROM=dev", "TO=staging", "FROM_PROFILE=dev"), AWS_PROFILE="dev"
    )
    assert forgotten.code == 2, forgotten.output
    assert f"staging is in account {ACCOUNTS['staging']}" in forgotten.output
    assert f"these credentials are for {ACCOUNTS['dev']}" in forgotten.output
    for account in ("dev", "staging"):
        names = team.stacks(account)
        assert not any("-staging-" in name for name in names), "what is refused deploys nothing"

    for source, target in (("dev", "staging"), ("staging", "prod")):
        team.settle(source)
        promoted = team.promote(source, target)
        assert promoted.code == 0, promoted.output
        assert f"{target} runs commit" in promoted.output
    return build


def test_all_environments_run_the_same_build(team: Team, first: Path) -> None:
    for name, source in (("dev", None), ("staging", "dev"), ("prod", "staging")):
        record, of_dev = team.record(name), team.record("dev")
        assert record["commit"] == commit_of(first)
        assert (record["source"], record["target"]) == (source, name)
        assert (record["clean"], record["smoke"]) == (True, "passed")
        assert ACCOUNTS[name] in record["by"]
        for same in ("assetHash", "codeSha256", "digest"):
            assert record[same] == of_dev[same]


def test_the_smoke_test_leaves_nothing_behind(team: Team, first: Path) -> None:
    for name in ACCOUNTS:
        canary = "CanaryCredentialArn" in team.outputs(name)
        assert team.users(name) == ([CANARY] if canary else [])
        assert all("smoke-test" not in str(item) for item in team.items(name))


def test_a_diff_is_shown_of_an_environment_that_may_not_be_deployed_yet(
    team: Team, first: Path
) -> None:
    (metadata,) = team.release.glob("assembly/assembly-dev/*Data*.metadata.json")
    before = metadata.read_text()
    refused = {"type": "aws:cdk:error", "data": "page_emails must name somebody"}
    metadata.write_text(json.dumps({"/dev/Data": [refused]}))
    try:
        ended = team.make("diff", "ENVIRONMENT=dev", "PROFILE=dev")
    finally:
        metadata.write_text(before)
    assert ended.code == 0, ended.output
    assert "page_emails must name somebody" in ended.output
    assert "Number of stacks with differences: 0" in ended.output


@pytest.fixture(scope="module")
def second(team: Team, first: Path) -> Path:
    """Another good build, which dev runs after the first one."""
    build = team.derive(first, change_nothing)
    team.take(build)
    deployed = team.deploy("dev")
    assert deployed.code == 0, deployed.output
    return build


@pytest.fixture(scope="module")
def bad(team: Team, second: Path) -> Path:
    """A build that lets nobody connect. It was deployed to dev, and dev still runs it."""
    build = team.derive(second, stop_devices)
    team.take(build)
    deployed = team.deploy("dev")
    assert deployed.code == 3, deployed.output
    assert "its smoke test failed: PUT availability false" in deployed.output
    assert "aws logs tail" in deployed.output
    assert "make rollback ENVIRONMENT=dev" in deployed.output
    assert team.record("dev")["smoke"] == "failed"
    return build


def test_all_reasons_against_a_promotion_are_given_at_once(team: Team, bad: Path) -> None:
    before = team.record("staging")
    team.settle("dev")
    paging = "BusinessConnections-dev-Monitoring-ServiceImpaired"
    team.client("dev", "cloudwatch").set_alarm_state(
        AlarmName=paging, StateValue="ALARM", StateReason="a test"
    )
    with changed_authorizer(team):
        refused = team.promote("dev", "staging", SMOKE_TIMEOUT="3")
    assert refused.code == 1, refused.output
    assert "the smoke test failed when this build was deployed to dev" in refused.output
    assert "somebody changed the code of FunctionsAuthorizer" in refused.output
    assert f"alarms of dev that page are not OK but ALARM: {paging}" in refused.output
    assert "the smoke test fails on dev: PUT availability false" in refused.output
    assert team.items("dev") == [], "a smoke test that fails also leaves nothing behind"
    assert team.record("staging") == before


@contextmanager
def changed_authorizer(team: Team) -> Iterator[None]:
    """Change the code of the authorizer of dev by hand."""
    client = team.client("dev", "lambda")
    resources = team.client("dev", "cloudformation").list_stack_resources(
        StackName="BusinessConnections-dev-Service"
    )
    (alias,) = (
        resource["PhysicalResourceId"]
        for resource in resources["StackResourceSummaries"]
        if resource["LogicalResourceId"].startswith("FunctionsAuthorizer")
        and resource["ResourceType"] == "AWS::Lambda::Alias"
    )
    where = dict(zip(("FunctionName", "Name"), alias.split(":")[-2:], strict=True))
    version = client.get_alias(**where)["FunctionVersion"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as bundle:
        bundle.writestr("lambdas/__init__.py", "")
        bundle.writestr("lambdas/handlers/__init__.py", "")
        bundle.writestr("lambdas/handlers/authorizer.py", "raise ValueError")
    client.update_function_code(FunctionName=where["FunctionName"], ZipFile=code.getvalue())
    changed = client.publish_version(FunctionName=where["FunctionName"])["Version"]
    client.update_alias(**where, FunctionVersion=changed)
    try:
        yield
    finally:
        client.update_alias(**where, FunctionVersion=version)


def test_a_deployment_that_cannot_begin_leaves_the_record_as_it_was(team: Team, bad: Path) -> None:
    before = team.record("dev")
    with team.outdated_bootstrap("dev"):
        ended = team.deploy("dev")
    assert ended.code == 2, ended.output
    assert "failed before it changed any stack" in ended.output
    assert team.record("dev") == before


def test_a_second_deployer_waits_and_a_rollback_that_crashed_is_resumed(
    team: Team, first: Path, second: Path, bad: Path
) -> None:
    """A rollback needs nothing but the tools: no Git, no package index."""
    crashing = team.start_rollback("dev")
    eventually(
        "the rollback has begun", lambda: team.record("dev")["smoke"] == "pending", seconds=60
    )
    team.signal_all(crashing, signal.SIGSTOP)  # it stays at work, however long the next one takes
    held = team.lock("dev")
    refused = team.deploy("dev")
    assert refused.code == 1, refused.output
    assert f"{held['by']} is at work on dev" in refused.output
    assert f"since {held['since']}" in refused.output
    team.signal_all(crashing, signal.SIGKILL)
    crashing.communicate()
    assert team.lock("dev") == held
    eventually("no stack is at work", lambda: team.is_at_rest("dev"), seconds=60)
    team.let_lock_end("dev")
    resumed = team.rollback("dev")
    assert resumed.code == 0, resumed.output
    record = team.record("dev")
    assert (record["commit"], record["smoke"]) == (commit_of(second), "passed")
    assert record["rolledBackFrom"].startswith(commit_of(bad))

    further = team.rollback("dev")
    assert further.code == 1, further.output
    assert "name the commit with COMMIT=" in further.output
    assert f"commit {commit_of(first)[:12]}" in further.output
    assert team.record("dev") == record


def test_prod_goes_back_with_one_command_after_a_forced_deployment_that_stopped_midway(
    team: Team, first: Path
) -> None:
    before = team.record("prod")
    broken = team.derive(first, break_dashboard)
    team.take(broken)
    stopped = team.deploy("prod", "FORCE=1", "UNGUARDED=1")
    assert stopped.code == 3, stopped.output
    assert "BusinessConnections-prod-Service UPDATE_COMPLETE" in stopped.output
    assert "BusinessConnections-prod-Monitoring UPDATE_ROLLBACK_COMPLETE" in stopped.output
    assert "make rollback ENVIRONMENT=prod" in stopped.output

    dry = team.rollback("prod", "DRY_RUN=1", f"COMMIT={commit_of(first)[:12]}")
    assert dry.code == 0, dry.output
    assert f"rolling back to commit {commit_of(first)[:12]}" in dry.output
    assert team.record("prod")["commit"] == commit_of(broken)

    back = team.rollback("prod")
    assert back.code == 0, back.output
    record = team.record("prod")
    assert (record["commit"], record["smoke"]) == (commit_of(first), "passed")
    assert record["rolledBackFrom"].startswith(commit_of(broken))
    assert record["digest"] == before["digest"]
    assert record["codeSha256"] == team.record("staging")["codeSha256"]


def test_the_commands_of_the_cdk_cli_in_the_documents_run(team: Team, first: Path) -> None:
    documented = [
        words for document in OPERATORS for words in commands("node_modules/.bin/cdk", document)
    ]
    assert {words[1] for words in documented} == {"destroy"}
    team.take(first)
    team.client("staging", "cloudformation").update_termination_protection(
        StackName="BusinessConnections-staging-Data", EnableTerminationProtection=False
    )
    of_staging = (
        tuple(re.sub("^(dev|prod)/", "staging/", word) for word in words) for words in documented
    )
    for command in dict.fromkeys(of_staging):
        ended = team.ended(team.start(*command, "--force", "--profile", "staging"))
        assert ended.code == 0, ended.output
    assert not team.stacks("staging"), "the commands of the documents delete an environment"
