"""Which deployment a rollback chooses, and how it builds that commit outside the checkout."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from operations import rollback
from operations.rollback import built, choose, require_commit, roll_back
from operations.shared import records
from operations.shared.assembly import Build
from operations.shared.exit_codes import CannotBegin, ExitCode, Refused
from operations.shared.records import Record
from operations.shared.repository import git
from tests.unit.operations.builders import commit, record


def deployed(commit: str, *, back_from: str | None = None, **changes: object) -> Record:
    """One deployment. Its commit is one letter, so that a history can be read."""
    return record(
        commit=commit * 40, rolledBackFrom=None if back_from is None else back_from * 40, **changes
    )


def chosen(*history: Record, commit: str | None = None) -> str:
    """The letters of the commits that it goes from and to. The newest deployment comes last."""
    way = choose(list(reversed(history)), commit)
    return f"{way.leaves[0]} to {way.to.commit[0]}"


A, B, C = deployed("a"), deployed("b"), deployed("c")
BROKEN_B, BROKEN_C = deployed("b", smoke="failed"), deployed("c", smoke="failed")
PENDING_C = deployed("c", smoke="pending", codeSha256=None)
BACK_TO_B = deployed("b", back_from="c")
PENDING_BACK_TO_B = deployed("b", back_from="c", smoke="pending", codeSha256=None)


@pytest.mark.parametrize(
    ("history", "way"),
    [
        pytest.param([A, B], "b to a", id="what ran before"),
        pytest.param([A, B, B, B], "b to a", id="not the same commit, however often deployed"),
        pytest.param([A, BROKEN_B, C], "c to a", id="not what failed its smoke test"),
        pytest.param([A, B, BROKEN_C], "c to b", id="from what failed its smoke test"),
        pytest.param([A, deployed("b", clean=False), C], "c to a", id="not what was not clean"),
        pytest.param([A, BROKEN_B, B, C], "c to b", id="what failed at first and then passed"),
        # Repeated.
        pytest.param([A, B, C, BACK_TO_B], "b to a", id="further back the second time"),
        pytest.param(
            [A, B, C, BACK_TO_B, deployed("d")], "d to b", id="never to what was rolled back from"
        ),
        pytest.param(
            [A, B, C, BACK_TO_B, C, deployed("d")], "d to c", id="unless deployed again since"
        ),
        # A rollback that failed.
        pytest.param(
            [A, B, C, deployed("b", back_from="c", smoke="failed")],
            "b to a",
            id="past what failed when it was rolled back to",
        ),
        # Interrupted, or failed before the smoke test.
        pytest.param([A, B, PENDING_C], "c to b", id="from a deployment that did not finish"),
        pytest.param([A, B, PENDING_C, C], "c to b", id="one that was repeated with success"),
        pytest.param([A, B, PENDING_C, deployed("d")], "d to b", id="not to one without an end"),
        pytest.param(
            [A, B, C, PENDING_BACK_TO_B], "c to b", id="a rollback that did not finish, again"
        ),
        pytest.param(
            [A, B, C, PENDING_BACK_TO_B, PENDING_BACK_TO_B], "c to b", id="and once more again"
        ),
        pytest.param(
            [A, B, C, PENDING_BACK_TO_B, BACK_TO_B], "b to a", id="once it finished, further back"
        ),
    ],
)
def test_it_goes_back_to_the_newest_good_commit_that_was_not_rolled_back(
    history: list[Record], way: str
) -> None:
    assert chosen(*history) == way


def test_it_says_why_newer_deployments_are_skipped() -> None:
    way = choose([deployed("e", back_from="d"), deployed("d"), BROKEN_C, PENDING_C, A])
    assert way.to is A
    assert [reason.split(": ")[1] for reason in way.skipped] == [
        f"it was rolled back {A.at}",
        "its smoke test failed",
        "its deployment did not finish",
    ]


@pytest.mark.parametrize("history", [[A], [BROKEN_B, A], [deployed("a", clean=False), A]])
def test_it_is_refused_if_there_is_nothing_to_go_back_to(history: list[Record]) -> None:
    with pytest.raises(Refused, match="nothing before commit aaaaaaaaaaaa"):
        chosen(*history)


def test_it_is_refused_without_a_history(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setattr(records, "history", lambda _: [])
    monkeypatch.setattr("sys.argv", ["rollback", "--environment", "prod"])
    assert rollback.main() == ExitCode.REFUSED
    assert "/business-connections/prod/deployment has no record" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("commit", "way"), [("a", "d to a"), ("a" * 40, "d to a"), ("c", "d to c"), ("b", "d to b")]
)
def test_a_named_commit_is_taken_even_if_its_smoke_test_failed(commit: str, way: str) -> None:
    assert chosen(A, B, BROKEN_C, deployed("b", back_from="c"), deployed("d"), commit=commit) == way


@pytest.mark.parametrize(
    ("commit", "reason"),
    [
        ("f", "no deployment of commit f is recorded, only of dddddddddddd, cccccccccccc, b"),
        ("d", "commit dddddddddddd is what runs now"),
        ("b", "it was not built from a clean commit"),
        ("c", "its deployment did not finish"),
    ],
)
def test_a_commit_that_cannot_be_rolled_back_to_is_refused(commit: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        chosen(A, deployed("b", clean=False), PENDING_C, deployed("d"), commit=commit)


def test_an_ambiguous_commit_is_refused() -> None:
    with pytest.raises(Refused, match="more than one recorded commit begins with a"):
        chosen(A, record(commit="ab" * 20), deployed("d"), commit="a")


def test_a_bundle_that_is_not_the_recorded_one_is_not_deployed(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollback, "built", lambda _: nullcontext(build))
    monkeypatch.setattr(rollback, "deploy", lambda *_, **__: pytest.fail("it deployed"))
    way = choose([C, record(assetHash="d" * 64)])
    with pytest.raises(Refused, match="builds bundle bbbbbbbbbbbb here, but prod ran dddddddddddd"):
        roll_back(way, "prod", unguarded=False, profile=None)


def test_it_deploys_what_it_built_and_says_what_was_rolled_back(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployments = []
    monkeypatch.setattr(rollback, "built", lambda _: nullcontext(build))
    monkeypatch.setattr(rollback, "deploy", lambda *_, **how: deployments.append(how))
    roll_back(choose([C, A]), "prod", unguarded=True, profile="p")
    assert deployments == [{"rolled_back_from": C.commit, "unguarded": True, "profile": "p"}]


# Building what was chosen.


MAKEFILE = """
.PHONY: setup build
setup: .venv/.done node_modules/.done
.venv/.done: requirements-dev.txt
	mkdir -p .venv && echo its own > .venv/.done
