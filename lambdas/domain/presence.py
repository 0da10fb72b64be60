"""The life of a real connection: it connects, is heard from, and disconnects."""

from dataclasses import dataclass
from typing import Final

from lambdas.domain.errors import TooManyConnections
from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId
from lambdas.domain.model import Clock, RealConnection
from lambdas.domain.ports import Store
from lambdas.domain.rules import CONNECTION_AGE_MARGIN, MAX_CONNECTION_AGE, Rules

USER_AGENT_MAX: Final = 200
"""Characters that are kept of what a client calls itself."""


@dataclass(frozen=True, slots=True)
class Presence:
    """Keeps the stored real connections in step with their sockets."""

    store: Store
    rules: Rules
    clock: Clock

    def connect(
        self,
        business_id: BusinessId,
        user_id: UserId,
        connection_id: ConnectionId,
        user_agent: str | None = None,
    ) -> RealConnection:
        """Register a new socket: one read (for the limit), one write.

        `user_agent` is what the client calls itself; only its printable beginning is kept.

        The limit counts active connections. A dead socket counts until it has missed two pings and
        the grace period is over. The limit is not exact: two sockets that connect at the same
        moment may both get in. Raises `TooManyConnections`.
        """
        now = self.clock()
        business = self.store.load(business_id, consistent=False)
        limit = self.rules.max_real_connections
        if len(self.rules.active_real(business, now)) >= limit:
            raise TooManyConnections(f"the business already holds {limit} real connections")
        connection = RealConnection(
            business_id=business_id,
            connection_id=connection_id,
            user_id=user_id,
            connected_at=now,
            last_seen_at=now,
            expires_at=now + MAX_CONNECTION_AGE + CONNECTION_AGE_MARGIN,
            user_agent=_printable(user_agent or "") or None,
            ping_interval=self.rules.ping_interval,
        )
        self.store.add_real(connection)
        return connection

    def disconnect(
        self, business_id: BusinessId | None, connection_id: ConnectionId
    ) -> RealConnection | None:
        """Remove and return the connection of a closed socket: one write. None if it was no longer
        registered.

        `business_id` is None if the event does not name it; then it is looked up first.
        """
        business_id = business_id or self.store.find_business(connection_id)
        return None if business_id is None else self.store.remove_real(business_id, connection_id)

    def heard_from(
        self, business_id: BusinessId | None, connection_id: ConnectionId, *, is_ping: bool = False
    ) -> RealConnection | None:
        """Record that the client sent something: one write. Nothing else keeps it active.

        The answer to a ping tells the client the ping interval, by which it is judged from then on.

        None if the connection is no longer registered, or is about to be closed for its silence.
        Such a connection is never restored: its client has to connect again.
        """
        business_id = business_id or self.store.find_business(connection_id)
        if business_id is None:
            return None
        told = self.rules.ping_interval if is_ping else None
        return self.store.refresh_real(business_id, connection_id, self.clock(), ping_interval=told)


def _printable(text: str) -> str:
    """The beginning of a text, trimmed, in printable ASCII: "?" replaces all other characters."""
    beginning = text.strip()[:USER_AGENT_MAX].rstrip()
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in beginning)
