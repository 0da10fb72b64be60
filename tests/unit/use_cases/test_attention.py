"""Every episode is reported, whatever is written in the meantime and whatever fails once."""

from collections.abc import Callable
from typing import Any

import pytest

from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention, Business, Episode, Pause, Settings
from lambdas.use_cases.attention import AttentionReport, AttentionTracker, AttentionUpdate
from lambdas.use_cases.cleanup_run import CleanupRun
from tests.builders import (
    B1,
    NOW,
    RULES,
    U1,
    FakeClock,
    at,
    business,
    clean_up,
    declare,
    hours,
    in_time,
    make_cleanup,
    real,
    settings,
    settings_writer,
    virtual,
)
from tests.fakes import MemoryStore, failing_store, raising

CLEANUP_INTERVAL = 300
LEASED = virtual(left=10**6)

Reports = list[AttentionReport]


@pytest.fixture
def reports() -> Reports:
    return []


def _update(store: MemoryStore, clock: Callable[[], int], reports: Reports) -> AttentionUpdate:
    tracker = AttentionTracker(store, RULES, clock, reports.append, pace_marks=lambda: None)
    return tracker.update(B1, out_of_time=in_time, dry_run=False)


def _since(store: MemoryStore) -> int | None:
    """Since when the business is marked."""
    episode = store.settings[B1].episode
    return episode.since if episode else None


def _is_reported(store: MemoryStore) -> bool:
    episode = store.settings[B1].episode
    return episode is not None and episode.reported


ACTS: dict[str, Callable[[MemoryStore, FakeClock], object]] = {
    "renew": lambda store, clock: declare(store, True, clock=clock),
    "resume": lambda store, clock: settings_writer(store, clock).resume_business(B1, U1),
    "expect": lambda store, clock: settings_writer(store, clock).expect_socket(B1, U1, True),
}


class TestSettingsWrites:
    @pytest.mark.parametrize("every", [1, 240, 300, 420])
    @pytest.mark.parametrize("act", ACTS)
    def test_that_keep_the_need_keep_the_episode_and_its_report(
        self, store: MemoryStore, clock: FakeClock, reports: Reports, act: str, every: int
    ) -> None:
        """A back end that writes all the time, and no device at all, for an hour."""
        store.seed(business(LEASED, declared=settings()))
        counted = []
        for second in range(3600):
            if second % every == 0:
                ACTS[act](store, clock)
            if second % CLEANUP_INTERVAL == 0:
                counted.append(clean_up(store, clock=clock, reports=reports).report.virtual_only)
            clock.advance(1)
        assert counted == [0] + [1] * 11
        assert [report.seconds for report in reports] == [RULES.attention_grace]
        assert _since(store) == NOW

    def test_keep_a_mark_that_is_set_between_their_read_and_their_write(
        self, clock: FakeClock, reports: Reports
    ) -> None:
        class MarkedMeanwhile(MemoryStore):
            def write_settings(self, before: Business, settings: Settings, **more: Any) -> None:
                _update(self, clock, reports)
                super().write_settings(before, settings, **more)

        store = MarkedMeanwhile()
        store.seed(business(LEASED, declared=settings()))
        declare(store, True, clock=clock)
        assert _since(store) == NOW

    def test_that_end_the_need_end_the_episode(
        self, store: MemoryStore, clock: FakeClock, reports: Reports
    ) -> None:
        store.seed(business(LEASED, declared=settings()))
        clean_up(store, clock=clock, reports=reports)
        settings_writer(store, clock).pause_business(B1, U1, clock() + 600, None)
        assert store.settings[B1].episode is None
        clock.advance(600)
        clean_up(store, clock=clock, reports=reports)
        assert _since(store) == NOW + 600
        assert not reports


DAILY = hours(("09:00", "22:00"))


