"""The promises of docs/invariants.md: by their numbers, and as checks of what is stored.

Each check yields what is wrong, in words; nothing if all is well.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Final

from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention, Business, Instant, OverallStatus
from lambdas.domain.rules import Rules
from lambdas.domain.status import judge
from lambdas.domain.transitions import Transition, has_transition
from lambdas.observability import MetricGroup, MetricName, metrics_of
from operations.shared.repository import ROOT

_PROMISE: Final = re.compile(r"^(\d+)\. (.+?)(?=^\d+\. |^$)", re.MULTILINE | re.DOTALL)


PROMISES: Final = {
    int(number): " ".join(text.split())
    for number, text in _PROMISE.findall((ROOT / "docs" / "invariants.md").read_text())
}


class PromiseBroken(AssertionError):
    """A promise was not kept. The text is the promise, and what was seen."""


def broken(number: int, *seen: object) -> str:
    """What to say when a promise is broken."""
    return "; ".join([f"{number}. {PROMISES[number]}", *map(str, seen)])


def live_connections_that_were_removed(
    businesses: Iterable[Business], live: Set[str]
) -> Iterator[str]:
    """Promise 1. `live` are the sockets that are open and whose clients ping."""
    stored = {c.connection_id for business in businesses for c in business.real}
    for connection_id in sorted(live - stored):
        yield broken(1, f"{connection_id} was removed")


def dead_connections(
    businesses: Iterable[Business], open_sockets: Set[str], now: Instant, rules: Rules
) -> Iterator[str]:
    """Promise 2, two cleanups after the last change."""
    for business in businesses:
        for real in business.real:
            if real.connection_id not in open_sockets or not rules.is_active(real, now):
                yield broken(2, f"{real.connection_id} is still stored")
        for virtual in business.virtual:
            if not rules.is_active(virtual, now):
                yield broken(2, f"the lease of {virtual.user_id} is still stored")


def leases_without_declaration(businesses: Iterable[Business]) -> Iterator[str]:
    """Promise 5."""
    for business in businesses:
        if business.virtual and not (business.settings and business.settings.available):
            yield broken(5, f"{business.business_id} has virtual connections")


def wrong_marks(businesses: Iterable[Business], now: Instant, rules: Rules) -> Iterator[str]:
    """The first half of promise 9, after a cleanup."""
    for business in businesses:
        needed = judge(business, now, rules).attention
        episode = business.settings.episode if business.settings else None
        if (episode and episode.attention) != needed:
            yield broken(9, f"{business.business_id} needs {needed}, but its mark is {episode}")


def unreported_episodes(
    businesses: Iterable[Business], reported: Set[BusinessId], now: Instant, rules: Rules
) -> Iterator[str]:
    """The second half of promise 9, after a cleanup. `reported` are all that were ever reported."""
    for business in businesses:
        episode = business.settings.episode if business.settings else None
        if episode is None or episode.since is None:
            continue
        is_due = now - episode.since >= rules.attention_grace
        if (is_due or episode.reported) and business.business_id not in reported:
            yield broken(9, f"the episode of {business.business_id} was never reported")


def gaps_in_history(
    businesses: Iterable[Business],
    transitions: Sequence[Transition],
    now: Instant,
    rules: Rules,
) -> Iterator[str]:
    """Promise 10, once all that happened was recorded."""
    for business in businesses:
        name = business.business_id
        own = sorted((t for t in transitions if t.business_id == name), key=lambda t: t.sequence)
        if [t.sequence for t in own] != list(range(1, len(own) + 1)):
            yield broken(10, f"the sequences of {name} are {[t.sequence for t in own]}")
        before = OverallStatus.UNKNOWN
        for each in own:
            if each.before is not before:
                yield broken(10, f"transition {each.sequence} of {name} begins with {each.before}")
            before = each.after
        if own != sorted(own, key=lambda t: t.at):
            yield broken(10, f"the times of {name} are not in order")
        status = judge(business, now, rules)
        if has_transition(business, status):
            yield broken(10, f"{name} is {status.overall_status}, which is not recorded")
        last = business.last_transition
        known = (last.sequence, last.after, last.attention) if last else None
        recorded = (own[-1].sequence, own[-1].after, own[-1].attention) if own else None
        if known != recorded:
            yield broken(10, f"the last of {name} is {recorded}, but known as {known}")


def unpublished(
    transitions: Iterable[Transition], published: Set[tuple[str, int]]
) -> Iterator[str]:
    """Promise 11, once the stream of the history was read. `published`: business and sequence."""
    for each in transitions:
        if (each.business_id, each.sequence) not in published:
            yield broken(11, f"transition {each.sequence} of {each.business_id} is not published")


def wrong_census(
    businesses: Iterable[Business], census: Mapping[str, float], now: Instant, rules: Rules
) -> Iterator[str]:
    """Promise 8, right after a run that published this census."""
    counted = dict.fromkeys(metrics_of(MetricGroup.CENSUS), 0)
    for business in businesses:
        status = judge(business, now, rules)
        episode = business.settings.episode if business.settings else None
        counted[MetricName.REAL_CONNECTIONS] += status.real
        counted[MetricName.VIRTUAL_CONNECTIONS] += status.virtual
        counted[MetricName.ONLINE_BUSINESSES] += status.online is True
        is_closed = status.online is not None and not status.accepting_orders
        counted[MetricName.CLOSED_BUSINESSES] += is_closed
        if episode is not None and episode.reported:
            is_virtual_only = episode.attention is Attention.VIRTUAL_ONLY
            counted[MetricName.VIRTUAL_ONLY_BUSINESSES] += is_virtual_only
            counted[MetricName.UNREACHABLE_BUSINESSES] += not is_virtual_only
    for name, number in counted.items():
        if census[name] != number:
            yield broken(8, f"it says {census[name]} {name}, but there are {number}")