node_modules/.done: package-lock.json
	mkdir -p node_modules && echo its own > node_modules/.done
build: setup
	@mkdir -p build/release/assembly
	@test ! -f broken || { echo "it does not build"; exit 1; }
	@git status --porcelain > build/release/status
	@cat .venv/.done node_modules/.done > build/release/tools
	@python3 -c 'import json; print(json.dumps(dict(commit="a", clean=True, committedAt="", \
		environments={}, digest="")))' > build/release/manifest.json
"""


@pytest.fixture
def repository(repository: Path) -> Path:
    """A repository whose tools are installed, and whose `make build` says what it worked with."""
    (repository / "Makefile").write_text(MAKEFILE)
    (repository / ".gitignore").write_text(".venv/\nnode_modules/\nbuild/\n")
    (repository / "requirements-dev.txt").write_text("cdk==1")
    (repository / "package-lock.json").write_text("{}")
    commit("First")
    for tools in (".venv", "node_modules"):
        (repository / tools).mkdir()
        (repository / tools / ".done").write_text("shared\n")
    return repository


def worktrees() -> int:
    return len(git("worktree", "list").splitlines())


def test_an_earlier_commit_is_built_outside_the_checkout_with_the_tools_of_the_checkout(
    repository: Path,
) -> None:
    first = git("rev-parse", "HEAD")
    (repository / "new.py").write_text("")
    commit("Second")
    (repository / "half-done.py").write_text("")
    with built(first) as build:
        release = build.assembly.folder.parent
        assert (release / "tools").read_text() == "shared\nshared\n"
        assert (release / "status").read_text() == "", "a link to the tools is no change"
        assert not (release.parent.parent / "new.py").exists()
        assert worktrees() == 2
    assert worktrees() == 1
    assert not release.exists()
    assert (repository / ".venv" / ".done").read_text() == "shared\n"
    assert (repository / "half-done.py").exists()


def test_a_commit_that_pins_other_tools_installs_its_own(repository: Path) -> None:
    first = git("rev-parse", "HEAD")
    (repository / "requirements-dev.txt").write_text("cdk==2")
    commit("Second")
    with built(first) as build:
        tools = (build.assembly.folder.parent / "tools").read_text()
    assert tools == "its own\nshared\n"
    assert (repository / ".venv" / ".done").read_text() == "shared\n"


def test_a_commit_that_does_not_build_leaves_nothing_behind(repository: Path) -> None:
    (repository / "broken").write_text("")
    broken = commit("Second")
    with pytest.raises(CannotBegin, match="it does not build"), built(broken):
        pass
    assert worktrees() == 1


def test_an_interrupted_rollback_leaves_nothing_behind(repository: Path) -> None:
    with pytest.raises(KeyboardInterrupt), built("HEAD"):
        raise KeyboardInterrupt
    assert worktrees() == 1


def test_a_commit_that_this_clone_lacks_must_be_fetched(repository: Path) -> None:
    require_commit(git("rev-parse", "HEAD"))
    with pytest.raises(CannotBegin, match="git fetch origin " + "a" * 40):
        require_commit("a" * 40)
