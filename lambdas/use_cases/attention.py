"""Tracks which businesses need attention and since when, and reports each episode."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lambdas.domain.attention import next_episode
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention, Business, Clock, Episode, OutOfTime
from lambdas.domain.rules import Rules
from lambdas.domain.status import BusinessStatus, judge
from lambdas.use_cases.ports import Store

_ATTEMPTS: Final = 6
"""How often a business is read if it keeps changing before its mark can be written."""


@dataclass(frozen=True, slots=True)
class AttentionReport:
    """A business that has needed attention for longer than the grace period."""

    business_id: BusinessId
    attention: Attention
    seconds: int
    """How long it has needed attention."""


@dataclass(frozen=True, slots=True)
class AttentionUpdate:
    """What one update of a business found and did."""

    status: BusinessStatus
    report: AttentionReport | None
    """None unless the business has needed attention for longer than the grace period."""
    newly_reported: bool
    """Whether this update reported the episode or, in a dry run, would have."""
    mark_written: bool = True
    """False if the business changed every time before its mark could be written."""


@dataclass(frozen=True, slots=True)
class AttentionTracker:
    """Keeps the marks of businesses up to date, and reports each episode that outlasts the grace
    period.

    An episode is reported before its mark says so. If anything fails in between, it is reported
    again, so no episode goes unreported.
    """

    store: Store
    rules: Rules
    clock: Clock
    report_attention: Callable[[AttentionReport], None]
    """Reports a business that newly needs attention. Returns once the report is safe."""
    pace_marks: Callable[[], None]
    """Waits until the mark of one more business may be written."""

    def update(
        self, business_id: BusinessId, *, out_of_time: OutOfTime, dry_run: bool
    ) -> AttentionUpdate:
        """Read a business, report it if that is due, and write its mark if it must change.

        Raises `Unavailable` if the store does not answer, or if time ran out first.
        """
        reported = False
        for attempts_left in reversed(range(_ATTEMPTS)):
            if out_of_time():
                raise Unavailable("there was no time left to check whether it needs attention")
            business = self.store.load(business_id)
            # Read the clock after the business: a pause or a mark that was just set must not be
            # judged as of an earlier time.
            status = judge(business, self.clock(), self.rules)
            settings = business.settings
            before = settings.current_episode(status.as_of) if settings else None
            after = next_episode(status, before, self.rules)
            report = _report(status, after)
            is_new = report is not None and not (before and before.reported)
            if dry_run:
                return AttentionUpdate(status, report, newly_reported=is_new)
            if report is not None and is_new and not reported:
                self.report_attention(report)
                reported = True
            # Never create settings here.
            is_marked = settings is None or settings.episode == after
            written = is_marked or self._mark(business, after)
            if written or not attempts_left:
                return AttentionUpdate(status, report, reported, written)
        raise AssertionError("the last attempt returns")

    def _mark(self, business: Business, episode: Episode | None) -> bool:
        self.pace_marks()
        return self.store.mark_episode(business, episode)


def _report(status: BusinessStatus, episode: Episode | None) -> AttentionReport | None:
    """The report on a business, once it is past its grace period."""
    if status.attention is None or episode is None:
        return None
    if episode.since is None or not episode.reported:
        return None
    seconds = max(0, status.as_of - episode.since)
    return AttentionReport(status.business_id, status.attention, seconds)
