"""Windows of a history, its pages, and the seconds in each status."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.domain.errors import InvalidValue
from lambdas.domain.model import Instant, OverallStatus
from lambdas.use_cases.history import DEFAULT_WINDOW, MAX_WINDOW, PAGE, HistoryReader
from tests.builders import B1, NOW, FakeClock, transition
from tests.fakes import MemoryHistory, MemoryStore

ONLINE = OverallStatus.ONLINE
OFFLINE = OverallStatus.OFFLINE
UNKNOWN = OverallStatus.UNKNOWN
KNOWN = [status for status in OverallStatus if status is not UNKNOWN]


class Past:
    """A business with these transitions, and who reads its history at `NOW`."""

    def __init__(self, *changes: tuple[Instant, OverallStatus]) -> None:
        self.store = MemoryStore()
        self.history = MemoryHistory(self.store)
        self.reader = HistoryReader(self.store, self.history, FakeClock())
        before, since = UNKNOWN, None
        seconds: Counter[OverallStatus] = Counter()
        for sequence, (at, after) in enumerate(changes, start=1):
            if since is not None:
                seconds[before] += at - since
            change = transition(
                sequence=sequence,
                at=at,
                before=before,
                after=after,
                since=since,
                seconds=dict(seconds),
            )
            self.history.commit(change, settings_version=1)
            before, since = after, at

    def seconds(self, start: Instant, end: Instant) -> dict[OverallStatus, int]:
        return dict(self.reader.business_history(B1, start, end).seconds)

    def forget_until(self, moment: Instant) -> None:
        """Delete the transitions before a moment, as the table does with old ones."""
        kept = [t for t in self.history.transitions if t.at >= moment]
        self.history.transitions[:] = kept


def test_the_seconds_add_up_to_the_window() -> None:
    past = Past((NOW - 100, OFFLINE), (NOW - 40, ONLINE), (NOW - 30, OFFLINE))
    assert past.seconds(NOW - 60, NOW) == {OFFLINE: 20 + 30, ONLINE: 10}
    assert past.seconds(NOW - 35, NOW - 32) == {ONLINE: 3}
    assert past.seconds(NOW - 10, NOW) == {OFFLINE: 10}


def test_before_the_first_transition_the_status_is_unknown() -> None:
    past = Past((NOW - 40, ONLINE))
    assert past.seconds(NOW - 100, NOW) == {UNKNOWN: 60, ONLINE: 40}
    assert past.seconds(NOW - 100, NOW - 50) == {UNKNOWN: 50}
    assert Past().seconds(NOW - 100, NOW) == {UNKNOWN: 100}


def test_what_was_deleted_for_its_age_is_known_from_the_next_transition() -> None:
    past = Past((NOW - 9000, OFFLINE), (NOW - 8000, ONLINE), (NOW - 40, OFFLINE))
    past.forget_until(NOW - 1000)
    assert past.seconds(NOW - 100, NOW) == {ONLINE: 60, OFFLINE: 40}
    assert past.seconds(NOW - 100, NOW - 50) == {ONLINE: 50}
    # The transition before it was at this moment; what came earlier is not known any more.
    assert past.seconds(NOW - 8010, NOW) == {UNKNOWN: 10, ONLINE: 7960, OFFLINE: 40}


def test_a_business_that_did_not_change_for_long_is_known_without_any_transition() -> None:
    past = Past((NOW - 9000, OFFLINE), (NOW - 8000, ONLINE))
    past.forget_until(NOW)
    assert past.seconds(NOW - 100, NOW) == {ONLINE: 100}
    assert past.seconds(NOW - 8010, NOW) == {UNKNOWN: 10, ONLINE: 8000}


def test_a_window_includes_both_ends_newest_first() -> None:
    past = Past(*[(NOW - n, [OFFLINE, ONLINE][n % 2]) for n in range(9, 0, -1)])
    page = past.reader.business_history(B1, NOW - 6, NOW - 4)
    assert [t.at for t in page.transitions] == [NOW - 4, NOW - 5, NOW - 6]
    assert (page.start, page.end, page.after) == (NOW - 6, NOW - 4, None)


def test_pages_follow_each_other_without_a_gap_even_within_one_second() -> None:
    count = 2 * PAGE + 1
    past = Past(*[(NOW - 9 + n // 50, [OFFLINE, ONLINE][n % 2]) for n in range(count)])
    found: list[int] = []
    after = None
    while True:
        page = past.reader.business_history(B1, NOW - 60, NOW, after=after)
        assert sum(page.seconds.values()) == 60
        found += [t.sequence for t in page.transitions]
        after = page.after
        if after is None:
            break
        assert len(page.transitions) == PAGE
    assert found == list(range(count, 0, -1))


class TestWindow:
    def test_is_the_last_day_by_default(self) -> None:
        page = Past().reader.business_history(B1)
        assert (page.start, page.end) == (NOW - DEFAULT_WINDOW, NOW)

    def test_begins_a_day_before_its_end_by_default(self) -> None:
        page = Past().reader.business_history(B1, end=NOW - 500)
        assert (page.start, page.end) == (NOW - 500 - DEFAULT_WINDOW, NOW - 500)

    def test_ends_now_at_the_latest(self) -> None:
        page = Past().reader.business_history(B1, NOW - 10, NOW + 500)
        assert (page.start, page.end) == (NOW - 10, NOW)

    def test_may_have_31_days_and_no_more(self) -> None:
        reader = Past().reader
        assert reader.business_history(B1, NOW - MAX_WINDOW).start == NOW - MAX_WINDOW
        with pytest.raises(InvalidValue, match=r"^from: must be at most 31 days before `to`$"):
            reader.business_history(B1, NOW - MAX_WINDOW - 1)

    @pytest.mark.parametrize(("start", "end"), [(NOW - 5, NOW - 5), (NOW, None), (NOW + 5, None)])
    def test_is_not_empty(self, start: int, end: int | None) -> None:
        with pytest.raises(InvalidValue, match=r"^from: must be before `to`, and in the past$"):
            Past().reader.business_history(B1, start, end)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(KNOWN)), max_size=12),
    st.integers(1, 120),
    st.integers(0, 120),
    st.integers(0, 200),
)
def test_the_seconds_are_those_of_a_count_second_by_second(
    gaps: list[tuple[int, OverallStatus]], length: int, ago: int, forgotten: int
) -> None:
    at, changes = NOW - 200, []
    for gap, status in gaps:
        at = min(at + gap, NOW)
        changes.append((at, status))
    past = Past(*changes)
    moment = NOW - forgotten
    past.forget_until(moment)
    end = NOW - ago
    start = end - length
    # Known is what lies after the last transition that was deleted, or before that if none was.
    deleted = [at for at, _ in changes if at < moment]
    expected: Counter[OverallStatus] = Counter()
    for second in range(start, end):
        until_then = [status for at, status in changes if at <= second]
        known = until_then and (not deleted or second >= max(deleted))
        expected[until_then[-1] if known else UNKNOWN] += 1
    assert past.seconds(start, end) == dict(expected)
