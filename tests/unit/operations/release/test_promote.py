"""What is promoted and what is refused, with made-up answers of AWS. `tests/e2e` has real ones."""

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from operations.release import promote, quotas, records
from operations.release.assembly import Build, NoBuild
from operations.release.promote import (
    objections_to_build,
    objections_to_source,
    what_time_will_tell,
)
from operations.release.records import Record
from operations.shared.verbs import ExitCode
from tests.unit.operations.builders import BUNDLE, CODE, alarm, record, source_state, template


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
        ({"record": record(smoke="failed")}, "the smoke test failed when this build was deployed"),
        ({"missing_stacks": ["B-staging-Service"], "alarms": {}}, "it has no B-staging-Service"),
        ({"record": record(assetHash="d" * 64)}, "dddddddddddd"),
        ({"code": {"Ping": "other=", "Rest": CODE}}, "code of Ping"),
        ({"code": {"Ping": f"{CODE}+other="}}, "code of Ping"),
        ({"changed_stacks": ["B-staging-Data"]}, "B-staging-Data"),
        ({"alarms": {"A": alarm("ALARM"), "B": alarm()}}, "ALARM: A"),
        ({"alarms": {"B": alarm(pages=False)}}, "no alarm of staging"),
    ],
)
def test_each_problem_of_the_source_is_a_reason(
    build: Build, changes: dict[str, Any], reason: str
) -> None:
    (given,) = objections_to_source(build, "staging", source_state(**changes))
    assert reason in given


# What ends by itself: alarms that have not judged this build yet.

TOOK_OVER = datetime.fromisoformat(record().at)


def waits_for(minutes: float, alarms: dict[str, Any]) -> list[str]:
    """What time will tell so long after the build took over."""
    now = TOOK_OVER + timedelta(minutes=minutes)
    return list(what_time_will_tell("staging", source_state(alarms=alarms), now))


def test_the_alarm_that_looks_back_furthest_must_have_judged_this_build_alone() -> None:
    """Until then, "OK" is also about the build before it. The evaluation takes two minutes more."""
    alarms = {"A": alarm(minutes=15), "Member": alarm("ALARM", pages=False, minutes=30)}
    (reason,) = waits_for(31, alarms)
    assert "look back up to 30 minutes" in reason
    assert "from 00:32:00 UTC on: it took over at 00:00:00" in reason
    assert waits_for(32, alarms) == []


def test_an_alarm_without_data_has_judged_nothing() -> None:
    (reason,) = waits_for(60, {"A": alarm("INSUFFICIENT_DATA"), "B": alarm()})
    assert reason == "alarms of staging that page are not OK but INSUFFICIENT_DATA: A"


