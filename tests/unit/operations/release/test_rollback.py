"""Which deployment a rollback chooses. `tests/e2e` rolls back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from operations.release import records, rollback
from operations.release.assembly import Build
from operations.release.records import Record
from operations.release.rollback import choose
from operations.release.stored_builds import NotKept
from operations.shared.environment import DeployedEnvironment
from operations.shared.verbs import ExitCode, Refused
from tests.unit.operations.builders import record


def deployed(commit: str, *, back_from: str | None = None, **changes: object) -> Record:
    """One deployment. Its commit is one letter, so that a history can be read."""
    left = None if back_from is None else record(commit=back_from * 40).build
    return record(commit=commit * 40, **{"rolledBackFrom": left, **changes})


def chosen(*history: Record, commit: str | None = None) -> str:
    """The letters of the commits that it goes from and to. The newest deployment comes last."""
    way = choose(list(reversed(history)), commit)
    return f"{way.leaves[0]} to {way.candidates[0].commit[0]}"


A, B, C = deployed("a"), deployed("b"), deployed("c")
DIRTY_A, DIRTY_B = (deployed(it, clean=False, assetHash="e" * 64) for it in "ab")
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
        # Uncommitted changes.
        pytest.param([A, DIRTY_A], "a to a", id="from uncommitted changes to their commit"),
        pytest.param(
            [A, B, DIRTY_B, deployed("b", rolledBackFrom=DIRTY_B.build), C],
            "c to b",
            id="what uncommitted changes were rolled back to is good",
        ),
        pytest.param([A, B, DIRTY_B, DIRTY_B], "b to b", id="however often they were tried"),
        # The bundle of the same commit, built by other tools.
        pytest.param([A, deployed("a", assetHash="e" * 64)], "a to a", id="another bundle of it"),
        # Repeated.
        pytest.param(
            [A, B, C, BACK_TO_B, deployed("d")], "d to b", id="never to what was rolled back from"
        ),
        pytest.param(
            [A, B, C, BACK_TO_B, C, deployed("d")], "d to c", id="unless deployed again since"
        ),
        pytest.param(
            [A, B, C, deployed("b", rolledBackFrom=C.commit), deployed("d")],
            "d to b",
            id="nor what a record of older tools names by its commit",
        ),
        # Interrupted, or failed before the smoke test.
        pytest.param([A, B, PENDING_C], "c to b", id="from a deployment that did not finish"),
        pytest.param([A, B, PENDING_C, C], "c to b", id="one that was repeated with success"),
        pytest.param([A, B, PENDING_C, deployed("d")], "d to b", id="not to one without an end"),
        pytest.param(
            [A, B, C, deployed("a", back_from="c", smoke="pending")],
            "c to a",
            id="a rollback that did not finish, to where somebody sent it",
        ),
        pytest.param(
            [A, B, C, PENDING_BACK_TO_B], "c to b", id="a rollback that did not finish, again"
        ),
        pytest.param(
            [A, B, C, PENDING_BACK_TO_B, PENDING_BACK_TO_B], "c to b", id="and once more again"
        ),
    ],
)
def test_it_goes_back_to_the_newest_good_commit_that_was_not_rolled_back(
    history: list[Record], way: str
) -> None:
    assert chosen(*history) == way


@pytest.mark.parametrize(
    "finished", [BACK_TO_B, deployed("b", back_from="c", smoke="failed")], ids=["good", "failed"]
)
def test_after_a_finished_rollback_somebody_must_say_how_far_back(finished: Record) -> None:
    """One that is run twice by mistake must not go back twice."""
    history = [A, B, C, PENDING_BACK_TO_B, finished]
    with pytest.raises(
        Refused, match=r"rolled back to .* name the commit with COMMIT=\n  - commit a"
    ):
        chosen(*history)
    assert chosen(*history, commit="a") == "b to a"


def test_it_says_why_newer_deployments_are_skipped() -> None:
    back = deployed("e", back_from="d")
    way = choose([deployed("f"), back, deployed("d"), BROKEN_C, PENDING_C, A])
    assert list(way.candidates) == [back, A]
    assert [reason.split(": ")[1] for reason in way.skipped] == [
        f"it was rolled back {A.at}",
        "its smoke test failed",
        "its deployment did not finish",
    ]


def test_what_ran_before_a_deployment_of_the_same_build_that_did_not_finish_is_that_build() -> None:
    """An interrupted deployment of what runs must not lead to an older build."""
    history = [A, B, deployed("b", smoke="pending", codeSha256=None)]
    with pytest.raises(Refused, match="deployed again, and that did not finish"):
        chosen(*history)
    assert chosen(*history, commit="b") == "b to b"


@pytest.mark.parametrize("history", [[A], [BROKEN_B, A], [deployed("a", clean=False), A]])
def test_it_is_refused_if_there_is_nothing_to_go_back_to(history: list[Record]) -> None:
    with pytest.raises(Refused, match="nothing before commit aaaaaaaaaaaa"):
        chosen(*history)


def test_it_is_refused_without_a_history(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setattr(records, "history", lambda _: [])
    monkeypatch.setattr(records, "newest", lambda _: (None, 0))
    monkeypatch.setattr(DeployedEnvironment, "account", "111111111111")
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
    with pytest.raises(Refused, match=f"begins with a: {'ab' * 20}, {'a' * 40}$"):
        chosen(A, record(commit="ab" * 20), deployed("d"), commit="a")


# Fetching what was chosen.


class Kept:
    """The environment `prod` with this history, the newest first, and the builds that are kept."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, build: Build, history: list[Record]
    ) -> None:
        self.missing: list[Record] = []
        self.deployed: list[dict[str, Any]] = []
        self._build = build
        monkeypatch.setattr(DeployedEnvironment, "__init__", lambda self, name, **_: None)
        monkeypatch.setattr(DeployedEnvironment, "name", "prod", raising=False)
        monkeypatch.setattr(records, "history", lambda _: history)
        monkeypatch.setattr(records, "newest", lambda _: (history[0], 7))
        monkeypatch.setattr(rollback, "stored", self._stored)
        monkeypatch.setattr(rollback, "deploy", lambda *_, **how: self.deployed.append(how))

    @contextmanager
    def _stored(self, _: Any, record: Record) -> Iterator[Build]:
        if record in self.missing:
            raise NotKept("its build is not kept")
        yield self._build


