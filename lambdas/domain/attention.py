"""The mark of an episode: why a business needs attention, since when, and whether that was told."""

from dataclasses import dataclass

from lambdas.domain.model import Attention, Instant, Settings
from lambdas.domain.rules import CLOCK_SKEW, Rules
from lambdas.domain.status import BusinessStatus


@dataclass(frozen=True, slots=True)
class Mark:
    """What the settings of a business say about its episode."""

    attention: Attention
    since: Instant | None
    """When the need was first found. None if the mark has no readable time."""
    reported: bool
    """Whether the episode was reported."""


def mark_of(settings: Settings | None) -> Mark | None:
    """The mark of an episode, if there is one."""
    if settings is None or settings.attention is None:
        return None
    return Mark(settings.attention, settings.attention_since, settings.attention_reported)


def current_mark(settings: Settings | None, now: Instant) -> Mark | None:
    """The mark of an episode that is not over."""
    if settings is None or settings.is_episode_over(now):
        return None
    return mark_of(settings)


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
