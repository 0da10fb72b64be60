"""Records the transitions of businesses: the change feed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lambdas.domain.errors import Conflict
from lambdas.domain.identifiers import CANARY, BusinessId
from lambdas.domain.model import Business, Clock
from lambdas.domain.rules import Rules
from lambdas.domain.status import judge
from lambdas.domain.transitions import (
    RemovedConnection,
    Transition,
    has_transition,
    must_note_unchanged,
    next_transitions,
)
from lambdas.use_cases.ports import History, Store
from lambdas.use_cases.retrying import Backoff, until_no_conflict

_READ_TAKES: Final = 5
"""Seconds after which a read of a business is repeated."""

_MOST_AT_ONCE: Final = 5
"""Transitions that one call records. A business that changes more often is looked at again soon."""


BeforeChange = Callable[[Business], None]
"""Records what the time has changed about a business that was just read. Called before its settings
are written: what is written hides when that was.
"""


def record_nothing(business: Business) -> None:
    """`BeforeChange` where no change feed is on."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Compares businesses with their last recorded transitions, and records the next ones.

    Whoever suspects that something changed calls `record`. It reads the business again, so a
    suspicion that is repeated, late or wrong records nothing.
    """

    store: Store
    history: History
    rules: Rules
    clock: Clock
    backoff: Backoff

    def record(
        self, business_id: BusinessId, removed: RemovedConnection | None = None
    ) -> Sequence[Transition]:
        """Record what changed about a business, and return it: usually one transition or none.

        `removed` is the last of its real connections that was removed, if the caller knows one.
        Nothing is recorded about the canary. Raises `Unavailable`.
        """
        if business_id == CANARY:
            return ()
        recorded: list[Transition] = []
        # Look again after each transition: another recorder may have looked in the meantime, and
        # found nothing to record because this one was not written yet.
        while len(recorded) < _MOST_AT_ONCE and until_no_conflict(
            lambda: self._record_next(business_id, removed, recorded), self.backoff
        ):
            pass
        return recorded

    def record_if_due(self, business: Business) -> None:
        """Record what has changed about a business that was just read. Raises `Unavailable`."""
        if has_transition(business, judge(business, self.clock(), self.rules)):
            self.record(business.business_id)

    def _record_next(
        self,
        business_id: BusinessId,
        removed: RemovedConnection | None,
        recorded: list[Transition],
    ) -> bool:
        """Look once, and add what was recorded; false if there was nothing to record."""
        business, found = self._look(business_id, removed)
        if found and found[0].sequence == 1:
            known = self.history.last_until(business_id)
            if known is not None:
                # Read again: what was read may be older than the known transition.
                business, found = self._look(business_id, removed)
                if business.last_transition is not None:
                    raise Conflict("another recorder has recorded the first transition")
                # Somebody deleted the last transition from the table. The sequence must go on:
                # whoever follows the feed would ignore one that begins again.
                found = [each.following(known) for each in found]
        version = business.settings.version if business.settings else None
        for transition in found:
            self.history.commit(transition, settings_version=version)
            recorded.append(transition)
        return bool(found)

    def _look(
        self, business_id: BusinessId, removed: RemovedConnection | None
    ) -> tuple[Business, Sequence[Transition]]:
        """Read a business, and find what is to be recorded about it. Raises `Conflict` if the read
        took so long that what it returned may be of the past.
        """
        began = self.clock()
        business = self.store.load(business_id)
        # Read the clock after the business: what was just written must not be judged as of an
        # earlier time.
        now = self.clock()
        if now - began > _READ_TAKES:
            raise Conflict("the read took too long")
        found = next_transitions(business, now, self.rules, removed)
        last = business.last_transition
        if not found and last is not None:
            status = judge(business, now, self.rules)
            if must_note_unchanged(business, status, self.rules):
                self.store.note_unchanged(business_id, last.sequence, now)
        return business, found
