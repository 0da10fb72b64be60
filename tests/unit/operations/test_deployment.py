"""A tool that cannot reach an environment says in one line why."""

from pathlib import Path

import pytest

from operations.deployment import NoDeployment, open_table


def test_a_shell_without_a_region_is_told_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for variable in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(NoDeployment, match="AWS_REGION"):
        open_table("dev", connections=1)


@pytest.mark.parametrize("name", ["", "Dev", "dev/*", "-", "a" * 17])
def test_a_name_that_no_environment_can_have_is_refused(name: str) -> None:
    with pytest.raises(NoDeployment, match="no environment"):
        open_table(name, connections=1)


def test_without_a_running_local_system_it_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOCAL_STATE", str(tmp_path))
    with pytest.raises(NoDeployment, match="make run"):
        open_table("local", connections=1)
