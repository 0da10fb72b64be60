"""A build and a repository that several tools are given."""

from pathlib import Path

import pytest

from operations.release import assembly as assembly_module
from operations.release.assembly import Build, Manifest
from operations.release.build import git
from operations.shared import repository as repository_paths
from tests.unit.operations.builders import BUNDLE, assembly


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Git repository, which the tools take for their own."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.com")
        monkeypatch.setenv(f"GIT_{name}_DATE", "2026-11-23T01:00:00+01:00")
    monkeypatch.setattr(repository_paths, "ROOT", folder)
    git("init", "--quiet")
    return folder


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """A clean build, which the verbs take.

    As builds of earlier releases, it has `local` with a bundle of its own.
    """
    bundles = {"local": "a" * 64, "dev": BUNDLE, "staging": BUNDLE, "prod": BUNDLE}
    made = assembly(tmp_path / "assembly", bundles)
    manifest = Manifest(
        commit="0123456789abcdef",
        clean=True,
        committedAt="2026-11-23T00:00:00+00:00",
        environments=made.environments(),
        digest=made.digest(),
    )
    manifest.write(tmp_path)
    monkeypatch.setattr(assembly_module, "RELEASE", tmp_path)
    return Build.read(tmp_path)
