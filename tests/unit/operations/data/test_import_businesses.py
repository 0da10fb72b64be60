"""The import writes what a file says, and overwrites nobody else's settings."""

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import IMPORT, BusinessId, UserId
from lambdas.domain.model import ActingAs, Business, Pause, Settings
from lambdas.domain.opening_hours import OpeningHours
from operations.data.business_file import BadLine, Declaration
from operations.data.import_businesses import (
    IN_FLIGHT,
    WAITING,
    Importer,
    ImportRun,
    Outcome,
    Summary,
    main,
)
from tests.builders import (
    B1,
    NOW,
    RULES,
    U1,
    FakeClock,
    business,
    declare,
    no_wait,
    real,
    settings,
    virtual,
)
from tests.fakes import MemoryStore
from tests.unit.operations.builders import many_lines

ACCEPTING = Declaration(2, B1, accepting=True)
CLOSED = Declaration(2, B1, accepting=False)


def hours(*exceptions: str) -> OpeningHours:
    """Open on Fridays (NOW is one), and closed on these dates."""
    return OpeningHours.read(
        {
            "timeZone": "Europe/Berlin",
            "weekly": {"fr": [["08:00", "22:00"]]},
            "exceptions": {date: [] for date in exceptions},
        }
    )


PAST, COMING = "2027-01-02", "2027-12-24"
"""Dates before and after NOW."""


def importer(store: MemoryStore, **options: bool) -> Importer:
    return Importer(store, FakeClock(), no_wait, **options)


def imported(**changes: object) -> Settings:
    return settings(
        **{
            "updated_by": IMPORT,
            "updated_as": ActingAs.IMPORT,
            "declared_by": IMPORT,
            "updated_at": NOW,
            **changes,
        }
    )


