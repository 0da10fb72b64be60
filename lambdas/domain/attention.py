"""The episode in which a business needs attention: when it begins, and when it is reported."""

from lambdas.domain.model import Episode
from lambdas.domain.rules import CLOCK_SKEW, Rules
from lambdas.domain.status import BusinessStatus


def next_episode(status: BusinessStatus, before: Episode | None, rules: Rules) -> Episode | None:
    """The episode that a business should be marked with after it was judged. `before` is its
    current one.

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
    return Episode(status.attention, since, reported)
