"""What is promoted, and what is refused. What AWS would say is made up; `tests/e2e` has it real."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from operations import deploy, promote, quotas
from operations.assembly import Assembly, Build, NoBuild
from operations.promote import Seen, refused_by_build, refused_by_source
from operations.records import Record

BUNDLE = "b" * 64
CODE = "c0de="


def assembly(folder: Path, bundles: dict[str, str]) -> Assembly:
    """Write a cloud assembly with a service stack of one function in each environment."""
    stages = {}
    for environment, bundle in bundles.items():
        stage = folder / f"assembly-{environment}"
        stage.mkdir(parents=True)
        stages[f"assembly-{environment}"] = {
            "type": "cdk:cloud-assembly",
            "properties": {"displayName": environment, "directoryName": stage.name},
        }
        service = {
            "type": "aws:cloudformation:stack",
            "environment": "aws://111111111111/unknown-region",
            "properties": {
                "stackName": f"BusinessConnections-{environment}-Service",
                "templateFile": "service.json",
            },
        }
        (stage / "manifest.json").write_text(json.dumps({"artifacts": {"service": service}}))
        (stage / "service.json").write_text(json.dumps(template(bundle)))
    (folder / "manifest.json").write_text(json.dumps({"artifacts": stages}))
    return Assembly(folder)


def template(bundle: str) -> dict[str, Any]:
    return {
        "Resources": {
            "Ping": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Handler": "lambdas.handlers.websocket.on_ping",
                    "Code": {"S3Bucket": "assets", "S3Key": f"{bundle}.zip"},
                },
            },
            "SomebodyElses": {
                "Type": "AWS::Lambda::Function",
                "Properties": {"Handler": "index.handler", "Code": {"S3Key": "other.zip"}},
            },
        }
    }


def record(**changes: Any) -> Record:
    return Record(
        **{
            "commit": "0123456789abcdef",
            "clean": True,
            "assetHash": BUNDLE,
            "codeSha256": CODE,
            "source": "dev",
            "target": "staging",
            "at": "2026-11-23T00:00:00+00:00",
            "by": "arn:aws:iam::111111111111:user/somebody",
            "smoke": "passed",
            **changes,
        }
    )


def seen(**changes: Any) -> Seen:
    """An environment from which a build may be promoted."""
    good = Seen(record=record(), code={"Ping": CODE}, alarms={"Unreachable": "OK"})
    return replace(good, **changes)


def test_an_assembly_says_which_bundle_each_environment_has_in_the_order_of_promotion(
    build: Build,
) -> None:
    assert list(build.manifest.environments) == ["local", "dev", "staging", "prod"]
    assert build.manifest.environments["prod"] == BUNDLE
    assert build.assembly.stacks("dev")[0].account == "111111111111"
    assert build.assembly.stacks("dev")[0].region is None


def test_nothing_speaks_against_the_next_environment_after_a_good_one(build: Build) -> None:
    assert list(refused_by_build(build, "staging", "prod")) == []
    assert list(refused_by_source(build, "staging", seen())) == []


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
    assert list(refused_by_build(build, source, target)) == [reason]


def test_a_build_with_changes_beside_its_commit_is_refused(build: Build) -> None:
    unclean = replace(build, manifest=replace(build.manifest, clean=False))
    (reason,) = refused_by_build(unclean, "staging", "prod")
    assert "not from a clean commit" in reason


@pytest.mark.parametrize("change", ["assembly-prod/service.json", "assembly-prod/more.json"])
def test_an_assembly_that_was_touched_since_it_was_built_is_refused(
    build: Build, change: str
) -> None:
    (build.assembly.folder / change).write_text(json.dumps(template("other")))
    (reason,) = refused_by_build(build, "staging", "prod")
    assert "not as it was built" in reason


def test_what_a_deployment_leaves_in_an_assembly_does_not_count_as_touching_it(
    build: Build,
) -> None:
    cache = build.assembly.folder / "assembly-prod" / ".cache"
    cache.mkdir()
    (cache / f"{BUNDLE}.zip").write_text("zip")
    (build.assembly.folder / "read.1.lock").write_text("")
    assert build.is_intact()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"record": None}, "nothing is recorded of staging"),
        (
            {"record": record(smoke="pending", codeSha256=None)},
            "to staging, of commit 0123456789ab",
        ),
        (
            {"blind": {"Errors": "FunctionName f1"}},
            "Errors of staging watches something that does not exist",
        ),
        ({"record": record(assetHash="d" * 64)}, "staging does not run this bundle: it runs dddd"),
        ({"code": {"Ping": "other=", "Rest": CODE}}, "somebody changed the code of Ping"),
        ({"code": {"Ping": f"{CODE}+other="}}, "somebody changed the code of Ping"),
        ({"changed_stacks": ["B-staging-Data"]}, "B-staging-Data is another"),
        ({"alarms": {"A": "ALARM", "B": "OK"}}, "not OK but ALARM: A"),
        ({"alarms": {"A": "INSUFFICIENT_DATA"}}, "not OK but INSUFFICIENT_DATA: A"),
        ({"alarms": {}}, "no alarm of staging pages anybody"),
        ({"smoke_failure": "no pong"}, "the smoke test fails on staging: no pong"),
    ],
)
def test_each_thing_that_is_not_as_it_should_be_is_a_reason_of_its_own(
    build: Build, changes: dict[str, Any], reason: str
) -> None:
    (given,) = refused_by_source(build, "staging", seen(**changes))
    assert reason in given


def test_a_refused_promotion_names_all_reasons_and_deploys_nothing(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = seen(alarms={"A": "ALARM"}, smoke_failure="no pong")
    monkeypatch.setattr(promote, "find", lambda *_: None)
    monkeypatch.setattr(promote, "look_at", lambda *_: bad)
    monkeypatch.setattr(promote, "deploy", lambda *_, **__: pytest.fail("it deployed"))
    assert _promote(monkeypatch, build, "dev", "prod") == deploy.REFUSED
    reasons = capsys.readouterr().err
    assert all(text in reasons for text in ("does not follow", "not OK but ALARM", "no pong"))


def test_an_account_that_cannot_hold_what_the_build_reserves_is_a_reason(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(promote, "find", lambda _, name, __: name)
    monkeypatch.setattr(promote, "look_at", lambda *_: seen())
    monkeypatch.setattr(quotas, "refused_by_account", lambda name, _: [f"{name} reserves too much"])
    monkeypatch.setattr(promote, "deploy", lambda *_, **__: pytest.fail("it deployed"))
    assert _promote(monkeypatch, build, "staging", "prod", "--dry-run") == deploy.REFUSED
    assert "prod reserves too much" in capsys.readouterr().err


def test_a_dry_run_only_says_whether_it_would(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(promote, "find", lambda *_: None)
    monkeypatch.setattr(promote, "look_at", lambda *_: seen())
    monkeypatch.setattr(promote, "deploy", lambda *_, **__: pytest.fail("it deployed"))
    assert _promote(monkeypatch, build, "staging", "prod", "--dry-run") == deploy.DONE
    assert "can be promoted from staging to prod" in capsys.readouterr().out


def _promote(
    monkeypatch: pytest.MonkeyPatch, build: Build, source: str, target: str, *more: str
) -> int:
    folder = str(build.assembly.folder.parent)
    monkeypatch.setattr(
        "sys.argv", ["promote", "--from", source, "--to", target, "--build", folder, *more]
    )
    return promote.main()


@pytest.mark.parametrize(("force", "code"), [([], deploy.REFUSED), (["--force"], deploy.DONE)])
def test_only_who_insists_deploys_to_a_later_environment_directly(
    build: Build, monkeypatch: pytest.MonkeyPatch, force: list[str], code: int
) -> None:
    deployed = []
    monkeypatch.setattr(deploy, "deploy", lambda _, name, **__: deployed.append(name))
    folder = str(build.assembly.folder.parent)
    monkeypatch.setattr("sys.argv", ["deploy", "--environment", "prod", "--build", folder, *force])
    assert deploy.main() == code
    assert deployed == (["prod"] if force else [])


def test_without_a_build_one_is_told_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoBuild, match="make build"):
        Build.read(tmp_path)


def test_an_environment_that_the_build_does_not_have_is_named(build: Build) -> None:
    with pytest.raises(NoBuild, match="no environment 'qa': it has local, dev, staging, prod"):
        build.require("qa")
