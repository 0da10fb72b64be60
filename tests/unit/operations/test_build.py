"""A build names its commit, and says whether there were uncommitted changes."""

import subprocess
from pathlib import Path

import pytest

from operations import build as builder
from operations.build import build
from operations.shared import repository as repository_paths
from operations.shared.assembly import Assembly, Build
from tests.unit.operations.builders import assembly


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, whose synthesis is always the same."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "app.py").write_text("")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.com")
        monkeypatch.setenv(f"GIT_{name}_DATE", "2026-11-23T01:00:00+01:00")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "First"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    monkeypatch.setattr(repository_paths, "ROOT", folder)
    monkeypatch.setattr(
        builder, "_synthesize", lambda output, _: assembly(output, {"dev": "b", "prod": "b"})
    )
    return folder


def test_a_build_of_a_commit_is_clean_and_always_the_same(repository: Path, tmp_path: Path) -> None:
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
    def slowly(output: Path, _: str | None) -> Assembly:
        (repository / "new.py").write_text("")
        return assembly(output, {"dev": "b"})

    monkeypatch.setattr(builder, "_synthesize", slowly)
    assert not build(tmp_path / "build").clean


def test_sources_without_a_repository_are_not_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    monkeypatch.setattr(repository_paths, "ROOT", bare)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    manifest = build(tmp_path / "build")
    assert (manifest.commit, manifest.clean) == ("unknown", False)


def test_a_new_build_replaces_the_old_one(repository: Path, tmp_path: Path) -> None:
    build(tmp_path / "build")
    (tmp_path / "build" / "assembly" / "old").write_text("")
    build(tmp_path / "build")
    assert not (tmp_path / "build" / "assembly" / "old").exists()
