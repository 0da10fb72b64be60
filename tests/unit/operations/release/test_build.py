"""A build names its commit, and says whether there were uncommitted changes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from select import select

import pytest

from operations.release import build as builder
from operations.release.assembly import Assembly, Build
from operations.release.build import BuildFailed, build
from operations.shared import repository as repository_paths
from tests.runbook import ROOT
from tests.unit.operations.builders import assembly, commit


@pytest.fixture(autouse=True)
def _first_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The synthesis is always the same."""
    (repository / "app.py").write_text("")
    commit("First")
    monkeypatch.setattr(
        builder, "_synthesize", lambda output: assembly(output, {"dev": "b", "prod": "b"})
    )


def test_a_build_of_a_commit_is_clean_and_always_the_same(tmp_path: Path) -> None:
    first, second = build(tmp_path / "first"), build(tmp_path / "second")
    assert first == second
    assert first.clean
    assert len(first.commit) == 40
    assert first.committedAt == "2026-11-23T00:00:00+00:00"
    assert first.environments == {"dev": "b", "prod": "b"}
    assert Build.read(tmp_path / "first").is_intact()


@pytest.mark.parametrize("name", ["app.py", "new.py"])
def test_an_uncommitted_change_makes_a_build_unclean(
    repository: Path, tmp_path: Path, name: str
) -> None:
    (repository / name).write_text("changed = True")
    assert not build(tmp_path / "build").clean


def test_a_change_during_the_build_makes_it_unclean(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(output: Path) -> Assembly:
        (repository / "new.py").write_text("")
        return assembly(output, {"dev": "b"})

    monkeypatch.setattr(builder, "_synthesize", slowly)
    assert not build(tmp_path / "build").clean


def test_sources_without_a_repository_are_not_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    monkeypatch.setattr(repository_paths, "ROOT", bare)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    manifest = build(tmp_path / "build")
    assert (manifest.commit, manifest.clean) == ("unknown", False)


def test_a_new_build_replaces_the_old_one(tmp_path: Path) -> None:
    build(tmp_path / "build")
    (tmp_path / "build" / "assembly" / "old").write_text("")
    build(tmp_path / "build")
    assert not (tmp_path / "build" / "assembly" / "old").exists()


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (
            {"domain/a.py": "x = 1\ny = = 2\n", "handlers/b.py": "def"},
            "lambdas/domain/a.py:2: SyntaxError: invalid syntax\n"
            "lambdas/handlers/b.py:1: SyntaxError: invalid syntax",
        ),
        ({"a.py": "if x:\ny\n"}, "lambdas/a.py:2: IndentationError: expected an indented block"),
        ({"a.py": "\0"}, "lambdas/a.py"),
        ({"a.py": "x = '\udcff'"}, "lambdas/a.py"),
        (
            {"domain/a.py": "x = 1\n", "handlers/b.py": "\nfrom lambdas.domain.a import y\n"},
            "lambdas/handlers/b.py:2: ImportError: cannot import name 'y'",
        ),
        (
            {"domain/a.py": "x = y\n", "handlers/b.py": "import lambdas.domain.a\n"},
            "lambdas/domain/a.py:1: NameError: name 'y' is not defined",
        ),
        ({"handlers/b.py": "import nothing\n"}, "lambdas/handlers/b.py:1: ModuleNotFoundError"),
    ],
)
def test_sources_that_cannot_run_are_named_and_the_last_build_stays(
    repository: Path, tmp_path: Path, sources: dict[str, str], told: str
) -> None:
    build(tmp_path / "build")
    for name, text in sources.items():
        file = repository / "lambdas" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, errors="surrogateescape")
    with pytest.raises(BuildFailed) as failed:
        build(tmp_path / "build")
    assert str(failed.value).startswith(told)
    assert "Traceback" not in str(failed.value)
    assert Build.read(tmp_path / "build").is_intact()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_build_ends_with_all_that_it_started(
    tmp_path: Path, signum: signal.Signals
) -> None:
    started, cdk = tmp_path / "started", tmp_path / "cdk"
    os.mkfifo(started)
    # The CDK CLI starts a program that runs until it is killed.
    cdk.write_text(f"#!/bin/sh\n{{ echo $$; exec tail -f /dev/null; }} > {started} &\nwait\n")
    cdk.chmod(0o755)
    script = (
        "import sys; from pathlib import Path; from operations.release import build;"
        f"build.repository.CDK = Path({str(cdk)!r});"
        f"build.RELEASE = Path({str(tmp_path / 'build')!r}); sys.exit(build.main())"
    )
    command = [sys.executable, "-c", script]
    pipe = os.open(started, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert select([pipe], (), (), 30)[0]
        assert os.read(pipe, 100)
        process.send_signal(signum)
        _, told = process.communicate(timeout=30)
    assert select([pipe], (), (), 30)[0]
    assert os.read(pipe, 100) == b"", "nobody holds the other end any more"
    os.close(pipe)
    assert process.returncode == 130
    assert told.splitlines()[1:] == ["interrupted: there is no build"]
