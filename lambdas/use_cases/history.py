"""Reads the history of a business: its transitions, and for how long it was in each status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Clock, Instant, OverallStatus
from lambdas.domain.transitions import Position, Transition, seconds_until
from lambdas.use_cases.ports import History, Store

DEFAULT_WINDOW: Final = 24 * 60 * 60
"""Seconds before its end at which a window begins, unless the caller says."""

MAX_WINDOW: Final = 31 * 24 * 60 * 60
"""Seconds that a window may have."""

PAGE: Final = 100
"""Transitions in one answer."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """The history of a business in a window, with one page of its transitions."""

    business_id: BusinessId
    start: Instant
    end: Instant
    transitions: Sequence[Transition]
    """Newest first."""
    seconds: Mapping[OverallStatus, int]
    """For how long the business was in each status. They add up to the window. Before its first
    transition, the status is `UNKNOWN`.
    """
    after: Position | None
    """The position after which the next page begins; None if this is the last page."""


@dataclass(frozen=True, slots=True)
class HistoryReader:
    """Answers what happened to a business in a window of time."""

    store: Store
    history: History
    clock: Clock

    def business_history(
        self,
        business_id: BusinessId,
        start: Instant | None = None,
        end: Instant | None = None,
        *,
        after: Position | None = None,
    ) -> HistoryPage:
        """One page of the history, from `start` to `end`; by default, the last 24 hours.

        A window that ends in the future ends now. Raises `InvalidValue` for one that is empty or
        too long, or that begins or ends before 1970.
        """
        for name, moment in (("from", start), ("to", end)):
            if moment is not None and moment < 0:
                raise InvalidValue(name, "must be in 1970 or later")
        now = self.clock()
        end = now if end is None else min(end, now)
        start = max(end - DEFAULT_WINDOW, 0) if start is None else start
        if start >= end:
            raise InvalidValue("from", "must be before `to`, and in the past")
        if end - start > MAX_WINDOW:
            raise InvalidValue("from", f"must be at most {MAX_WINDOW // 86400} days before `to`")
        found = self.history.list_between(business_id, start, end, limit=PAGE + 1, before=after)
        page = found[:PAGE]
        return HistoryPage(
            business_id=business_id,
            start=start,
            end=end,
            transitions=page,
            seconds=self._seconds(business_id, start, end),
            after=page[-1].position if len(found) > PAGE else None,
        )

    def _seconds(
        self, business_id: BusinessId, start: Instant, end: Instant
    ) -> Mapping[OverallStatus, int]:
        """For how long the business was in each status.

        Each transition has the sums until then, so a window of any length takes two reads.
        """
        last = self.history.last_until(business_id, end)
        first = self.history.last_until(business_id, start)
        if last is not None and first is not None:
            return _difference(seconds_until(last, end), seconds_until(first, start))
        # The history begins in the window, or older transitions were deleted. The next transition
        # says what came before it, and since when.
        following = self.history.first_after(business_id, start)
        if following is None:
            return self._seconds_since_last(business_id, start, end)
        known_from = following.at if following.since is None else following.since
        known_from = min(max(known_from, start), end)
        until_end = seconds_until(last, end) if last else _seconds_before(following, end)
        known = _difference(until_end, _seconds_before(following, known_from))
        return _with_unknown(known, known_from - start)

    def _seconds_since_last(
        self, business_id: BusinessId, start: Instant, end: Instant
    ) -> Mapping[OverallStatus, int]:
        """The same where no transition is left: the business itself knows its last one."""
        last = self.store.load(business_id).last_transition
        known_from = end if last is None else min(max(last.at, start), end)
        known = {} if last is None or known_from == end else {last.after: end - known_from}
        return _with_unknown(known, known_from - start)


def _seconds_before(following: Transition, moment: Instant) -> dict[OverallStatus, int]:
    """The sums at a moment between a transition and the one before it."""
    seconds = dict(following.seconds)
    seconds[following.before] = seconds.get(following.before, 0) - (following.at - moment)
    return seconds


def _difference(
    late: Mapping[OverallStatus, int], early: Mapping[OverallStatus, int]
) -> dict[OverallStatus, int]:
    """What was added between two moments."""
    added = {status: late.get(status, 0) - early.get(status, 0) for status in OverallStatus}
    return {status: seconds for status, seconds in added.items() if seconds}


def _with_unknown(known: Mapping[OverallStatus, int], unknown: int) -> Mapping[OverallStatus, int]:
    seconds = {**known}
    if unknown:
        seconds[OverallStatus.UNKNOWN] = seconds.get(OverallStatus.UNKNOWN, 0) + unknown
    return seconds
