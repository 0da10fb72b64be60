"""The workflows of GitHub: what jobs with credentials install and run, and what runs at once."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.environments import all_environments
from tests.unit.test_setup import DEPLOYING, ROOT

FOLDER = ROOT / ".github"
MAKEFILE = (ROOT / "Makefile").read_text()
SETUP = "./.github/actions/setup"
CREDENTIALS = "aws-actions/configure-aws-credentials@"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


JOBS = {
    f"{path.stem}/{name}": job
    for path in sorted((FOLDER / "workflows").glob("*.yml"))
    for name, job in read(path)["jobs"].items()
}
CALLERS = {name: job for name, job in JOBS.items() if "steps" not in job}
TRUSTED = {
    name: job
    for name, job in JOBS.items()
    if job["permissions"].get("id-token") == "write" and name not in CALLERS
}
"""The jobs that can get credentials of AWS."""

DEPLOYS = {name: job for name, job in JOBS.items() if "environment" in job}


def commands(steps: list[Any]) -> list[str]:
    return [step["run"] for step in steps if "run" in step]


def verbs(steps: list[Any]) -> set[str]:
    """The verbs of `make` that steps run."""
    return {
        verb
        for command in commands(steps)
        for verb in re.findall(r"\bmake (?:--\w+ )*([a-z]+)", command)
    }


def test_the_jobs_are_found() -> None:
    assert set(TRUSTED) == {
        *("pull-request/diff", "promote/promote", "release/dev", "rollback/rollback")
    }
    assert set(DEPLOYS) == set(TRUSTED) - {"pull-request/diff"}


def test_the_set_up_installs_what_deploying_needs_and_nothing_else() -> None:
    assert verbs(read(FOLDER / "actions" / "setup" / "action.yml")["runs"]["steps"]) == {"tools"}


@pytest.mark.parametrize("name", [*TRUSTED, "release/build"])
def test_what_is_deployed_meets_nothing_that_only_tests_need(name: str) -> None:
    steps = JOBS[name]["steps"]
    assert verbs(steps)
    assert verbs(steps) <= set(DEPLOYING)
    assert not re.search(r"\b(pip|uv|npm|npx)\b", "\n".join(commands(steps)))


@pytest.mark.parametrize("name", TRUSTED)
def test_nothing_is_installed_while_there_are_credentials(name: str) -> None:
    used = [step.get("uses", "") for step in TRUSTED[name]["steps"]]
    signed_in = next(at for at, action in enumerate(used) if action.startswith(CREDENTIALS))
    assert used.index(SETUP) < signed_in


@pytest.mark.parametrize("name", TRUSTED)
def test_credentials_last_as_long_as_the_job_may(name: str) -> None:
    job = TRUSTED[name]
    given = [step["with"] for step in job["steps"] if step.get("uses", "").startswith(CREDENTIALS)]
    for each in given:
        assert each.get("role-duration-seconds", 3600) >= job["timeout-minutes"] * 60


@pytest.mark.parametrize("name", DEPLOYS)
def test_one_job_at_a_time_works_on_an_environment(name: str) -> None:
    """Jobs of other environments do not wait for it, whatever it waits for itself."""
    job = DEPLOYS[name]
    assert job["concurrency"] == {"group": job["environment"], "cancel-in-progress": False}


def test_no_workflow_holds_up_all_environments() -> None:
    for path in (FOLDER / "workflows").glob("*.yml"):
        if any(name.startswith(f"{path.stem}/") for name in {**DEPLOYS, **CALLERS}):
            assert "concurrency" not in read(path), path.name


def test_a_release_goes_through_the_environments_in_their_order() -> None:
    names = [each.name for each in all_environments()]
    promotions = [(job["with"]["from"], job["with"]["to"]) for job in CALLERS.values()]
    assert promotions == list(pairwise(names))
    assert JOBS["release/dev"]["environment"] == names[0]


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yml")), ids=lambda path: path.name)
def test_no_input_becomes_part_of_a_script(path: Path) -> None:
    """GitHub replaces expressions before the shell reads the script."""
    parts = read(path)
    jobs = parts["jobs"].values() if "jobs" in parts else [parts["runs"]]
    for step in (step for job in jobs for step in job.get("steps", ())):
        assert "${{" not in step.get("run", "") + step.get("with", {}).get("script", "")


@pytest.mark.parametrize(
    ("environment", "commit", "code"),
    [
        ("prod", "", 0),
        ("prod", "0123456789ab", 0),
        ("prod", "HEAD", 2),
        ("prod", "abc; id", 2),
        ("prod", "abc\nid", 2),
        ("prod", "$(shell id)", 2),
        ('prod"; id; "', "", 2),
        ("", "", 2),
    ],
)
def test_a_rollback_is_given_only_names(environment: str, commit: str, code: int) -> None:
    """`make` puts them into commands."""
    check, *_ = commands(TRUSTED["rollback/rollback"]["steps"])
    given = {"ENVIRONMENT": environment, "COMMIT": commit}
    done = subprocess.run(["bash", "-e", "-c", check], env=given, check=False, capture_output=True)
    assert done.returncode == code


def test_make_knows_what_it_is_given() -> None:
    for name, job in JOBS.items():
        for command in commands(job.get("steps", [])):
            for variable in re.findall(r"\b([A-Z_]+)=", command):
                assert f"$({variable})" in MAKEFILE, f"{name}: {command}"
