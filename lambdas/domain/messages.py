"""What the service says to a socket on its own account. `lambdas.protocol` has the JSON of it."""

from dataclasses import dataclass

from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Instant


@dataclass(frozen=True, slots=True)
class AvailabilityChanged:
    """The business was declared unavailable; the socket is about to be closed."""

    business_id: BusinessId
    available: bool
    at: Instant


@dataclass(frozen=True, slots=True)
class NotRegistered:
    """The socket's connection was removed; it is about to be closed, so that its client connects
    anew.
    """

    reply_to: str | None
    """The id of the message that this answers, if it had one."""


SocketMessage = AvailabilityChanged | NotRegistered
