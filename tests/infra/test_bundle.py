import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from infra import bundle
from infra.bundle import build_bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bundle(dependencies=True, build=tmp_path_factory.mktemp("first"))


def test_the_same_source_gives_the_same_bytes_in_another_folder(
    built: Path, tmp_path: Path
) -> None:
    again = build_bundle(dependencies=True, build=tmp_path / "some" / "other" / "place")
    assert _contents(again) == _contents(built)


def test_dependencies_are_for_the_machine_that_runs_them(built: Path) -> None:
    binaries = [path.name for path in built.rglob("*.so")]
    assert any("cryptography" in str(path) for path in built.rglob("*.so"))
    for name in binaries:
        assert "x86_64" not in name
    for path in built.rglob("*.so"):
        assert path.read_bytes()[18:20] == b"\xb7\x00", f"{path.name} is not for arm64"


def test_the_bundle_holds_the_source_under_its_own_name(built: Path) -> None:
    assert (built / "lambdas" / "handlers" / "websocket.py").is_file()
    assert (built / "jwt").is_dir()
    assert (built / "aws_lambda_powertools").is_dir()


def test_nothing_is_in_the_bundle_that_does_not_belong(built: Path) -> None:
    names = {path.name for path in built.rglob("*")}
    assert not names & {
        "__pycache__",
        "bin",
        "RECORD",
        "INSTALLER",
        "REQUESTED",
        "direct_url.json",
        "requirements.txt",
        "requirements.in",
        "tests",
    }
    assert not names & {"boto3", "botocore"}, "the Lambda runtime has these"


def test_the_bundle_stays_small_which_is_what_a_cold_start_reads(built: Path) -> None:
    """Unpacked. A megabyte more is a dependency more: know which one, before raising the bound."""
    assert bundle.size(built) == sum(p.stat().st_size for p in built.rglob("*") if p.is_file())
    assert bundle.size(built) < 30_000_000


def test_the_size_is_told_when_it_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build_bundle(dependencies=False, build=tmp_path)
    assert f"bundle: {bundle.size(folder) / 1e6:.1f} MB" in capsys.readouterr().err
    build_bundle(dependencies=False, build=tmp_path)
    assert capsys.readouterr().err == ""


def test_an_unchanged_lock_needs_no_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_bundle(dependencies=True, build=tmp_path)

    def unreachable(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("installed again")

    monkeypatch.setattr(subprocess, "run", unreachable)
    assert (build_bundle(dependencies=True, build=tmp_path) / "jwt").is_dir()


def test_a_failed_installation_leaves_nothing_behind_that_looks_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"no-such-package-anywhere==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(bundle, "LOCK", lock)
    with pytest.raises(subprocess.CalledProcessError):
        build_bundle(dependencies=True, build=tmp_path / "build")
    assert not [path for path in (tmp_path / "build").rglob("*") if path.is_file()]


def test_the_source_alone_brings_no_dependencies(source: Path) -> None:
    assert [path.name for path in source.iterdir()] == ["lambdas"]


def test_every_dependency_is_locked_with_its_hashes() -> None:
    lock = (ROOT / "lambdas" / "requirements.txt").read_text()
    requirements = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n", "", lock).strip())
    for requirement in requirements:
        assert re.match(r"[\w.-]+==[\w.]+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement
    for wanted in ("aws-lambda-powertools==3.37.0", "pyjwt==2.15.1", "pydantic==2."):
        assert any(requirement.startswith(wanted) for requirement in requirements)
    assert not any(requirement.startswith("boto") for requirement in requirements)


def test_the_locks_name_no_index_and_no_path() -> None:
    python = (ROOT / "lambdas" / "requirements.txt").read_text()
    assert "://" not in python
    assert "index-url" not in python
    node = json.loads((ROOT / "package-lock.json").read_text())
    assert not [package for package in node["packages"].values() if "resolved" in package]


def test_the_cli_and_the_library_are_pinned() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    assert package["devDependencies"]["aws-cdk"] == "2.1148.1"
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert re.fullmatch(r"[\w.-]+==[\w.]+|\s*#.*|", line), line


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