class TestOneBusiness:
    def test_that_nobody_declared_is_created(self) -> None:
        store = MemoryStore()
        assert importer(store).take(replace(ACCEPTING, expects_socket=False)) is Outcome.CREATED
        assert store.load(B1) == business(declared=imported(expects_socket=False))

    def test_keeps_the_devices_that_were_connected_before(self) -> None:
        store = MemoryStore()
        store.seed(business(real()))
        importer(store).take(CLOSED)
        assert store.load(B1) == business(real(), declared=imported(available=False))

    def test_that_is_as_the_file_says_is_not_written_whoever_wrote_it(self) -> None:
        for stored in (settings(version=7), imported(version=7, updated_at=NOW - 5)):
            store = MemoryStore()
            store.seed(business(virtual(), declared=stored))
            for overwrite in (False, True):
                taken = importer(store, overwrite=overwrite).take(ACCEPTING)
                assert taken is Outcome.UNCHANGED
                assert store.load(B1) == business(virtual(), declared=stored)

    @pytest.mark.parametrize(
        "declared", [CLOSED, replace(ACCEPTING, expects_socket=False)], ids=["accepting", "socket"]
    )
    def test_that_an_import_wrote_is_updated(self, declared: Declaration) -> None:
        store = MemoryStore()
        store.seed(business(declared=imported(version=3, updated_at=NOW - 5)))
        assert importer(store).take(declared) is Outcome.UPDATED
        assert store.load(B1).settings == imported(
            version=4,
            available=declared.accepting,
            expects_socket=declared.expects_socket is not False,
        )

    @pytest.mark.parametrize("author", ["u1", ""], ids=["a user", "by hand"])
    def test_that_somebody_else_wrote_is_left_alone(self, author: str) -> None:
        store = MemoryStore()
        before = business(virtual(), declared=settings(updated_by=UserId(author)))
        store.seed(before)
        assert importer(store).take(CLOSED) is Outcome.SKIPPED_NEWER
        assert store.load(B1) == before

    def test_that_somebody_else_wrote_is_changed_when_told_to(self) -> None:
        store = MemoryStore()
        store.seed(business(real(), virtual("u1"), virtual("u2"), declared=settings(version=3)))
        assert importer(store, overwrite=True).take(CLOSED) is Outcome.UPDATED
        # No virtual connection survives; a socket does.
        closed = imported(version=4, available=False)
        assert store.load(B1) == business(real(), declared=closed)

    def test_keeps_its_virtual_connections_when_it_stays_open(self) -> None:
        store = MemoryStore()
        store.seed(business(virtual(), declared=settings()))
        declared = replace(ACCEPTING, expects_socket=False)
        assert importer(store, overwrite=True).take(declared) is Outcome.UPDATED
        assert store.load(B1).virtual == (virtual(),)

    @pytest.mark.parametrize(
        ("declared", "kept"), [(replace(ACCEPTING, expects_socket=False), True), (CLOSED, False)]
    )
    def test_stays_paused_unless_it_is_declared_anew(
        self, declared: Declaration, kept: bool
    ) -> None:
        store = MemoryStore()
        store.seed(business(declared=settings(pause=Pause(NOW + 60, "busy"))))
        importer(store, overwrite=True).take(declared)
        written = store.load(B1).settings
        assert written is not None
        assert written.pause == (Pause(NOW + 60, "busy") if kept else None)

    @pytest.mark.parametrize(
        ("operators", "kept"), [(True, True), (False, False)], ids=["an operator's", "its own"]
    )
    def test_that_is_declared_anew_keeps_only_the_pause_of_an_operator(
        self, operators: bool, kept: bool
    ) -> None:
        store = MemoryStore()
        pause = Pause(NOW + 60, by=U1, by_operator=operators)
        store.seed(business(declared=settings(available=False, pause=pause)))
        importer(store, overwrite=True).take(ACCEPTING)
        assert store.load(B1).settings == imported(version=2, pause=pause if kept else None)

    @pytest.mark.parametrize(
        "stored", [None, imported(version=3)], ids=["a new one", "a known one"]
    )
    def test_gets_the_hours_of_the_file_without_past_exceptions(
        self, stored: Settings | None
    ) -> None:
        store = MemoryStore()
        store.seed(business(declared=stored))
        declared = replace(ACCEPTING, opening_hours=hours(PAST, COMING))
        expected = Outcome.UPDATED if stored else Outcome.CREATED
        assert importer(store).take(declared) is expected
        assert store.load(B1).settings == imported(
            version=4 if stored else 1, opening_hours=hours(COMING)
        )

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_keeps_what_the_file_does_not_mention(self, overwrite: bool) -> None:
        store = MemoryStore()
        stored = imported(expects_socket=False, opening_hours=hours())
        store.seed(business(declared=stored))
        assert importer(store, overwrite=overwrite).take(ACCEPTING) is Outcome.UNCHANGED
        assert importer(store, overwrite=overwrite).take(CLOSED) is Outcome.UPDATED
        assert store.load(B1).settings == replace(stored, version=2, available=False)

    def test_loses_its_hours_only_if_the_file_says_so(self) -> None:
        store = MemoryStore()
        store.seed(business(declared=imported(opening_hours=hours())))
        importer(store).take(replace(ACCEPTING, expects_socket=False))
        kept = imported(version=2, expects_socket=False, opening_hours=hours())
        assert store.load(B1).settings == kept
        removed = replace(ACCEPTING, expects_socket=False, opening_hours=None)
        assert importer(store).take(removed) is Outcome.UPDATED
        assert store.load(B1).settings == replace(kept, version=3, opening_hours=None)

    @pytest.mark.parametrize("said", [hours(COMING), hours(PAST, COMING)], ids=["without", "with"])
    @pytest.mark.parametrize("kept", [hours(COMING), hours(PAST, COMING)], ids=["without", "with"])
    def test_is_not_written_for_an_exception_that_is_past(
        self, kept: OpeningHours, said: OpeningHours
    ) -> None:
        store = MemoryStore()
        stored = settings(opening_hours=kept)
        store.seed(business(declared=stored))
        assert importer(store).take(replace(ACCEPTING, opening_hours=said)) is Outcome.UNCHANGED
        assert store.load(B1).settings == stored

    def test_that_has_other_hours_is_left_alone_unless_told_to(self) -> None:
        store = MemoryStore()
        store.seed(business(virtual(), declared=settings(opening_hours=hours())))
        declared = replace(ACCEPTING, opening_hours=hours(COMING))
        assert importer(store).take(declared) is Outcome.SKIPPED_NEWER
        assert store.load(B1).settings == settings(opening_hours=hours())
        assert importer(store, overwrite=True).take(declared) is Outcome.UPDATED
        written = store.load(B1)
        assert written.settings is not None
        assert written.settings.opening_hours == hours(COMING)
        assert written.virtual == (virtual(),)

    def test_is_not_touched_by_a_dry_run_that_says_what_it_would_do(self) -> None:
        store = MemoryStore()
        assert importer(store, dry_run=True).take(ACCEPTING) is Outcome.CREATED
        assert store.load(B1) == business()
        store.seed(business(virtual(), declared=settings()))
        would = importer(store, dry_run=True, overwrite=True).take(CLOSED)
        assert would is Outcome.UPDATED
        assert store.load(B1) == business(virtual(), declared=settings())


