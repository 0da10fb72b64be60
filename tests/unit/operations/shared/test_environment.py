"""A tool that cannot reach an environment says in one line why."""

from pathlib import Path
from types import ModuleType

import pytest

from operations import bootstrap, rollback, smoke
from operations.shared.environment import DeployedEnvironment
from operations.shared.exit_codes import CannotBegin, ExitCode


@pytest.fixture
def no_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell without any AWS setting."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for variable in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.usefixtures("no_region")
def test_a_shell_without_a_region_is_told_so() -> None:
    with pytest.raises(CannotBegin, match="AWS_REGION"):
        DeployedEnvironment("dev").table(connections=1)


@pytest.mark.parametrize("name", ["", "Dev", "dev/*", "-", "a" * 17])
def test_a_name_that_no_environment_can_have_is_refused(name: str) -> None:
    with pytest.raises(CannotBegin, match="no environment"):
        DeployedEnvironment(name)


@pytest.mark.usefixtures("no_region")
@pytest.mark.parametrize("verb", [bootstrap, rollback, smoke], ids=lambda verb: verb.__name__)
def test_an_environment_that_does_not_exist_is_named_with_those_that_do(
    verb: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["verb", "--environment", "nope"])
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
