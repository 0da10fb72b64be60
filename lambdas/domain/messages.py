"""What the service says to a socket on its own account. `lambdas.protocol` has the JSON of it."""

from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class TooManyMessages:
    """The client sent more than it may within a minute; the socket is about to be closed."""

    reply_to: str | None
    """The id of the message that this answers, if it had one."""


@dataclass(frozen=True, slots=True)
class PushedMessage:
    """What a back end or an operator has to say to the devices of a business."""

    id: str
    body: Any
    """Any JSON value."""


SocketMessage = AvailabilityChanged | NotRegistered | TooManyMessages | PushedMessage
