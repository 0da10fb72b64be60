"""The JSON documents of both APIs and of the events, made from the objects of the domain.

Times are RFC 3339 in UTC, durations are whole seconds. ``GET …/status`` and the ``status`` message
answer with the same status document.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final, Literal

from typing_extensions import TypedDict  # Pydantic needs this one before Python 3.12

from lambdas.domain.cleanup_report import CleanupReport
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.instants import timestamp as timestamp
from lambdas.domain.model import (
    Attention,
    Business,
    Cause,
    Instant,
    OverallStatus,
    RealConnection,
    Ticket,
)
from lambdas.domain.opening_hours import OpeningHours
from lambdas.domain.rules import MAX_MESSAGES_PER_MINUTE, Rules, reconnect_at
from lambdas.domain.socket_messages import (
    AvailabilityChanged,
    NotRegistered,
    PushedMessage,
    ReservedAction,
    SocketMessage,
    TooManyMessages,
)
from lambdas.domain.status import BusinessStatus, ReasonCode

if TYPE_CHECKING:
    from lambdas.domain.transitions import Transition
    from lambdas.use_cases.availability import AvailabilityOutcome
    from lambdas.use_cases.cleanup_run import CleanupRun
    from lambdas.use_cases.history import HistoryPage
    from lambdas.use_cases.operators import AttentionPage
    from lambdas.use_cases.push_messages import Delivery

_WEEK: Final = 7 * 24 * 60 * 60

EVENT_SOURCE: Final = "business-connections"
"""The source of all events on the bus."""

EVENT_TYPE: Final = "BusinessStatusChanged"
"""The detail type of the events on the bus."""

EVENT_VERSION: Final = 1
"""Grows when a field of an event goes away, or changes its type or meaning. New fields, causes and
reasons do not change it.
"""

ErrorCode = Literal[
    "unknown_action", "bad_request", "not_registered", "too_many_messages", "reserved_action"
]
"""The codes of error messages on a socket."""


class CountsDocument(TypedDict):
    """How many active connections of each type there are."""

    real: int
    virtual: int


class ReasonDocument(TypedDict):
    """One piece of evidence: a stable code, and a text for people."""

    code: ReasonCode
    detail: str


class StatusDocument(TypedDict):
    """The comprehensive status of a business."""

    businessId: str
    overallStatus: OverallStatus
    online: bool | None
    isAvailableForOrders: bool
    hasRealTimeConnection: bool
    hasVirtualStatus: bool
    needsAttention: Attention | None
    attentionSince: str | None
    counts: CountsDocument
    lastSeenAt: str | None
    virtualUntil: str | None
    declaredBy: str | None
    pausedUntil: str | None
    pausedBy: str | None
    nextChangeAt: str | None
    reasons: list[ReasonDocument]
    asOf: str


class PauseDocument(TypedDict):
    """What a pause leads to, for a caller that may not read the status of the business."""

    businessId: str
    online: bool | None
    pausedUntil: str | None
    pausedBy: str | None
    asOf: str


class OnlineDocument(TypedDict):
    """What customer apps ask for. `online` is null for a business that nobody ever declared."""

    online: bool | None
    asOf: str


class AvailabilityDocument(StatusDocument):
    """The status after an availability call. `leaseUntil`: when the caller's own virtual connection
    expires; `socketsRemaining`: sockets that could not be closed.
    """

    leaseUntil: str | None
    socketsRemaining: int


class OpeningHoursDocument(TypedDict):
    """Opening hours as JSON: a time zone, intervals by weekday, and exceptions by date."""

    timeZone: str
    weekly: dict[str, list[list[str]]]
    exceptions: dict[str, list[list[str]]]


class OpenDocument(TypedDict):
    """One time of being open."""

    opensAt: str
    closesAt: str


class OpeningHoursAnswer(TypedDict):
    """The opening hours of a business, and what they mean in the coming seven days.

    `openingHours` is the document as it is stored. `openNow` says whether the hours include this
    moment, `nextChangeAt` when that changes: null if it does not within 400 days.
    """

    businessId: str
    openingHours: OpeningHoursDocument
    openNow: bool
    nextChangeAt: str | None
    open: list[OpenDocument]
    asOf: str


class BatchEntryDocument(TypedDict):
    """One business of a batch."""

    businessId: str
    online: bool | None


class BatchDocument(TypedDict):
    """The answers to a batch, in the order of the request, duplicates included."""

    businesses: list[BatchEntryDocument]
    asOf: str


class TicketDocument(TypedDict):
    """A ticket that opens one WebSocket, until it expires."""

    ticket: str
    expiresAt: str


class DeliveryDocument(TypedDict):
    """What became of a message. `reached` is false if no device got it: use another way, such as a
    phone call.
    """

    messageId: str
    reached: bool
    sent: int
    gone: int
    failed: int


class AttentionEntryDocument(TypedDict):
    """A business that needs attention, since when, and for how many seconds."""

    businessId: str
    since: str
    seconds: int
    status: StatusDocument


class AttentionPageDocument(TypedDict):
    """One page, longest first. `next` is the cursor of the next page; null on the last page."""

    businesses: list[AttentionEntryDocument]
    next: str | None
    asOf: str


TransitionDocument = TypedDict(
    "TransitionDocument",
    {
        "sequence": int,
        "at": str,
        "from": OverallStatus,
        "to": OverallStatus,
        "online": bool | None,
        "attention": Attention | None,
        "cause": Cause,
        "by": str | None,
        "reasons": list[ReasonCode],
    },
)
TransitionDocument.__doc__ = """A change of a business's overall status, or of its need for
attention.

