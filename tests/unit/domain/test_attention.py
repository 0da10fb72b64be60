"""Somebody is told of every episode: whatever is written meanwhile, and whatever fails once."""

from collections.abc import Callable
from typing import Any

import pytest

from lambdas.domain.attention import AttentionReport, AttentionTracker, AttentionUpdate
from lambdas.domain.availability import Availability
from lambdas.domain.cleanup import CleanupRun
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention, Business, Instant, RealConnection, Settings
from lambdas.domain.settings import SettingsWriter
from tests.builders import (
    B1,
    NOW,
    RULES,
    U1,
    FakeClock,
    business,
    in_time,
    make_cleanup,
    real,
    settings,
    virtual,
)
from tests.fakes import FakeSockets, MemoryStore

CLEANUP_INTERVAL = 300
LEASED = virtual(left=10**6)

Told = list[AttentionReport]


@pytest.fixture
def told() -> Told:
    return []


def _run(store: MemoryStore, clock: FakeClock, told: Told) -> CleanupRun:
    return make_cleanup(
        store, FakeSockets(), clock, report_attention=told.append
    ).cleanup_all_connections(out_of_time=in_time)


def _look(store: MemoryStore, clock: Callable[[], int], told: Told) -> AttentionUpdate:
    watch = AttentionTracker(store, RULES, clock, told.append, pace_marks=lambda: None)
    return watch.update(B1, out_of_time=in_time, dry_run=False)


Act = Callable[[MemoryStore, FakeClock], object]


def _renew(store: MemoryStore, clock: FakeClock) -> object:
    calls = Availability(store, FakeSockets(), RULES, clock, backoff=lambda attempt: None)
    return calls.set_business_availability(B1, U1, True, out_of_time=in_time)


def _resume(store: MemoryStore, clock: FakeClock) -> object:
    return SettingsWriter(store, RULES, clock, lambda attempt: None).resume_business(B1, U1)


def _expect_socket(store: MemoryStore, clock: FakeClock) -> object:
    return SettingsWriter(store, RULES, clock, lambda attempt: None).expect_socket(B1, U1, True)


class TestWritesThatChangeNothingForTheNeed:
    @pytest.mark.parametrize("every", [1, 240, 300, 420])
    @pytest.mark.parametrize("act", [_renew, _resume, _expect_socket])
    def test_neither_silence_the_pager_nor_restart_the_clock(
        self, store: MemoryStore, clock: FakeClock, told: Told, act: Act, every: int
    ) -> None:
        """A back end that renews all the time, and no device at all, for an hour."""
        store.seed(business(LEASED, declared=settings()))
        counted = []
        for second in range(3600):
            if second % every == 0:
                act(store, clock)
            if second % CLEANUP_INTERVAL == 0:
                counted.append(_run(store, clock, told).report.virtual_only)
            clock.advance(1)
        assert counted == [0] + [1] * 11
        assert [trouble.seconds for trouble in told] == [RULES.attention_grace]
        assert store.settings[B1].attention_since == NOW

    def test_do_not_lose_a_mark_that_is_set_between_their_read_and_their_write(
        self, clock: FakeClock, told: Told
    ) -> None:
        class MarkedMeanwhile(MemoryStore):
            def write_settings(self, before: Business, settings: Settings, **more: Any) -> None:
                _look(self, clock, told)
                super().write_settings(before, settings, **more)

        store = MarkedMeanwhile()
        store.seed(business(LEASED, declared=settings()))
        _renew(store, clock)
        assert store.settings[B1].attention_since == NOW

    def test_a_write_that_ends_the_need_begins_a_new_episode_afterwards(
        self, store: MemoryStore, clock: FakeClock, told: Told
    ) -> None:
        store.seed(business(LEASED, declared=settings()))
        _run(store, clock, told)
        writer = SettingsWriter(store, RULES, clock, lambda attempt: None)
        writer.pause_business(B1, U1, clock() + 600, None)
        assert store.settings[B1].attention is None
        clock.advance(600)
        _run(store, clock, told)
        assert store.settings[B1].attention_since == NOW + 600
        assert not told