def roll_back(monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    monkeypatch.setattr("sys.argv", ["rollback", "--environment", "prod", *more])
    return rollback.main()


def test_it_deploys_what_it_fetched_and_says_what_was_rolled_back(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(monkeypatch, build, [C, A])
    assert roll_back(monkeypatch, "--unguarded", "--profile", "p") == ExitCode.DONE
    assert kept.deployed == [
        {"rolled_back_from": C.build, "seen": 7, "unguarded": True, "profile": "p"}
    ]


def test_it_goes_on_to_the_next_candidate_where_a_build_cannot_be_had(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept(monkeypatch, build, [C, B, A])
    kept.missing = [B]
    assert roll_back(monkeypatch) == ExitCode.DONE
    told = capsys.readouterr().out
    assert "not to commit bbbbbbbbbbbb" in told
    assert "rolling back to commit aaaaaaaaaaaa" in told


def test_it_says_so_if_no_build_can_be_had(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept(monkeypatch, build, [C, B, A])
    kept.missing = [A, B]
    assert roll_back(monkeypatch) == ExitCode.COULD_NOT_BEGIN
    told = capsys.readouterr().err
    assert told.count("its build is not kept") == 2
    assert "make deploy ENVIRONMENT=prod FORCE=1" in told
    assert kept.deployed == []


def test_a_dry_run_deploys_nothing(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(monkeypatch, build, [C, A])
    assert roll_back(monkeypatch, "--dry-run") == ExitCode.DONE
    assert kept.deployed == []