class Source:
    """What AWS shows of any source environment. A deployment fails the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: list[dict[str, Any]] = [{}]
        self.newest: Record | None = source_state().record
        self.smoke_failure: str | None = None
        self.smoke_tests = 0
        self.now = TOOK_OVER + timedelta(hours=1)
        monkeypatch.setattr(Build, "environment", lambda _, name, **__: SimpleNamespace(name=name))
        monkeypatch.setattr(promote, "require_deployable", lambda *_: None)
        monkeypatch.setattr(promote, "inspect_source", lambda *_: self._inspect())
        monkeypatch.setattr(records, "newest", lambda _: (self.newest, 1))
        monkeypatch.setattr(promote, "deployment_lock", lambda *_: nullcontext())
        monkeypatch.setattr(promote, "smoke", lambda *_: self._smoke())
        monkeypatch.setattr(promote, "_now", lambda: self.now)
        monkeypatch.setattr(promote, "time", SimpleNamespace(sleep=self._sleep))
        monkeypatch.setattr(quotas, "concurrency_shortage", lambda *_: None)
        monkeypatch.setattr(promote, "deploy", lambda *_, **__: pytest.fail("it deployed"))

    def _inspect(self) -> Any:
        first, *later = self.states
        self.states = later or [first]
        return source_state(**first)

    def _smoke(self) -> str | None:
        self.smoke_tests += 1
        return self.smoke_failure

    def _sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def source(build: Build, monkeypatch: pytest.MonkeyPatch) -> Source:
    return Source(monkeypatch)


def test_a_refused_promotion_names_all_reasons(
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source.states = [{"alarms": {"A": alarm("ALARM"), "B": alarm("INSUFFICIENT_DATA")}}]
    source.smoke_failure = "no pong"
    monkeypatch.setattr(quotas, "concurrency_shortage", lambda target, _: f"{target.name} is full")
    assert _promote(monkeypatch, "staging", "prod") == ExitCode.REFUSED
    reasons = capsys.readouterr().err
    expected = ("not OK but ALARM", "but INSUFFICIENT_DATA", "no pong", "prod is full")
    assert all(text in reasons for text in expected)


def test_reasons_in_the_build_are_given_without_asking_aws(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Build, "environment", lambda *_, **__: pytest.fail("it asked"))
    monkeypatch.setattr(promote, "require_deployable", lambda *_: None)
    assert _promote(monkeypatch, "dev", "prod") == ExitCode.REFUSED
    assert "prod does not follow dev" in capsys.readouterr().err


def test_a_dry_run_only_says_whether_it_would(
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _promote(monkeypatch, "staging", "prod", "--dry-run") == ExitCode.DONE
    assert "can be promoted from staging to prod" in capsys.readouterr().out
    assert source.smoke_tests == 0, "a dry run writes nothing, and makes no user"


def test_a_source_that_is_being_deployed_to_is_left_alone(
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source.states = [{"record": record(smoke="pending", codeSha256=None)}]
    assert _promote(monkeypatch, "staging", "prod") == ExitCode.REFUSED
    assert "is not finished: wait for it" in capsys.readouterr().err
    assert source.smoke_tests == 0


def test_a_source_that_was_deployed_to_while_it_was_judged_is_refused(
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The smoke test would pass or fail on another build."""
    source.newest = record(commit="another")
    assert _promote(monkeypatch, "staging", "prod") == ExitCode.REFUSED
    assert "somebody has deployed to staging meanwhile" in capsys.readouterr().err
    assert source.smoke_tests == 0


NO_DATA = {"alarms": {"A": alarm("INSUFFICIENT_DATA")}}


@pytest.mark.parametrize(
    ("states", "code", "minutes"),
    [
        pytest.param([NO_DATA, NO_DATA, {}], ExitCode.DONE, 1, id="until there is data"),
        pytest.param(
            [NO_DATA, {"alarms": {"A": alarm("ALARM")}}], ExitCode.REFUSED, 0.5, id="not any longer"
        ),
        pytest.param([NO_DATA], ExitCode.REFUSED, 60.5, id="for an hour at most"),
    ],
)
def test_it_waits_for_what_time_will_tell(
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    states: list[dict[str, Any]],
    code: int,
    minutes: float,
) -> None:
    source.states, began = states, source.now
    assert _promote(monkeypatch, "staging", "prod", "--wait", "--dry-run") == code
    assert source.now - began == timedelta(minutes=minutes)


def test_it_waits_until_the_alarms_have_judged_the_build(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.now = TOOK_OVER + timedelta(minutes=3)
    assert _promote(monkeypatch, "staging", "prod", "--wait", "--dry-run") == ExitCode.DONE
    assert source.now == TOOK_OVER + timedelta(minutes=17)


def _promote(monkeypatch: pytest.MonkeyPatch, source: str, target: str, *more: str) -> int:
    monkeypatch.setattr("sys.argv", ["promote", "--from", source, "--to", target, *more])
    return promote.main()


def test_without_a_build_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoBuild, match="make build"):
        Build.read(tmp_path)


def test_an_environment_that_the_build_lacks_is_named(build: Build) -> None:
    with pytest.raises(NoBuild, match="no environment 'qa': it has local, dev, staging, prod"):
        build.require("qa")