class TestTheMoment:
    def test_is_that_of_the_read_and_not_the_start_of_the_run(
        self, clock: FakeClock, told: Told
    ) -> None:
        class Slow(MemoryStore):
            def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
                found = super().load(business_id, consistent=consistent)
                clock.advance(249)
                return found

        store = Slow()
        store.seed(business(LEASED, declared=settings()))
        store.walk = lambda part, parts: iter(  # type: ignore[method-assign] # quick
            [business(LEASED, declared=settings())] if part == 0 else []
        )
        _run(store, clock, told)
        assert store.settings[B1].attention_since == NOW + 249

    def test_a_run_that_began_in_a_pause_does_not_clear_the_mark_of_a_newer_one(
        self, store: MemoryStore, clock: FakeClock, told: Told
    ) -> None:
        paused = settings(paused_until=NOW + 10)
        store.seed(business(LEASED, declared=paused))

        late = FakeClock(NOW)
        clock.advance(20)
        _look(store, clock, told)
        assert store.settings[B1].attention_since == NOW + 20
        _look(store, late, told)  # its clock still says that the business is paused
        assert store.settings[B1].attention_since == NOW + 20

    def test_of_a_mark_that_does_not_say_begins_now(
        self, store: MemoryStore, clock: FakeClock, told: Told
    ) -> None:
        store.seed(business(LEASED, declared=settings(attention=Attention.VIRTUAL_ONLY)))
        _look(store, clock, told)
        assert store.settings[B1].attention_since == NOW
        store.add_real(real("c1"))
        _look(store, clock, told)
        assert store.settings[B1].attention is None


