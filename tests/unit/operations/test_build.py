"""A build names its commit, and says whether there were uncommitted changes."""

from pathlib import Path

import pytest

from operations import build as builder
from operations.build import build
from operations.shared import repository as repository_paths
from operations.shared.assembly import Assembly, Build
from tests.unit.operations.builders import assembly, commit


@pytest.fixture(autouse=True)
def _first_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The synthesis is always the same."""
    (repository / "app.py").write_text("")
    commit("First")
    monkeypatch.setattr(
        builder, "_synthesize", lambda output, _: assembly(output, {"dev": "b", "prod": "b"})
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
    def slowly(output: Path, _: str | None) -> Assembly:
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
