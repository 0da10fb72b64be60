"""What operators do: list the businesses that need attention, and close a socket."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lambdas.domain.errors import NotFound, Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId
from lambdas.domain.model import AnnouncedRemoval, Attention, Cause, Clock, OutOfTime
from lambdas.domain.rules import Rules
from lambdas.domain.status import BusinessStatus, judge
from lambdas.use_cases.parallel import read_in_parallel
from lambdas.use_cases.ports import AttentionEntry, Sockets, Store
from lambdas.use_cases.removal import Removal, announce, close_and_remove

_PARALLEL_READS: Final = 10


@dataclass(frozen=True, slots=True)
class AttentionPage:
    """One page of the businesses that need attention, longest first."""

    businesses: Sequence[tuple[AttentionEntry, BusinessStatus]]
    after: AttentionEntry | None
    """The entry after which the next page begins; None if this is the last page."""


@dataclass(frozen=True, slots=True)
class Operators:
    """Lists businesses of the whole marketplace, and closes single sockets."""

    store: Store
    sockets: Sockets
    rules: Rules
    clock: Clock

    def list_attention(
        self,
        attention: Attention,
        *,
        limit: int,
        out_of_time: OutOfTime,
        after: AttentionEntry | None = None,
    ) -> AttentionPage:
        """One page of the businesses that need attention at this moment.

        The stored list may lag behind, so each business is read again. That can make a page shorter
        than `limit` even if it is not the last.
        """
        entries = self.store.list_attention(attention, limit=limit, after=after)
        now = self.clock()
        businesses = read_in_parallel(
            self.store.load,
            [entry.business_id for entry in entries],
            threads=_PARALLEL_READS,
            out_of_time=out_of_time,
        )
        judged = [
            (entry, judge(business, now, self.rules))
            for entry, business in zip(entries, businesses, strict=True)
            if business.settings is not None and business.settings.current_episode(now) is not None
        ]
        return AttentionPage(
            businesses=[
                (entry, status) for entry, status in judged if status.attention is attention
            ],
            after=entries[-1] if len(entries) == limit else None,
        )

    def close_connection(
        self, business_id: BusinessId, connection_id: ConnectionId, user_id: UserId
    ) -> None:
        """Close one socket of a business and remove its connection, on behalf of an operator.

        Raises `NotFound` if the business has no such real connection, and `Unavailable` if the
        gateway cannot tell, or calls a socket gone that has only just connected.
        """
        business = self.store.load(business_id)
        found = next((c for c in business.real if c.connection_id == connection_id), None)
        if found is None:
            raise NotFound("the business has no such real connection")
        because = AnnouncedRemoval(connection_id, Cause.OPERATOR, by=user_id, at=self.clock())
        announce(business, because, store=self.store)
        removal = close_and_remove(
            found, store=self.store, sockets=self.sockets, rules=self.rules, now=self.clock()
        )
        if removal is Removal.KEPT:
            raise Unavailable("the socket could not be closed")
