"""What is promoted and what is refused, with made-up answers of AWS. `tests/e2e` has real ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from operations import promote
from operations.promote import objections_to_build, objections_to_source
from operations.shared import quotas
from operations.shared.assembly import Build, NoBuild
from operations.shared.environment import DeployedEnvironment
from operations.shared.exit_codes import ExitCode
from tests.unit.operations.builders import BUNDLE, CODE, record, source_state, template


def test_an_assembly_has_the_bundle_of_each_environment_in_order_of_promotion(build: Build) -> None:
    assert list(build.manifest.environments) == ["local", "dev", "staging", "prod"]
    assert build.manifest.environments["prod"] == BUNDLE
    assert build.assembly.stacks("dev")[0].account == "111111111111"
    assert build.assembly.stacks("dev")[0].region is None


def test_a_good_build_may_go_from_a_good_environment_to_the_next(build: Build) -> None:
    assert list(objections_to_build(build, "staging", "prod")) == []
    assert list(objections_to_source(build, "staging", source_state())) == []


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("dev", "prod", "prod does not follow dev: the order is dev, staging, prod"),
        ("prod", "staging", "staging does not follow prod: the order is dev, staging, prod"),
        ("prod", "prod", "prod does not follow prod: the order is dev, staging, prod"),
        ("local", "dev", "local and dev do not run the same bundle"),
    ],
)
def test_only_the_next_environment_is_promoted_to(
    build: Build, source: str, target: str, reason: str
) -> None:
    assert list(objections_to_build(build, source, target)) == [reason]


def test_a_build_with_uncommitted_changes_is_refused(build: Build) -> None:
    unclean = replace(build, manifest=replace(build.manifest, clean=False))
    (reason,) = objections_to_build(unclean, "staging", "prod")
    assert "not from a clean commit" in reason


@pytest.mark.parametrize("change", ["assembly-prod/service.json", "assembly-prod/more.json"])
def test_an_assembly_that_was_changed_since_it_was_built_is_refused(
    build: Build, change: str
) -> None:
    (build.assembly.folder / change).write_text(json.dumps(template("other")))
    (reason,) = objections_to_build(build, "staging", "prod")
    assert "the assembly was changed" in reason


def test_what_a_deployment_leaves_in_an_assembly_is_no_change(build: Build) -> None:
    cache = build.assembly.folder / "assembly-prod" / ".cache"
    cache.mkdir()
    (cache / f"{BUNDLE}.zip").write_text("zip")
    (build.assembly.folder / "read.1.lock").write_text("")
    assert build.is_intact()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"record": None}, "make deploy"),
        ({"record": record(smoke="pending", codeSha256=None)}, "make rollback ENVIRONMENT=staging"),
        ({"blind": {"Errors": "FunctionName f1"}}, "FunctionName f1"),
        ({"record": record(assetHash="d" * 64)}, "dddddddddddd"),
        ({"code": {"Ping": "other=", "Rest": CODE}}, "code of Ping"),
        ({"code": {"Ping": f"{CODE}+other="}}, "code of Ping"),
        ({"changed_stacks": ["B-staging-Data"]}, "B-staging-Data"),
        ({"alarms": {"A": "ALARM", "B": "OK"}}, "ALARM: A"),
        ({"alarms": {"A": "INSUFFICIENT_DATA"}}, "INSUFFICIENT_DATA: A"),
        ({"alarms": {}}, "no alarm of staging"),
        ({"smoke_failure": "no pong"}, "no pong"),
    ],
)
def test_each_problem_of_the_source_is_a_reason(
    build: Build, changes: dict[str, Any], reason: str
) -> None:
    (given,) = objections_to_source(build, "staging", source_state(**changes))
    assert reason in given


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What AWS shows of any source environment. A deployment fails the test."""
    state: dict[str, Any] = {}
    monkeypatch.setattr(DeployedEnvironment, "of_build", lambda _, name, **__: name)
    monkeypatch.setattr(promote, "inspect_source", lambda *_: source_state(**state))
    monkeypatch.setattr(promote, "deploy", lambda *_, **__: pytest.fail("it deployed"))
    return state


def test_a_refused_promotion_names_all_reasons(
    build: Build,
    source: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source.update(alarms={"A": "ALARM"}, smoke_failure="no pong")
    monkeypatch.setattr(quotas, "concurrency_shortage", lambda name, _: f"{name} has no room")
    assert _promote(monkeypatch, build, "staging", "prod") == ExitCode.REFUSED
    reasons = capsys.readouterr().err
    assert all(text in reasons for text in ("not OK but ALARM", "no pong", "prod has no room"))


def test_reasons_in_the_build_are_given_without_asking_aws(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(DeployedEnvironment, "of_build", lambda *_, **__: pytest.fail("it asked"))
    assert _promote(monkeypatch, build, "dev", "prod") == ExitCode.REFUSED
    assert "prod does not follow dev" in capsys.readouterr().err


def test_a_dry_run_only_says_whether_it_would(
    build: Build,
    source: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _promote(monkeypatch, build, "staging", "prod", "--dry-run") == ExitCode.DONE
    assert "can be promoted from staging to prod" in capsys.readouterr().out


def _promote(
    monkeypatch: pytest.MonkeyPatch, build: Build, source: str, target: str, *more: str
) -> int:
    folder = str(build.assembly.folder.parent)
    monkeypatch.setattr(
        "sys.argv", ["promote", "--from", source, "--to", target, "--build", folder, *more]
    )
    return promote.main()


def test_without_a_build_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoBuild, match="make build"):
        Build.read(tmp_path)


def test_an_environment_that_the_build_lacks_is_named(build: Build) -> None:
    with pytest.raises(NoBuild, match="no environment 'qa': it has local, dev, staging, prod"):
        build.require("qa")
