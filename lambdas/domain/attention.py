"""Tracks who needs attention and since when, and reports each episode."""

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
class Trouble:
    """A business that has needed attention for longer than the grace period."""

    business_id: BusinessId
    attention: Attention
    seconds: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What the settings of a business say about its episode."""

    attention: Attention
    since: Instant | None
    """When a consistent read first found the need. None if the mark has no readable time."""
    counted: bool
    """Whether the episode was reported."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look at a business found."""

    status: BusinessStatus
    trouble: Trouble | None
    told: bool
    """Whether this look reported the episode."""
    written: bool = True
    """False if the business changed every time before its mark could be written."""


def marked(settings: Settings | None) -> Mark | None:
    """The mark of an episode, if there is one."""
    if settings is None or settings.attention is None:
        return None
    return Mark(settings.attention, settings.attention_since, settings.attention_counted)


def next_mark(status: BusinessStatus, before: Mark | None, rules: Rules) -> Mark | None:
    """The mark that a business should have after it was judged.

    A mark that is newer than this judgement was set by a later look, and stays. If it is newer by
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
    counted = (before is not None and before.counted) or now - since >= rules.attention_grace
    return Mark(status.attention, since, counted)


@dataclass(frozen=True, slots=True)
class Watch:
    """Keeps the marks of businesses up to date, and reports each episode that outlasts the grace
    period.

    An episode is reported before its mark says so. If anything fails in between, it is reported
    again; it is never dropped.
    """

    store: Store
    rules: Rules
    clock: Clock
    tell: Callable[[Trouble], None]
    """Reports a business that newly needs attention. Returns once the report is handed over."""
    pace_marks: Callable[[], None]
    """Waits until the marks of one more business may be written."""

    def look_at(self, business_id: BusinessId, *, out_of_time: OutOfTime, dry_run: bool) -> Looked:
        """Read a business, and write its mark if that must change.

        Raises `Unavailable` if the table does not answer, or time ran out first.
        """
        told = False
        for attempts_left in reversed(range(_ATTEMPTS)):
            if out_of_time():
                raise Unavailable("there was no time left to look at the business")
            business = self.store.load(business_id)
            # The clock is read after the business: a pause or a mark that was just set must not be
            # judged as of an earlier time.
            status = judge(business, self.clock(), self.rules)
            before = marked(business.settings)
            after = next_mark(status, before, self.rules)
            trouble = _trouble(status, after)
            is_new = trouble is not None and not (before and before.counted)
            if dry_run:
                return Looked(status, trouble, told=is_new)
            if trouble is not None and is_new and not told:
                self.tell(trouble)
                told = True
            written = after == before or self._write(business, after)
            if written or not attempts_left:
                return Looked(status, trouble, told, written)
        raise AssertionError("the last attempt returns")

    def _write(self, business: Business, mark: Mark | None) -> bool:
        if business.settings is None:
            return True  # no item is ever created here
        self.pace_marks()
        if mark is None:
            return self.store.write_attention(business, None, since=0, counted=False)
        return self.store.write_attention(
            business, mark.attention, since=mark.since or 0, counted=mark.counted
        )


def _trouble(status: BusinessStatus, mark: Mark | None) -> Trouble | None:
    """The report on a business, once it is past its grace period."""
    if status.attention is None or mark is None or mark.since is None or not mark.counted:
        return None
    return Trouble(status.business_id, status.attention, max(0, status.as_of - mark.since))