class TestOpeningHours:
    """A business without a device that is open from 09:00 to 22:00 (UTC)."""

    @pytest.fixture(autouse=True)
    def _declared(self, store: MemoryStore) -> None:
        store.seed(business(LEASED, declared=settings(opening_hours=DAILY)))

    def _run_at(
        self, moment: str, store: MemoryStore, clock: FakeClock, reports: Reports
    ) -> CleanupRun:
        clock.now = at(moment)
        return clean_up(store, clock=clock, reports=reports)

    @pytest.mark.parametrize(
        ("runs", "reported", "since"),
        [
            pytest.param(
                ["15 21:00", "15 21:05", "15 21:59"], ["15 21:05"], "15 21:00",
                id="reported once while it is open",
            ),
            pytest.param(
                ["15 08:00", "15 08:30", "15 08:59:59", "15 22:00", "16 03:00"], [], None,
                id="never while it is closed",
            ),
            pytest.param(
                ["15 21:50", "15 22:00"], [], None,
                id="closed while marked",
            ),
            pytest.param(
                ["15 21:50", "15 21:58", "15 22:00", "16 09:01", "16 09:05", "16 09:06"],
                ["15 21:58", "16 09:06"], "16 09:01",
                id="closed and reopened, seen by a run",
            ),
            pytest.param(
                ["15 21:50", "15 21:58", "16 09:01", "16 09:05:59", "16 09:06", "16 12:00"],
                ["15 21:58", "16 09:06"], "16 09:01",
                id="closed and reopened between two runs, reported anew",
            ),
            pytest.param(
                ["15 21:58", "16 09:01", "16 09:05"], [], "16 09:01",
                id="grace anew, no part of the evening counts",
            ),
            pytest.param(
                ["15 21:50", "15 21:58", "17 09:01", "17 09:06"],
                ["15 21:58", "17 09:06"], "17 09:01",
                id="reopened after two nights without a run",
            ),
            pytest.param(
                ["15 09:00", "15 09:04:59", "15 09:05", "15 12:00"], ["15 09:05"], "15 09:00",
                id="a mark exactly at opening",
            ),
            pytest.param(
                ["15 21:59:59", "16 09:00", "16 09:05"], ["16 09:05"], "16 09:00",
                id="a mark in the last second",
            ),
        ],
    )  # fmt: skip
    def test_begin_a_new_episode_with_the_whole_grace_at_each_opening(
        self,
        store: MemoryStore,
        clock: FakeClock,
        reports: Reports,
        runs: list[str],
        reported: list[str],
        since: str | None,
    ) -> None:
        told = []
        for moment in runs:
            before = len(reports)
            run = self._run_at(f"2027-01-{moment}", store, clock, reports)
            assert run.complete
            told += [moment] * (len(reports) - before)
        assert told == reported
        stored = _since(store)
        assert stored == (None if since is None else at(f"2027-01-{since}"))

    @pytest.mark.parametrize("seen_closed", [True, False])
    def test_end_the_episode_that_is_counted(
        self, store: MemoryStore, clock: FakeClock, reports: Reports, seen_closed: bool
    ) -> None:
        runs = ["15 21:50", "15 21:58", *(["15 22:01"] if seen_closed else []), "16 09:01"]
        counted = [
            self._run_at(f"2027-01-{moment}", store, clock, reports).report.virtual_only
            for moment in runs
        ]
        assert counted == [0, 1, *([0] if seen_closed else []), 0]

    def test_do_not_end_it_while_the_business_stays_open_across_midnight(
        self, store: MemoryStore, clock: FakeClock, reports: Reports
    ) -> None:
        late = hours(("18:00", "24:00"), ("00:00", "02:00"))
        store.seed(business(LEASED, declared=settings(opening_hours=late)))
        for moment in ("15 23:58", "16 00:00", "16 00:03", "16 01:59"):
            self._run_at(f"2027-01-{moment}", store, clock, reports)
        assert [report.seconds for report in reports] == [300]
        assert _since(store) == at("2027-01-15 23:58")

    @pytest.mark.parametrize("removed", ["15 23:00", "16 09:03"])
    def test_that_are_removed_after_they_closed_the_business_leave_no_old_episode(
        self, store: MemoryStore, clock: FakeClock, reports: Reports, removed: str
    ) -> None:
        for moment in ("15 21:50", "15 21:58"):
            self._run_at(f"2027-01-{moment}", store, clock, reports)
        clock.now = at(f"2027-01-{removed}")
        settings_writer(store, clock).set_opening_hours(B1, U1, None)
        for moment in ("16 09:04", "16 09:08", "16 09:09"):
            self._run_at(f"2027-01-{moment}", store, clock, reports)
        assert len(reports) == 2
        assert reports[1].seconds == RULES.attention_grace

    def test_that_are_removed_while_it_is_open_keep_the_episode(
        self, store: MemoryStore, clock: FakeClock, reports: Reports
    ) -> None:
        self._run_at("2027-01-15 21:50", store, clock, reports)
        settings_writer(store, clock).set_opening_hours(B1, U1, None)
        self._run_at("2027-01-15 21:55", store, clock, reports)
        self._run_at("2027-01-16 09:00", store, clock, reports)
        assert [report.seconds for report in reports] == [300]
        assert _since(store) == at("2027-01-15 21:50")

    @pytest.mark.parametrize("every", [60, 240])
    def test_that_are_set_again_and_again_do_not_hide_the_need(
        self, store: MemoryStore, clock: FakeClock, reports: Reports, every: int
    ) -> None:
        """A back end that toggles between two documents, in both of which it is open now."""
        clock.now = begin = at("2027-01-15 09:00")
        writer = settings_writer(store, clock)
        for second in range(0, 3600, 60):
            clock.now = begin + second
            if second % every == 0:
                opens = clock.now // 60 % 60
                writer.set_opening_hours(B1, U1, hours((f"09:{opens:02}", "22:00")))
            if second % CLEANUP_INTERVAL == 0:
                clean_up(store, clock=clock, reports=reports)
        assert [report.seconds for report in reports] == [RULES.attention_grace]
        assert _since(store) == begin

    def test_keep_a_mark_of_a_run_whose_clock_is_ahead(
        self, store: MemoryStore, clock: FakeClock, reports: Reports
    ) -> None:
        self._run_at("2027-01-15 09:00:02", store, clock, reports)
        self._run_at("2027-01-15 08:59:59", store, clock, reports)
        assert _since(store) == at("2027-01-15 09:00:02")

    @pytest.mark.parametrize(
        ("times", "runs", "reported", "since"),
        [
            # Clocks go forward at 01:00 UTC: 02:00 to 03:00 does not exist.
            (("00:00", "24:00"), ["03-28 00:59", "03-28 01:04"], 1, "03-28 00:59"),
            (("01:00", "04:00"), ["03-28 00:59", "03-28 01:04"], 1, "03-28 00:59"),
            # Open until 02:30 the first time that it is 02:00, and again the second time.
            (("01:00", "02:30"), ["10-31 00:20", "10-31 01:10"], 0, "10-31 01:10"),
            (("01:00", "04:00"), ["10-31 00:20", "10-31 01:10"], 1, "10-31 00:20"),
        ],
    )  # fmt: skip
    def test_follow_the_clocks_of_the_zone_when_they_change(
        self,
        store: MemoryStore,
        clock: FakeClock,
        reports: Reports,
        times: tuple[str, str],
        runs: list[str],
        reported: int,
        since: str,
    ) -> None:
        declared = settings(opening_hours=hours(times, zone="Europe/Berlin"))
        store.seed(business(virtual(left=10**8), declared=declared))
        for each in runs:
            self._run_at(f"2027-{each}", store, clock, reports)
        assert len(reports) == reported
        assert _since(store) == at(f"2027-{since}")

    @pytest.mark.parametrize("opening", ["16 09:01", "16 21:59"])
    def test_let_a_declaration_after_reopening_not_revive_the_old_episode(
        self, store: MemoryStore, clock: FakeClock, reports: Reports, opening: str
    ) -> None:
        for moment in ("15 21:50", "15 21:58"):
            self._run_at(f"2027-01-{moment}", store, clock, reports)
        clock.now = at(f"2027-01-{opening}")
        declare(store, True, clock=clock)
        assert store.settings[B1].episode is None
        clean_up(store, clock=clock, reports=reports)
        assert _since(store) == clock()
        assert len(reports) == 1

    def test_hold_in_a_dry_run_too(
        self, store: MemoryStore, clock: FakeClock, reports: Reports
    ) -> None:
        for moment in ("15 21:50", "15 21:58"):
            self._run_at(f"2027-01-{moment}", store, clock, reports)
        clock.now = at("2027-01-16 09:01")
        tracker = AttentionTracker(store, RULES, clock, reports.append, pace_marks=lambda: None)
        update = tracker.update(B1, out_of_time=in_time, dry_run=True)
        assert (update.report, update.newly_reported) == (None, False)
        assert _since(store) == at("2027-01-15 21:50")