`sequence` grows by one with each transition of a business. `attention`: why it needs attention from
now on; it is set once the need has outlasted the grace period. `by`: who caused it, if a member, an
operator or a back end did. `reasons`: what the new status rests on.
"""


class EventDetail(TransitionDocument):
    """The `detail` of an event on the bus: one transition of one business."""

    version: int
    businessId: str  # noqa: N815


HistoryDocument = TypedDict(
    "HistoryDocument",
    {
        "businessId": str,
        "from": str,
        "to": str,
        "transitions": list[TransitionDocument],
        "seconds": dict[OverallStatus, int],
        "next": str | None,
    },
)
HistoryDocument.__doc__ = """What happened to a business in a window: one page, newest first.

`seconds`: for how long it was in each status in the whole window; they add up to the window. What
lies before its first transition is `UNKNOWN`. `next` is the cursor of the next page; null on the
last page.
"""


def camel_case(name: str) -> str:
    """Spell `snake_case` or `kebab-case` as `camelCase`."""
    first, *others = name.replace("-", "_").split("_")
    return first + "".join(word.capitalize() for word in others)


if TYPE_CHECKING:
    CleanupDocument = dict[str, int | str | None]
else:
    # Made of the report's fields, so that they are listed once. mypy cannot read such a type.
    CleanupDocument = TypedDict(
        "CleanupDocument",
        {
            "complete": bool,
            "dryRun": bool,
            "refusedBecause": str | None,
            **{camel_case(field.name): field.type for field in fields(CleanupReport)},
        },
    )
    CleanupDocument.__doc__ = "What a cleanup saw and did; in a dry run, what it would have done."


class RealConnectionDocument(TypedDict):
    """A stored real connection. `userAgent` and `deviceId`: what its client and its device call
    themselves, if they said.
    """

    connectionId: str
    userId: str
    userAgent: str | None
    deviceId: str | None
    active: bool
    connectedAt: str
    lastSeenAt: str


class VirtualConnectionDocument(TypedDict):
    """A stored virtual connection."""

    userId: str
    active: bool
    createdAt: str
    renewedAt: str
    expiresAt: str


class ConnectionsDocument(TypedDict):
    """All stored connections of a business, by type."""

    businessId: str
    real: list[RealConnectionDocument]
    virtual: list[VirtualConnectionDocument]
    asOf: str


class PongMessage(TypedDict):
    """The answer to a ping. `pingEvery`: send the next ping within this many seconds.
    `reconnectAfter`: seconds until the client should move to a new socket, before API Gateway
    closes this one.
    """

    type: Literal["pong"]
    id: str | None
    serverTime: str
    pingEvery: int
    reconnectAfter: int


class StatusMessage(TypedDict):
    """The answer to a status message."""

    type: Literal["status"]
    id: str | None
    status: StatusDocument


class ErrorMessage(TypedDict):
    """The answer to a message that could not be handled."""

    type: Literal["error"]
    id: str | None
    code: ErrorCode
    detail: str


class AvailabilityChangedMessage(TypedDict):
    """Pushed before the sockets of a business that became unavailable are closed."""

    type: Literal["availability.changed"]
    businessId: str
    available: bool
    at: str


class PushMessage(TypedDict):
    """Pushed on behalf of a back end or an operator: an order, for example."""

    type: Literal["message"]
    id: str
    body: Any


def encode(document: object) -> bytes:
    """The bytes of a document that is sent over a socket.

    They are ASCII, because JSON permits lone surrogates, which UTF-8 cannot encode.
    """
    return json.dumps(document, separators=(",", ":")).encode()


def _optional(instant: Instant | None) -> str | None:
    return None if instant is None else timestamp(instant)


def status_document(status: BusinessStatus) -> StatusDocument:
    """The answer of ``GET …/status``."""
    return {
        "businessId": status.business_id,
        "overallStatus": status.overall_status,
        "online": status.online,
        "isAvailableForOrders": status.accepting_orders,
        "hasRealTimeConnection": status.real > 0,
        "hasVirtualStatus": status.virtual > 0,
        "needsAttention": status.attention,
        "attentionSince": _optional(status.attention_since),
        "counts": {"real": status.real, "virtual": status.virtual},
        "lastSeenAt": _optional(status.last_seen_at),
        "virtualUntil": _optional(status.virtual_until),
        "declaredBy": status.declared_by,
        "pausedUntil": _optional(status.pause.until if status.pause else None),
        "pausedBy": status.pause.by if status.pause else None,
        "nextChangeAt": _optional(status.next_change_at),
        "reasons": [{"code": r.code, "detail": r.detail} for r in status.reasons],
        "asOf": timestamp(status.as_of),
    }


def pause_document(status: BusinessStatus) -> PauseDocument:
    """The answer of ``PUT`` and ``DELETE …/pause`` to a back end."""
    return {
        "businessId": status.business_id,
        "online": status.online,
        "pausedUntil": _optional(status.pause.until if status.pause else None),
        "pausedBy": status.pause.by if status.pause else None,
        "asOf": timestamp(status.as_of),
    }


def online_document(online: bool | None, now: Instant) -> OnlineDocument:
    """The answer of ``GET …/online``."""
    return {"online": online, "asOf": timestamp(now)}


def availability_document(outcome: "AvailabilityOutcome") -> AvailabilityDocument:
    """The answer of ``PUT …/availability``."""
    return {
        **status_document(outcome.status),
        "leaseUntil": _optional(outcome.lease_until),
        "socketsRemaining": outcome.sockets_remaining,
    }


def connections_document(business: Business, rules: Rules, now: Instant) -> ConnectionsDocument:
    """The answer of ``GET …/connections``. Connections that no longer count are marked."""
    return {
        "businessId": business.business_id,
        "real": [
            {
                "connectionId": c.connection_id,
                "userId": c.user_id,
                "userAgent": c.user_agent,
                "deviceId": c.device_id,
                "active": rules.is_active(c, now),
                "connectedAt": timestamp(c.connected_at),
                "lastSeenAt": timestamp(c.last_seen_at),
            }
            for c in business.real
        ],
        "virtual": [
            {
                "userId": c.user_id,
                "active": rules.is_active(c, now),
                "createdAt": timestamp(c.created_at),
                "renewedAt": timestamp(c.renewed_at),
                "expiresAt": timestamp(c.expires_at),
            }
            for c in business.virtual
        ],
        "asOf": timestamp(now),
    }


def opening_hours_answer(
    business_id: BusinessId, hours: OpeningHours, now: Instant
) -> OpeningHoursAnswer:
    """The answer of ``GET`` and ``PUT …/opening-hours``."""
    document: Any = hours.document()
    return {
        "businessId": business_id,
        "openingHours": document,
        "openNow": hours.is_open(now),
        "nextChangeAt": _optional(hours.next_change(now)),
        "open": [
            {"opensAt": timestamp(opens), "closesAt": timestamp(closes)}
            for opens, closes in hours.intervals(now, now + _WEEK)
        ],
        "asOf": timestamp(now),
    }


def batch_document(
    asked: Sequence[BusinessId], online: Mapping[BusinessId, bool | None], now: Instant
) -> BatchDocument:
    """The answer of ``POST /businesses/online``."""
    return {
        "businesses": [{"businessId": b, "online": online[b]} for b in asked],
        "asOf": timestamp(now),
    }


def ticket_document(secret: str, ticket: Ticket) -> TicketDocument:
    """The answer of ``POST …/tickets``."""
    return {"ticket": secret, "expiresAt": timestamp(ticket.expires_at)}


def delivery_document(delivery: "Delivery") -> DeliveryDocument:
    """The answer of ``POST …/messages``."""
    return {
        "messageId": delivery.message_id,
        "reached": delivery.reached,
        "sent": delivery.sent,
        "gone": delivery.gone,
        "failed": delivery.failed,
    }


def attention_document(
    page: "AttentionPage", cursor: str | None, now: Instant
) -> AttentionPageDocument:
    """The answer of ``GET /businesses?attention=…``."""
    return {
        "businesses": [
            {
                "businessId": entry.business_id,
                "since": timestamp(entry.since),
                "seconds": now - entry.since,
                "status": status_document(status),
            }
            for entry, status in page.businesses
        ],
        "next": cursor,
        "asOf": timestamp(now),
    }


def transition_document(transition: "Transition") -> TransitionDocument:
    """One transition, in the history and in an event."""
    return {
        "sequence": transition.sequence,
        "at": timestamp(transition.at),
        "from": transition.before,
        "to": transition.after,
        "online": transition.online,
        "attention": transition.attention,
        "cause": transition.cause,
        "by": transition.by,
        "reasons": list(transition.reasons),
    }


def event_detail(transition: "Transition") -> EventDetail:
    """What an event on the bus says about a transition."""
    return {
        "version": EVENT_VERSION,
        "businessId": transition.business_id,
        **transition_document(transition),
    }


def history_document(page: "HistoryPage", cursor: str | None) -> HistoryDocument:
    """The answer of ``GET …/history``."""
    return {
        "businessId": page.business_id,
        "from": timestamp(page.start),
        "to": timestamp(page.end),
        "transitions": [transition_document(each) for each in page.transitions],
        "seconds": dict(page.seconds),
        "next": cursor,
    }


def cleanup_document(run: "CleanupRun") -> CleanupDocument:
    """The report of a cleanup run, as it is logged and returned."""
    return {
        "complete": run.complete,
        "dryRun": run.dry_run,
        "refusedBecause": run.refused_because,
        **{camel_case(name): count for name, count in asdict(run.report).items()},
    }


def pong(
    message_id: str | None, connection: RealConnection, rules: Rules, now: Instant
) -> PongMessage:
    """The answer to a ping."""
    return {
        "type": "pong",
        "id": message_id,
        "serverTime": timestamp(now),
        "pingEvery": rules.ping_interval,
        "reconnectAfter": max(0, reconnect_at(connection) - now),
    }


def status_message(message_id: str | None, status: BusinessStatus) -> StatusMessage:
    """The answer to a status message."""
    return {"type": "status", "id": message_id, "status": status_document(status)}


PushedDocument = PushMessage | AvailabilityChangedMessage | ErrorMessage
"""What a socket receives without asking for it."""


def message_document(message: SocketMessage) -> PushedDocument:
    """The JSON of a message that is sent without being asked for."""
    match message:
        case AvailabilityChanged():
            return {
                "type": "availability.changed",
                "businessId": message.business_id,
                "available": message.available,
                "at": timestamp(message.at),
            }
        case NotRegistered():
            detail = "this connection is no longer registered: connect again"
            return error_message(message.reply_to, "not_registered", detail)
        case TooManyMessages():
            detail = (
                f"this connection sent more than {MAX_MESSAGES_PER_MINUTE} messages within a minute"
                " and is closed: send fewer, then connect again"
            )
            return error_message(message.reply_to, "too_many_messages", detail)
        case ReservedAction():
            detail = "$connect and $disconnect are no actions; this connection is closed"
            return error_message(message.reply_to, "reserved_action", detail)
        case PushedMessage():
            return {"type": "message", "id": message.id, "body": message.body}


def error_message(message_id: str | None, code: ErrorCode, detail: str) -> ErrorMessage:
    """The answer to a message that could not be handled."""
    return {"type": "error", "id": message_id, "code": code, "detail": detail}
