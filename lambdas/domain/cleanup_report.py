"""What a cleanup counts. The JSON document of it is made at import, in every function, so it must
not import the cleanup: each import is time that a client waits at a cold start.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from lambdas.domain.model import Business
    from lambdas.domain.status import BusinessStatus


@dataclass(slots=True)
class CleanupReport:
    """What one run saw and did, in numbers. Reports of parts add up to the report of the whole.

    `lambdas.protocol` makes the JSON document of these fields.
    """

    # What was stored.
    businesses: int = 0
    real: int = 0
    virtual: int = 0

    # What was done. In a dry run: what would have been done.
    probed: int = 0
    """Sockets that the gateway was asked about."""
    gone: int = 0
    """Real connections removed because the gateway said that their sockets are gone."""
    silent: int = 0
    """Real connections claimed, closed and removed because their clients were silent."""
    expired: int = 0
    """Virtual connections removed because their leases were over."""
    unknown: int = 0
    """Left alone because the gateway could not tell. The next run tries again."""
    too_young: int = 0
    """Real connections left alone because they had only just begun."""
    refused: int = 0
    """Real connections left alone because the run had already removed too many."""
    failed: int = 0
    """Connections and businesses that could not be handled: an outage of the store, or a defect."""
    unreadable: int = 0
    """What is stored but could not be read completely."""

    recorded: int = 0
    """Transitions recorded that only the time caused."""
    unrecorded: int = 0
    """Transitions that could not be recorded, or not in time. The next run tries again."""

    # The census: what counts now.
    active_real: int = 0
    active_virtual: int = 0
    online: int = 0
    closed: int = 0
    """Businesses that do not accept orders: unavailable, paused or outside their opening hours."""
    virtual_only: int = 0
    """Businesses with only virtual connections for longer than the grace period."""
    unreachable: int = 0
    """Businesses with no active connection for longer than the grace period."""
    attention_entered: int = 0
    """Businesses that this run reported, because they newly outlasted the grace period."""

    def add_stored(self, business: "Business") -> None:
        """Count what is stored of one more business."""
        self.businesses += 1
        self.real += len(business.real)
        self.virtual += len(business.virtual)
        self.unreadable += len(business.unreadable)

    def add_active(self, status: "BusinessStatus") -> None:
        """Count what is active of one more business."""
        self.active_real += status.real
        self.active_virtual += status.virtual
        self.online += status.online is True
        self.closed += status.online is not None and not status.accepting_orders

    def add(self, other: Self) -> None:
        """Add another report's numbers to this one's."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