class TestTelling:
    """It may happen twice after a failure. It must not fail to happen."""

    @pytest.fixture
    def due(self, clock: FakeClock) -> Business:
        """A business whose grace period is just over, and of which nobody was told."""
        clock.advance(RULES.attention_grace)
        marks = {"attention": Attention.VIRTUAL_ONLY, "attention_since": NOW}
        return business(LEASED, declared=settings(**marks))

    def test_once_if_nothing_fails(
        self, store: MemoryStore, clock: FakeClock, told: Told, due: Business
    ) -> None:
        store.seed(due)
        for _ in range(3):
            _run(store, clock, told)
            clock.advance(CLEANUP_INTERVAL)
        assert told == [AttentionReport(B1, Attention.VIRTUAL_ONLY, RULES.attention_grace)]

    def test_by_a_cleanup_of_one_business_too(
        self, store: MemoryStore, clock: FakeClock, told: Told, due: Business
    ) -> None:
        store.seed(due)
        cleanup = make_cleanup(store, FakeSockets(), clock, report_attention=told.append)
        cleanup.cleanup_business_connections(B1, out_of_time=in_time, dry_run=True)
        assert not told
        report = cleanup.cleanup_business_connections(B1, out_of_time=in_time).report
        assert (report.attention_entered, len(told)) == (1, 1)
        assert _run(store, clock, told).report.attention_entered == 0

    @pytest.mark.parametrize("written", [True, False], ids=["after", "before"])
    @pytest.mark.parametrize("failure", [RuntimeError("crash"), Unavailable("no answer")])
    def test_by_a_run_that_dies_while_it_writes_the_mark(
        self, clock: FakeClock, told: Told, due: Business, failure: Exception, written: bool
    ) -> None:
        class Dying(MemoryStore):
            dies = True

            def write_attention(self, *arguments: Any, **more: Any) -> bool:
                if not self.dies:
                    return super().write_attention(*arguments, **more)
                if written:
                    super().write_attention(*arguments, **more)
                self.dies = False
                raise failure

        store = Dying()
        store.seed(due)
        first = _run(store, clock, told)
        assert not first.complete
        assert first.error is (failure if isinstance(failure, RuntimeError) else None)
        _run(store, clock, told)
        assert len(told) == (1 if written else 2)
        assert store.settings[B1].attention_reported

    def test_by_a_run_whose_answer_was_lost_and_that_the_sdk_repeated(
        self, clock: FakeClock, told: Told, due: Business
    ) -> None:
        class LostAnswer(MemoryStore):
            def write_attention(self, *arguments: Any, **more: Any) -> bool:
                super().write_attention(*arguments, **more)
                return False  # the repetition meets its own effect

        store = LostAnswer()
        store.seed(due)
        run = _run(store, clock, told)
        assert run.complete
        assert (len(told), run.report.attention_entered) == (1, 1)

    def test_by_a_run_that_dies_on_another_business(
        self, clock: FakeClock, told: Told, due: Business
    ) -> None:
        class Poisoned(MemoryStore):
            def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
                if business_id == "b0":
                    raise RuntimeError("poison")
                return super().load(business_id, consistent=consistent)

        store = Poisoned()
        store.seed(due, business(declared=settings(), business_id=BusinessId("b0")))
        store.walk = lambda part, parts: iter(  # type: ignore[method-assign] # as a Scan
            [business(declared=settings(), business_id=BusinessId("b0")), due] if part == 0 else []
        )
        run = _run(store, clock, told)
        assert isinstance(run.error, RuntimeError)
        assert not run.complete
        assert (run.report.attention_entered, run.report.failed) == (1, 1)
        assert len(told) == 1

    def test_by_a_run_that_dies_on_a_connection_of_the_same_business(
        self, clock: FakeClock, told: Told, due: Business
    ) -> None:
        class Poisoned(MemoryStore):
            def claim_real(self, *_: object) -> bool:
                raise RuntimeError("poison")

        store = Poisoned()
        store.seed(due, business(real("c1", now=clock(), seen=700)))
        run = _run(store, clock, told)
        assert isinstance(run.error, RuntimeError)
        assert len(told) == 1

    def test_again_if_telling_itself_failed(
        self, store: MemoryStore, clock: FakeClock, told: Told, due: Business
    ) -> None:
        def fail(trouble: AttentionReport) -> None:
            raise OSError("no output")

        store.seed(due)
        with pytest.raises(OSError, match="no output"):
            AttentionTracker(store, RULES, clock, fail, lambda: None).update(
                B1, out_of_time=in_time, dry_run=False
            )
        _run(store, clock, told)
        assert len(told) == 1

    def test_by_at_least_one_of_two_runs_at_once(
        self, clock: FakeClock, told: Told, due: Business
    ) -> None:
        class Overlapped(MemoryStore):
            overlapped = False

            def write_attention(self, *arguments: Any, **more: Any) -> bool:
                if not self.overlapped:
                    self.overlapped = True
                    _look(self, clock, told)
                return super().write_attention(*arguments, **more)

        store = Overlapped()
        store.seed(due)
        _look(store, clock, told)
        assert 1 <= len(told) <= 2
        assert store.settings[B1].attention_reported
        _look(store, clock, told)
        assert len(told) <= 2

    def test_of_a_business_that_changes_each_time_before_its_mark_is_written(
        self, clock: FakeClock, told: Told, due: Business
    ) -> None:
        class Restless(MemoryStore):
            def write_attention(self, *arguments: Any, **more: Any) -> bool:
                _renew(self, clock)
                return super().write_attention(*arguments, **more)

        store = Restless()
        store.seed(due)
        run = _run(store, clock, told)
        assert run.complete
        assert (run.report.virtual_only, run.report.failed, len(told)) == (1, 1, 1)


class TestWhatMustNotKeepABusinessQuiet:
    def test_a_connection_that_nobody_can_remove_does_not_keep_its_business_quiet(
        self, clock: FakeClock
    ) -> None:
        class Poisoned(MemoryStore):
            def claim_real(self, connection: RealConnection, now: Instant) -> bool:
                raise ValueError("a defect that only this connection meets")

        store = Poisoned()
        told: Told = []
        store.seed(business(real("c1", seen=700), virtual(left=-1), declared=settings()))
        cleanup = make_cleanup(store, FakeSockets(), clock, report_attention=told.append)
        for _ in range(4):
            cleanup.cleanup_all_connections(out_of_time=in_time)
            clock.advance(300)
        assert len(told) == 1
        assert not store.virtual

    def test_a_mark_from_the_future_does_not_keep_its_business_quiet(
        self, store: MemoryStore, clock: FakeClock
    ) -> None:
        ahead = {"attention": Attention.UNREACHABLE, "attention_since": NOW + 10**7}
        store.seed(business(declared=settings(**ahead)))
        told: Told = []
        for _ in range(4):
            _run(store, clock, told)
            clock.advance(300)
        assert len(told) == 1
