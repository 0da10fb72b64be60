"""Tickets: how a browser, which cannot set a header, authenticates its socket."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.domain.model import Clock, Ticket
from lambdas.use_cases.ports import Store

TICKET_LIFETIME: Final = 60
"""Seconds between asking for a ticket and connecting with it."""

SECRET_BYTES: Final = 32
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""`SECRET_BYTES` bytes in base64url, without padding."""


@dataclass(frozen=True, slots=True)
class Tickets:
    """Issues and redeems tickets. Only their digests are stored."""

    store: Store
    clock: Clock
    new_secret: Callable[[], str]
    """Makes a text that nobody can guess: `SECRET_BYTES` random bytes in base64url."""

    def issue(self, business_id: BusinessId, user_id: UserId) -> tuple[str, Ticket]:
        """A new ticket for one socket of one business: its secret, and what it is good for."""
        secret = self.new_secret()
        ticket = Ticket(business_id, user_id, expires_at=self.clock() + TICKET_LIFETIME)
        self.store.add_ticket(_digest(secret), ticket)
        return secret, ticket

    def redeem(self, secret: str) -> Ticket | None:
        """Use a ticket up. None if it is unknown, used or expired; the caller does not learn which.

        If many redeem the same ticket at once, exactly one gets it.
        """
        if not _SECRET.fullmatch(secret):
            return None  # without asking the store
        return self.store.take_ticket(_digest(secret), self.clock())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