class TestBeginningOfAnEpisode:
    def test_is_the_moment_of_the_read_and_not_the_start_of_the_run(
        self, clock: FakeClock, reports: Reports
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
        clean_up(store, clock=clock, reports=reports)
        assert _since(store) == NOW + 249

    def test_is_kept_if_a_run_whose_clock_is_behind_still_sees_a_pause(
        self, store: MemoryStore, clock: FakeClock, reports: Reports
    ) -> None:
        paused = settings(pause=Pause(NOW + 10))
        store.seed(business(LEASED, declared=paused))

        late = FakeClock(NOW)
        clock.advance(20)
        _update(store, clock, reports)
        assert _since(store) == NOW + 20
        _update(store, late, reports)  # its clock still says that the business is paused
        assert _since(store) == NOW + 20

    def test_is_now_if_the_mark_has_no_time(
        self, store: MemoryStore, clock: FakeClock, reports: Reports
    ) -> None:
        episode = Episode(Attention.VIRTUAL_ONLY, None)
        store.seed(business(LEASED, declared=settings(episode=episode)))
        _update(store, clock, reports)
        assert _since(store) == NOW
        store.add_real(real("c1"))
        _update(store, clock, reports)
        assert store.settings[B1].episode is None


class TestReporting:
    """It may happen twice after a failure, but it must happen."""

    @pytest.fixture
    def due(self, clock: FakeClock) -> Business:
        """A business whose grace period is just over, and that was not reported yet."""
        clock.advance(RULES.attention_grace)
        marks = {"episode": Episode(Attention.VIRTUAL_ONLY, NOW)}
        return business(LEASED, declared=settings(**marks))

    def test_is_done_by_a_cleanup_of_one_business_too(
        self, store: MemoryStore, clock: FakeClock, reports: Reports, due: Business
    ) -> None:
        store.seed(due)
        cleanup = make_cleanup(store, clock=clock, report_attention=reports.append)
        cleanup.cleanup_business_connections(B1, out_of_time=in_time, dry_run=True)
        assert not reports
        report = cleanup.cleanup_business_connections(B1, out_of_time=in_time).report
        assert (report.attention_entered, len(reports)) == (1, 1)
        assert clean_up(store, clock=clock, reports=reports).report.attention_entered == 0

    @pytest.mark.parametrize("written", [True, False], ids=["after", "before"])
    @pytest.mark.parametrize("failure", [RuntimeError("crash"), Unavailable("no answer")])
    def test_happens_even_if_writing_the_mark_fails(
        self, clock: FakeClock, reports: Reports, due: Business, failure: Exception, written: bool
    ) -> None:
        class Dying(MemoryStore):
            dies = True

            def mark_episode(self, before: Business, episode: Episode | None) -> bool:
                if not self.dies:
                    return super().mark_episode(before, episode)
                if written:
                    super().mark_episode(before, episode)
                self.dies = False
                raise failure

        store = Dying()
        store.seed(due)
        first = clean_up(store, clock=clock, reports=reports)
        assert not first.complete
        assert first.error is (failure if isinstance(failure, RuntimeError) else None)
        clean_up(store, clock=clock, reports=reports)
        assert len(reports) == (1 if written else 2)
        assert _is_reported(store)

    def test_happens_once_if_the_sdk_repeats_a_write_whose_answer_was_lost(
        self, clock: FakeClock, reports: Reports, due: Business
    ) -> None:
        class LostAnswer(MemoryStore):
            def mark_episode(self, before: Business, episode: Episode | None) -> bool:
                super().mark_episode(before, episode)
                return False  # the repeated write meets its own effect

        store = LostAnswer()
        store.seed(due)
        run = clean_up(store, clock=clock, reports=reports)
        assert run.complete
        assert (len(reports), run.report.attention_entered) == (1, 1)

    def test_happens_even_if_another_business_raises_an_error(
        self, clock: FakeClock, reports: Reports, due: Business
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
        run = clean_up(store, clock=clock, reports=reports)
        assert isinstance(run.error, RuntimeError)
        assert not run.complete
        assert (run.report.attention_entered, run.report.failed) == (1, 1)
        assert len(reports) == 1

    def test_happens_even_if_a_connection_of_the_business_cannot_be_removed(
        self, clock: FakeClock, reports: Reports
    ) -> None:
        defect = ValueError("only this connection meets it")
        store = failing_store(defect, "claim_real")
        store.seed(business(real("c1", seen=700), virtual(left=-1), declared=settings()))
        for _ in range(4):
            assert clean_up(store, clock=clock, reports=reports).error is defect
            clock.advance(300)
        assert len(reports) == 1
        assert not store.virtual

    def test_happens_even_if_the_mark_is_from_the_future(
        self, store: MemoryStore, clock: FakeClock, reports: Reports
    ) -> None:
        ahead = {"episode": Episode(Attention.UNREACHABLE, NOW + 10**7)}
        store.seed(business(declared=settings(**ahead)))
        for _ in range(4):
            clean_up(store, clock=clock, reports=reports)
            clock.advance(300)
        assert len(reports) == 1

    def test_is_repeated_after_it_failed_itself(
        self, store: MemoryStore, clock: FakeClock, reports: Reports, due: Business
    ) -> None:
        store.seed(due)
        failing = make_cleanup(store, clock=clock, report_attention=raising(OSError("no output")))
        run = failing.cleanup_all_connections(out_of_time=in_time)
        assert isinstance(run.error, OSError)
        clean_up(store, clock=clock, reports=reports)
        assert len(reports) == 1

    def test_is_done_by_at_least_one_of_two_runs_at_once(
        self, clock: FakeClock, reports: Reports, due: Business
    ) -> None:
        class Overlapped(MemoryStore):
            overlapped = False

            def mark_episode(self, before: Business, episode: Episode | None) -> bool:
                if not self.overlapped:
                    self.overlapped = True
                    _update(self, clock, reports)
                return super().mark_episode(before, episode)

        store = Overlapped()
        store.seed(due)
        _update(store, clock, reports)
        assert 1 <= len(reports) <= 2
        assert _is_reported(store)
        _update(store, clock, reports)
        assert len(reports) <= 2

    def test_happens_even_if_the_business_changes_before_each_write_of_its_mark(
        self, clock: FakeClock, reports: Reports, due: Business
    ) -> None:
        class Restless(MemoryStore):
            def mark_episode(self, before: Business, episode: Episode | None) -> bool:
                declare(self, True, clock=clock)
                return super().mark_episode(before, episode)

        store = Restless()
        store.seed(due)
        run = clean_up(store, clock=clock, reports=reports)
        assert run.complete
        assert (run.report.virtual_only, run.report.failed, len(reports)) == (1, 1, 1)
