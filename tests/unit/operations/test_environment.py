"""A tool that cannot reach an environment says in one line why."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from infra.configuration import Environment
from operations.release import deploy, diff, promote, rollback, smoke
from operations.release.assembly import Build
from operations.shared import environment as module
from operations.shared.environment import DeployedEnvironment
from operations.shared.repository import ROOT
from operations.shared.verbs import CannotBegin, ExitCode


@pytest.fixture
def no_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell without any AWS setting."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for variable in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def environments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Environment]:
    """The environments of infra/environments.py, for a test to change."""
    configured = dict(module.configured_environments())
    monkeypatch.setattr(module, "configured_environments", lambda: configured)
    return configured


@pytest.mark.usefixtures("no_region")
def test_a_shell_without_a_region_is_told_so() -> None:
    with pytest.raises(CannotBegin, match="AWS_REGION"):
        DeployedEnvironment("dev").table(connections=1)


@pytest.mark.parametrize("name", ["", "Dev", "dev/*", "-", "a" * 17])
def test_a_name_that_no_environment_can_have_is_refused(name: str) -> None:
    with pytest.raises(CannotBegin, match="no environment"):
        DeployedEnvironment(name)


@pytest.mark.usefixtures("no_region")
@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (deploy, ["--environment", "nope"]),
        (diff, ["--environment", "nope"]),
        (promote, ["--from", "nope", "--to", "prod"]),
        (promote, ["--from", "staging", "--to", "nope"]),
        (rollback, ["--environment", "nope"]),
        (smoke, ["--environment", "nope"]),
    ],
)
def test_an_environment_that_does_not_exist_is_named_with_those_that_do(
    verb: ModuleType,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environments: dict[str, Environment],
) -> None:
    """Also without a build."""
    environments["prod"] = Environment(name="prod")
    monkeypatch.setattr("sys.argv", ["verb", *arguments])
    assert verb.main() == ExitCode.COULD_NOT_BEGIN
    told = capsys.readouterr().err
    assert all(name in told for name in ("'nope'", "dev", "staging", "prod"))
    assert "region" not in told


def test_without_a_running_local_system_it_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("LOCAL_STATE", str(tmp_path))
    with pytest.raises(CannotBegin, match="make run"):
        DeployedEnvironment("local")


# Where an environment is: infra/environments.py, then the profile, then the shell.

CREDENTIALS_FOR = "222222222222"


@pytest.fixture
def shell(
    no_region: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environments: dict[str, Environment],
) -> dict[str, Environment]:
    """A shell with credentials, and the profile `there`, which is in eu-west-1."""
    (tmp_path / "config").write_text("[profile there]\nregion = eu-west-1\n[profile plain]\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    identity = {"Account": CREDENTIALS_FOR, "Arn": "arn:aws:iam::222222222222:user/somebody"}
    monkeypatch.setattr(DeployedEnvironment, "caller", identity)
    return environments


def where(name: str, profile: str | None = None) -> str:
    return DeployedEnvironment(name, profile=profile).region


def test_infra_environments_decides_on_the_region(
    shell: dict[str, Environment], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell["prod"] = Environment(name="prod", region="eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert where("prod") == where("prod", "there") == "eu-central-1"
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(
        CannotBegin, match=r"eu-central-1 \(infra/environments.py\), but AWS_REGION is us-east-1"
    ):
        where("prod")


@pytest.mark.parametrize("given", [None, "there"], ids=["AWS_PROFILE", "PROFILE"])
def test_then_the_profile_decides(
    shell: dict[str, Environment], monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    if given is None:
        monkeypatch.setenv("AWS_PROFILE", "there")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert where("dev", given) == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(
        CannotBegin, match=r"eu-west-1 \(profile there\), but AWS_REGION is us-east-1"
    ):
        where("dev", given)


def test_then_the_shell_decides(
    shell: dict[str, Environment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert where("dev") == where("dev", "plain") == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert where("dev") == where("dev", "plain") == "us-east-1"


def test_credentials_for_another_account_are_refused_by_every_verb(
    shell: dict[str, Environment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example if TO_PROFILE was forgotten."""
    shell["prod"] = Environment(name="prod", account="111111111111", region="eu-central-1")
    with pytest.raises(
        CannotBegin, match=r"prod is in account 111111111111 .* credentials are for 222222222222"
    ):
        DeployedEnvironment("prod")


def test_an_environment_that_was_removed_is_where_the_profile_says(
    shell: dict[str, Environment],
) -> None:
    """So that it can still be rolled back."""
    assert where("removed", "there") == "eu-west-1"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"account": "333333333333"}, "account 333333333333, but prod is in 222222222222"),
        ({"region": "us-west-2"}, "region us-west-2, but prod is in eu-central-1"),
    ],
)
def test_a_build_for_another_place_is_refused(
    shell: dict[str, Environment], build: Build, changes: dict[str, str], reason: str
) -> None:
    shell["prod"] = Environment(name="prod", account=CREDENTIALS_FOR, region="eu-central-1")
    manifest = build.assembly.folder / "assembly-prod" / "manifest.json"
    place = {"account": CREDENTIALS_FOR, "region": "eu-central-1", **changes}
    text = manifest.read_text()
    manifest.write_text(
        text.replace(
            "aws://111111111111/unknown-region", f"aws://{place['account']}/{place['region']}"
        )
    )
    with pytest.raises(CannotBegin, match=reason):
        build.environment("prod")


def test_a_verb_does_not_start_the_engine_of_the_cdk() -> None:
    """It takes a second, and each verb reads infra/environments.py."""
    program = "import sys, operations.release.deploy; print('aws_cdk' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert ran.stdout == "False\n"
