import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from infra import bundle
from infra.bundle import Interpreter, NoInterpreter, build_bundle


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


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """A bundle with bytecode, without dependencies."""
    return build_bundle(
        dependencies=False, interpreter=Interpreter.running(), build=tmp_path / "compiled"
    )


def test_bytecode_is_in_the_bundle_only_if_it_was_asked_for(compiled: Path, source: Path) -> None:
    assert not list(source.rglob("*.pyc"))
    for module in compiled.rglob("*.py"):
        assert Path(importlib.util.cache_from_source(str(module))).is_file(), module
    assert compiled.name != source.name


def test_bytecode_is_the_same_wherever_it_is_compiled(compiled: Path, tmp_path: Path) -> None:
    again = build_bundle(
        dependencies=False,
        interpreter=Interpreter.running(),
        build=tmp_path / "some" / "other" / "place",
    )
    assert _contents(again) == _contents(compiled)
    for path in compiled.rglob("*.pyc"):
        assert str(tmp_path).encode() not in path.read_bytes(), path


def test_bytecode_is_loaded_without_a_look_at_its_source(compiled: Path) -> None:
    """When Lambda unpacks a bundle, its files get times that the bytecode cannot know."""
    rules = compiled / "lambdas" / "domain" / "rules.py"
    rules.write_text("raise AssertionError('compiled again')")
    subprocess.run([sys.executable, "-c", "import lambdas.domain.rules"], cwd=compiled, check=True)


def test_a_build_names_the_bytecode_that_it_brings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interpreter = Interpreter.running()
    build_bundle(dependencies=False, interpreter=interpreter, build=tmp_path)
    assert f"bytecode of {interpreter.version}" in capsys.readouterr().err
    build_bundle(dependencies=False, build=tmp_path)
    assert "no bytecode" in capsys.readouterr().err


def test_bytecode_that_lambda_cannot_load_is_refused() -> None:
    with pytest.raises(NoInterpreter, match=r"must be a release of CPython 3\.14.*is '3\.13\.2'"):
        Interpreter.find("3.13.2")


def test_a_build_fails_where_the_wanted_release_is_not_installed() -> None:
    with pytest.raises(NoInterpreter, match=r"run `uv python install 3\.14\.999`"):
        Interpreter.find("3.14.999")


def test_an_installed_release_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    version = Interpreter.running().version
    monkeypatch.setattr(bundle, "PYTHON_VERSION", version.rpartition(".")[0])
    found = Interpreter.find(version).executable
    answer = subprocess.run([found, "--version"], check=True, capture_output=True, text=True)
    assert answer.stdout.split() == ["Python", version]


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
