"""Tracks which businesses need attention and since when, and reports each episode."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention, Business, Clock, Instant, OutOfTime, Settings
from lambdas.domain.ports import Store
from lambdas.domain.rules import CLOCK_SKEW, Rules
from lambdas.domain.status import BusinessStatus, judge

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
class Mark:
    """What the settings of a business say about its episode."""

    attention: Attention
    since: Instant | None
    """When the need was first found. None if the mark has no readable time."""
    reported: bool
    """Whether the episode was reported."""


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


def mark_of(settings: Settings | None) -> Mark | None:
    """The mark of an episode, if there is one."""
    if settings is None or settings.attention is None:
        return None
    return Mark(settings.attention, settings.attention_since, settings.attention_reported)


def current_mark(settings: Settings | None, now: Instant) -> Mark | None:
    """The mark, unless the business was closed by its opening hours since: that ended the episode,
    also if no update saw it closed.
    """
    mark = mark_of(settings)
    if settings is None or settings.opening_hours is None or mark is None or mark.since is None:
        return mark
    if mark.since >= now:
        return mark
    open_throughout = ((mark.since, now),)
    return mark if settings.opening_hours.intervals(mark.since, now) == open_throughout else None


def next_mark(status: BusinessStatus, before: Mark | None, rules: Rules) -> Mark | None:
    """The mark that a business should have after it was judged.

    A mark that is newer than this judgement was set by a later update, and stays. If it is newer by
    more than clocks can differ, it is wrong, and the episode begins now.
    """
    now = status.as_of
    since = now if before is None or before.since is None else before.since
    if since > now + CLOCK_SKEW:
        since = now
    if since > now:
        return before
    if status.attention is None:
        return None
    reported = (before is not None and before.reported) or now - since >= rules.attention_grace
    return Mark(status.attention, since, reported)


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
            before = current_mark(business.settings, status.as_of)
            after = next_mark(status, before, self.rules)
            report = _report(status, after)
            is_new = report is not None and not (before and before.reported)
            if dry_run:
                return AttentionUpdate(status, report, newly_reported=is_new)
            if report is not None and is_new and not reported:
                self.report_attention(report)
                reported = True
            written = after == mark_of(business.settings) or self._write(business, after)
            if written or not attempts_left:
                return AttentionUpdate(status, report, reported, written)
        raise AssertionError("the last attempt returns")

    def _write(self, business: Business, mark: Mark | None) -> bool:
        if business.settings is None:
            return True  # never create settings here
        self.pace_marks()
        if mark is None:
            return self.store.write_attention(business, None, since=0, reported=False)
        return self.store.write_attention(
            business, mark.attention, since=mark.since or 0, reported=mark.reported
        )


def _report(status: BusinessStatus, mark: Mark | None) -> AttentionReport | None:
    """The report on a business, once it is past its grace period."""
    if status.attention is None or mark is None or mark.since is None or not mark.reported:
        return None
    return AttentionReport(status.business_id, status.attention, max(0, status.as_of - mark.since))
