"""The life of a real connection after its handshake: it is heard from, and disconnects."""

from dataclasses import dataclass

from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.model import Clock, RealConnection
from lambdas.domain.rules import Rules
from lambdas.use_cases.ports import Store


@dataclass(frozen=True, slots=True)
class Presence:
    """Keeps the stored real connections in step with their sockets."""

    store: Store
    rules: Rules
    clock: Clock

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
