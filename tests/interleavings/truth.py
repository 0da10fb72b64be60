"""What really was so: a slow, obvious account of one business, which shares no rule with the code.

It keeps a copy of all that was stored after each call. What was so at a moment follows from what
was stored then.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from lambdas.domain.model import Business, Instant
from lambdas.domain.transitions import Transition

SILENT_FROM: Final = 300 + 300 + 60 + 1
"""Seconds after its last word from which a device counts as gone: two pings missed, and the grace.
"""

WRITES_TAKE: Final = 10
"""Seconds that may pass in these tests from the moment at which a call reads the clock until its
write is done. What it wrote bears the earlier moment.
"""

LOOKS_EVERY: Final = 15 * 60
"""Seconds after which a silence that nobody has looked at may be dated later than it was."""

_WRITTEN: Final = {"member", "operator", "backend", "import", "device_connected"}


@dataclass
class Truth:
    """All that was stored, and who removed what."""

    stored: list[tuple[Instant, Business]] = field(default_factory=list)
    removals: list[str] = field(default_factory=list)
    """Who removed a real connection, or let one expire."""
    last_removal: Instant = 0
    skew: Instant = 0
    """Seconds by which the clocks of two machines differ, at most. What happened so shortly one
    after the other may be recorded the other way round.
    """
    announced: set[str] = field(default_factory=set)
    """Why somebody was about to remove a real connection."""

    def add(self, now: Instant, business: Business) -> None:
        """Keep what is stored now."""
        if not self.stored or self.stored[-1] != (now, business):
            self.stored.append((now, business))

    def snapshot(self) -> object:
        """What later checks depend on."""
        moments = sorted({at for at, _ in self.stored})
        return (
            [(at, sorted(self.statuses(at))) for at in moments],
            sorted(set(self.removals)),
            sorted(self.announced),
        )

    def statuses(self, moment: Instant) -> set[str]:
        """Every status that the business had in the second of a moment."""
        before = [business for at, business in self.stored if at < moment][-1:]
        during = [business for at, business in self.stored if at == moment]
        return {_status(business, moment) for business in (*before, *during)}

    def problems(
        self,
        transition: Transition,
        previous: Transition | None,
        *,
        may_be_late: bool,
        walk_takes: int,
    ) -> Iterator[str]:
        """What is wrong with a transition that was just recorded."""
        if previous is not None:
            seconds = dict(previous.seconds)
            passed = transition.at - previous.at
            seconds[previous.after] = seconds.get(previous.after, 0) + passed
            if dict(transition.seconds) != seconds:
                yield f"the sums are {transition.seconds}, not {seconds}"
        if transition.before is transition.after:
            return  # only the need for attention changed
        takes = max(WRITES_TAKE, walk_takes)
        last_second = transition.at + (takes if transition.cause in _WRITTEN else 0)
        was = {s for at in range(transition.at, last_second + 1) for s in self.statuses(at)}
        was |= {
            _status(business, transition.at)
            for at, business in self.stored
            if transition.at <= at <= last_second
        }
        if self.skew:
            was |= self._statuses_in_any_order(transition.at - self.skew, last_second + self.skew)
        if transition.after not in was:
            yield f"at {transition.at} it was {was}, not {transition.after}"
        if (problem := self._cause_problem(transition, previous)) is not None:
            yield problem
        if transition.cause == "silence" and not may_be_late:
            yield from self._silence_problems(transition.at)

    def _statuses_in_any_order(self, start: Instant, end: Instant) -> set[str]:
        """Every status that the business may have had if all that happened from `start` to `end`
        happened in another order.
        """
        before = [business for at, business in self.stored if at < start][-1:]
        during = [business for at, business in self.stored if start <= at <= end]
        parts = [
            _parts(business, moment)
            for business in (*before, *during)
            for moment in range(start, end + 1)
        ]
        return {_named(*mixed) for mixed in product(*map(set, zip(*parts, strict=True)))}

    def _silence_problems(self, at: Instant) -> Iterator[str]:
        silences = {at for _, business in self.stored for at in _silences(business)}
        latest = max((silence for silence in silences if silence <= at), default=None)
        if latest is None:
            yield f"nothing had fallen silent at {at}"
            return
        late = at - latest
        writes = [b.settings for _, b in self.stored if b.settings and b.settings.updated_at == at]
        # A write records first what it has read. An import records nothing.
        is_hidden = any(s.updated_as == "import" or late <= WRITES_TAKE for s in writes)
        if late and not is_hidden and late <= LOOKS_EVERY:
            yield f"nothing fell silent at {at}, but at {latest}"

    def _cause_problem(self, transition: Transition, previous: Transition | None) -> str | None:
        cause, by = transition.cause.value, transition.by
        versions = [b.settings for _, b in self.stored if b.settings is not None]
        authors = {(s.updated_as.value, s.updated_by) for s in versions}
        ends = {c.expires_at for _, b in self.stored for c in b.virtual}
        pauses = {s.pause.until for s in versions if s.pause is not None}
        possible = {
            "member": ("member", by) in authors,
            # Something else may come between an announcement and the removal.
            "operator": ("operator", by) in authors or "operator" in self.announced,
            "import": any(each == "import" for each, _ in authors),
            "device_connected": any(b.real for _, b in self.stored),
            "device_disconnected": any(
                not who.startswith(("unavailable", "push", "close by")) for who in self.removals
            )
            # An announcement holds for five minutes.
            or transition.at - self.last_removal > 300
            # Somebody declared it available while its devices were being closed.
            or (versions[-1].available and any("unavailable" in who for who in self.removals)),
            "silence": any(_silences(b) for _, b in self.stored),
            "cleanup": "cleanup" in self.announced,
            "push": "push" in self.announced,
            "lease_ended": any(end <= transition.at for end in ends),
            "pause_ended": any(end <= transition.at for end in pauses),
            "opening_hours": False,  # the hours of these tests never begin or end
            "unknown": previous is None,
        }
        return None if possible[cause] else f"{cause} by {by} did not happen: {self.removals}"


def _silences(business: Business) -> set[Instant]:
    return {min(c.last_seen_at + SILENT_FROM, c.expires_at) for c in business.real}


def _status(business: Business, moment: Instant) -> str:
    """The table of statuses, as a reader of the documents would apply it."""
    return _named(*_parts(business, moment))


def _parts(business: Business, moment: Instant) -> tuple[bool | None, bool, bool]:
    """Whether orders are accepted (None: nobody ever declared the business), whether a device is
    connected, and whether there is a lease.
    """
    settings = business.settings
    accepts: bool | None = None
    if settings is not None:
        paused = settings.pause is not None and moment < settings.pause.until
        # The hours of these tests are never open.
        accepts = settings.available and not paused and settings.opening_hours is None
    device = any(
        moment < c.last_seen_at + SILENT_FROM and moment < c.expires_at for c in business.real
    )
    return accepts, device, any(moment < c.expires_at for c in business.virtual)


def _named(accepts: bool | None, device: bool, lease: bool) -> str:
    if accepts is None:
        return "UNKNOWN"
    if not accepts:
        return "CONNECTED_NOT_ACCEPTING" if device else "OFFLINE"
    if device:
        return "ONLINE"
    return "VIRTUAL_ONLY" if lease else "UNREACHABLE"