@dataclass
class InterveningStore(MemoryStore):
    """Calls `intervene` between a read and the write after it."""

    intervene: Callable[[], object] | None = None

    def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
        found = super().load(business_id, consistent=consistent)
        intervene, self.intervene = self.intervene, None
        if intervene is not None:
            intervene()
        return found


class TestRacing:
    def store_with_a_call(self, *, before: Business, available: bool) -> InterveningStore:
        """A store where a user's availability call comes between the import's read and write."""
        store = InterveningStore(intervene=lambda: declare(store, available))
        store.seed(before)
        return store

    def test_a_first_declaration_by_a_user_wins(self) -> None:
        store = self.store_with_a_call(before=business(), available=True)
        assert importer(store).take(CLOSED) is Outcome.SKIPPED_NEWER
        assert store.load(B1) == business(
            virtual(left=RULES.virtual_lease), declared=settings(updated_at=NOW, declared_by=U1)
        )

    def test_a_change_by_a_user_wins_over_an_update(self) -> None:
        before = business(declared=imported())
        store = self.store_with_a_call(before=before, available=False)
        taken = importer(store).take(replace(ACCEPTING, expects_socket=False))
        assert taken is Outcome.SKIPPED_NEWER
        assert store.load(B1).settings == settings(
            version=2, available=False, updated_at=NOW, declared_by=U1
        )

    def test_an_overwrite_leaves_no_virtual_connection_of_the_call_behind(self) -> None:
        store = self.store_with_a_call(before=business(), available=True)
        assert importer(store, overwrite=True).take(CLOSED) is Outcome.UPDATED
        closed = imported(version=2, available=False)
        assert store.load(B1) == business(declared=closed)


@dataclass
class BusyStore(MemoryStore):
    """Refuses the first writes of each business."""

    refusals: int = 0
    refused: dict[BusinessId, int] = field(default_factory=dict)

    def write_settings(self, before: Business, settings: Settings, **changes: Any) -> None:
        so_far = self.refused.get(before.business_id, 0)
        if so_far < self.refusals:
            self.refused[before.business_id] = so_far + 1
            raise Unavailable("the table did not answer")
        super().write_settings(before, settings, **changes)


