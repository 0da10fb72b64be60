"""What the service sends to a socket without being asked. `lambdas.protocol` makes the JSON."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.domain.model import Instant


@dataclass(frozen=True, slots=True)
class AvailabilityChanged:
    """The business was declared unavailable; the socket is about to be closed."""

    business_id: BusinessId
    available: bool
    at: Instant


@dataclass(frozen=True, slots=True)
class NotRegistered:
    """The connection of the socket was removed. The socket is about to be closed, so that its
    client connects again.
    """

    reply_to: str | None
    """The id of the message that this answers; None if it had none."""


@dataclass(frozen=True, slots=True)
class TooManyMessages:
    """The client sent more messages than it may in a minute; its socket is about to be closed."""

    reply_to: str | None
    """The id of the message that this answers; None if it had none."""


@dataclass(frozen=True, slots=True)
class ReservedAction:
    """The client sent a message whose action only API Gateway may use; its socket is about to be
    closed.
    """

    reply_to: str | None
    """The id of the message that this answers; None if it had none."""


@dataclass(frozen=True, slots=True)
class PushedMessage:
    """What a back end or an operator sends to the devices of a business."""

    id: str
    body: Any
    """Any JSON value."""


def repeatable_message_id(business_id: BusinessId, user_id: UserId, key: str) -> str:
    """The id of a message with an idempotency key.

    It is the same each time the call is repeated, so that a device can recognize a message that it
    already has.
    """
    # JSON, because a plain separator could be part of a key or a user id.
    text = json.dumps([business_id, user_id, key])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


SocketMessage = (
    AvailabilityChanged | NotRegistered | TooManyMessages | ReservedAction | PushedMessage
)
