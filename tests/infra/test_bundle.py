import hashlib
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from infra import bundle
from infra.bundle import build_bundle


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bundle(dependencies=True, build=tmp_path_factory.mktemp("first"))


def test_building_the_same_source_again_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    again = build_bundle(dependencies=True, build=tmp_path / "some" / "other" / "place")
    assert _contents(again) == _contents(built)


def test_compiled_dependencies_are_for_arm64(built: Path) -> None:
    binaries = list(built.rglob("*.so"))
    assert any("cryptography" in str(path) for path in binaries)
    for path in binaries:
        assert path.read_bytes()[18:20] == b"\xb7\x00", f"{path.name} is not for arm64"


def test_the_bundle_holds_the_source_and_its_dependencies(built: Path) -> None:
    assert (built / "lambdas" / "handlers" / "websocket.py").is_file()
    assert (built / "jwt").is_dir()
    assert (built / "aws_lambda_powertools").is_dir()


def test_the_bundle_holds_nothing_that_a_function_does_not_need(built: Path) -> None:
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
    assert not names & {"boto3", "botocore"}, "the Lambda runtime brings these"


def test_the_bundle_stays_small_for_the_sake_of_cold_starts(built: Path) -> None:
    """Before you raise this number of bytes, find out which dependency has grown."""
    assert bundle.size(built) < 30_000_000


def test_a_build_prints_the_size_of_the_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build_bundle(dependencies=False, build=tmp_path)
    assert f"bundle: {bundle.size(folder) / 1e6:.1f} MB" in capsys.readouterr().err
    build_bundle(dependencies=False, build=tmp_path)
    assert capsys.readouterr().err == "", "nothing was built"


def test_dependencies_are_not_installed_again_while_the_lock_is_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_bundle(dependencies=True, build=tmp_path)

    def fail(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("installed again")

    monkeypatch.setattr(subprocess, "run", fail)
    assert (build_bundle(dependencies=True, build=tmp_path) / "jwt").is_dir()


def test_a_failed_installation_leaves_no_files_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"no-such-package-anywhere==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(bundle, "LOCK", lock)
    with pytest.raises(subprocess.CalledProcessError):
        build_bundle(dependencies=True, build=tmp_path / "build")
    assert not [path for path in (tmp_path / "build").rglob("*") if path.is_file()]


def test_a_bundle_without_dependencies_holds_the_source_only(source: Path) -> None:
    assert [path.name for path in source.iterdir()] == ["lambdas"]


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