class TestRun:
    def run(
        self, store: MemoryStore, lines: Sequence[Declaration | BadLine], **options: bool
    ) -> tuple[Summary, str]:
        report = io.StringIO()
        summary = ImportRun(importer(store, **options), report).over(lines)
        return summary, report.getvalue()

    def test_a_second_run_changes_nothing(self) -> None:
        store = MemoryStore()
        assert self.run(store, many_lines(200))[0] == Summary(read=200, created=200)
        after = dict(store.settings)
        assert self.run(store, many_lines(200))[0] == Summary(read=200, unchanged=200)
        assert store.settings == after

    def test_bad_lines_are_reported_and_the_others_are_written(self) -> None:
        store = MemoryStore()
        store.seed(business(declared=settings()))
        summary, told = self.run(
            store, [CLOSED, BadLine(3, "id", "is wrong, must be right"), *many_lines(5)[2:]]
        )
        assert summary == Summary(read=5, created=3, skippedNewer=1, bad=1)
        assert told == "line 3: id: is wrong, must be right\n"
        assert store.settings.keys() == {B1, "b4", "b5", "b6"}

    def test_the_first_line_of_a_business_counts_and_later_ones_are_bad(self) -> None:
        store = MemoryStore()
        bad = BadLine(2, "accepting", "is wrong, must be right")
        lines: list[Declaration | BadLine] = [bad]
        lines += [replace(ACCEPTING, line=3), replace(CLOSED, line=4), replace(CLOSED, line=5)]
        summary, told = self.run(store, lines)
        assert summary == Summary(read=4, created=1, bad=3)
        assert "line 4: id: b1 is on line 3 already, must come once\n" in told
        assert "line 5: id: b1 is on line 3 already" in told
        assert store.load(B1).settings == imported()

    def test_a_busy_table_is_asked_again(self) -> None:
        store = BusyStore(refusals=3)
        assert self.run(store, many_lines(10))[0] == Summary(read=10, created=10)

    def test_a_line_that_the_table_never_takes_is_bad(self) -> None:
        store = BusyStore(refusals=1000)
        summary, told = self.run(store, many_lines(2))
        assert summary == Summary(read=2, bad=2)
        assert sorted(told.splitlines()) == [
            f"line {n}: table: b{n} may not be written (the table did not answer),"
            " run the import again"
            for n in (2, 3)
        ]


@dataclass
class CountingStore(MemoryStore):
    """Notes how many callers are inside at once, and how far the reader is ahead of them."""

    inside: int = 0
    most: int = 0
    done: int = 0
    full: threading.Event = field(default_factory=threading.Event)
    too_full: threading.Event = field(default_factory=threading.Event)
    count: threading.Lock = field(default_factory=threading.Lock)

    def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
        with self.count:
            self.inside += 1
            self.most = max(self.most, self.inside)
            first = not self.full.is_set()
            if self.inside == IN_FLIGHT:
                self.full.set()
            if self.inside > IN_FLIGHT:
                self.too_full.set()
        self.full.wait(10)  # until all that may run at once are here
        if first:
            self.too_full.wait(0.2)  # so that one too many could arrive
        try:
            return super().load(business_id, consistent=consistent)
        finally:
            with self.count:
                self.inside -= 1
                self.done += 1


def test_five_thousand_lines_are_taken_with_few_in_flight_and_few_read_ahead() -> None:
    store = CountingStore()
    ahead = 0

    def lines() -> Iterator[Declaration | BadLine]:
        nonlocal ahead
        for number, line in enumerate(many_lines(5000)):
            ahead = max(ahead, number - store.done)
            yield line

    summary = ImportRun(importer(store), io.StringIO()).over(lines())
    assert summary == Summary(read=5000, created=5000)
    assert store.most == IN_FLIGHT
    # One more than may wait: the line that is read while the others are waited for.
    assert ahead <= IN_FLIGHT + WAITING


def test_an_error_of_aws_ends_the_run_with_a_right_summary() -> None:
    class Expired(MemoryStore):
        def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
            if business_id == "b50":
                raise ClientError({"Error": {"Code": "ExpiredTokenException"}}, "Query")
            return super().load(business_id, consistent=consistent)

    store = Expired()
    run = ImportRun(importer(store), io.StringIO())
    with pytest.raises(ClientError):
        run.over(many_lines(1000))
    assert run.summary.created == run.summary.read == len(store.settings) < 1000


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.csv", "No such file or directory"),
        ("", "cannot be read: Is a directory"),
        ("wrong.csv", "'open': is no known column"),
        ("good.csv", "make run"),
    ],
)
def test_what_cannot_begin_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    told: str,
) -> None:
    monkeypatch.setenv("LOCAL_STATE", str(tmp_path))
    (tmp_path / "wrong.csv").write_text("id,open\n")
    (tmp_path / "good.csv").write_text("id,accepting\n")
    assert main(["--file", str(tmp_path / name), "--environment", "local"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert captured.err.count("\n") == 1
