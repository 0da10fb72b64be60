"""Examples for the contracts, made by the code that makes the real answers."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from contracts.schemas import Json, plain
from lambdas import protocol
from lambdas.domain.cleanup_report import CleanupReport
from lambdas.domain.identifiers import BusinessId, ConnectionId, DeviceId, UserId
from lambdas.domain.model import (
    Attention,
    Business,
    Cause,
    Episode,
    OverallStatus,
    Pause,
    RealConnection,
    Settings,
    Ticket,
    VirtualConnection,
)
from lambdas.domain.opening_hours import OpeningHours
from lambdas.domain.rules import Rules
from lambdas.domain.socket_messages import AvailabilityChanged, PushedMessage
from lambdas.domain.status import ReasonCode, judge
from lambdas.domain.transitions import Transition
from lambdas.use_cases.availability import AvailabilityOutcome
from lambdas.use_cases.cleanup_run import CleanupRun
from lambdas.use_cases.history import HistoryPage
from lambdas.use_cases.operators import AttentionPage
from lambdas.use_cases.ports import AttentionEntry
from lambdas.use_cases.push_messages import Delivery

_NOW: Final = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp())
_BUSINESS: Final = BusinessId("b1")
_OTHER: Final = BusinessId("b2")
_USER: Final = UserId("u1")
_ORDER: Final = {"order": "A-1042", "items": [{"name": "Margherita", "quantity": 2}]}
_MESSAGE_ID: Final = "5f0c7c1e2b7d4a54a1d1a1b7b0c9d3e2"

_RULES: Final = Rules(
    ping_interval=300,
    ping_grace=60,
    virtual_lease=12 * 3600,
    attention_grace=300,
    max_real_connections=50,
)
_SETTINGS: Final = Settings(
    available=True, version=7, updated_at=_NOW - 1800, updated_by=_USER, declared_by=_USER
)
_DEVICE: Final = RealConnection(
    business_id=_BUSINESS,
    connection_id=ConnectionId("O9oRTfeAoAMCK6g="),
    user_id=_USER,
    connected_at=_NOW - 900,
    last_seen_at=_NOW - 40,
    expires_at=_NOW + 6900,
    user_agent="Till/4.2 (Android 14)",
    device_id=DeviceId("till-1"),
    ping_interval=300,
)
_LEASE: Final = VirtualConnection(
    business_id=_BUSINESS,
    user_id=_USER,
    created_at=_NOW - 1800,
    renewed_at=_NOW,
    expires_at=_NOW + 12 * 3600,
)
_ONLINE: Final = Business(_BUSINESS, _SETTINGS, (_DEVICE,), (_LEASE,))
_VIRTUAL_ONLY: Final = Business(_BUSINESS, _SETTINGS, (), (_LEASE,))
_UNKNOWN: Final = Business(_OTHER, None, (), ())
_PAUSED: Final = replace(
    _ONLINE,
    settings=replace(_SETTINGS, pause=Pause(_NOW + 1200, "busy", _USER)),
)
_HOURS: Final = {
    "timeZone": "Europe/Berlin",
    "weekly": {
        "mo": [["11:00", "14:00"], ["17:00", "23:30"]],
        "fr": [["11:00", "02:00"]],
        "sa": [["11:00", "02:00"]],
    },
    "exceptions": {"2026-12-24": [], "2026-12-31": [["18:00", "02:00"]]},
}
_WITHOUT_DEVICE: Final = replace(_VIRTUAL_ONLY, settings=replace(_SETTINGS, expects_socket=False))
_NEEDS_ATTENTION: Final = replace(
    _VIRTUAL_ONLY,
    settings=replace(_SETTINGS, episode=Episode(Attention.VIRTUAL_ONLY, _NOW - 600)),
)


def _reasons(business: Business) -> tuple[ReasonCode, ...]:
    return tuple(reason.code for reason in judge(business, _NOW, _RULES).reasons)


_ONLINE_AGAIN: Final = Transition(
    business_id=_BUSINESS,
    sequence=40,
    at=_NOW - 2400,
    before=OverallStatus.CONNECTED_NOT_ACCEPTING,
    after=OverallStatus.ONLINE,
    attention=None,
    cause=Cause.PAUSE_ENDED,
    by=None,
    reasons=_reasons(_ONLINE),
    since=_NOW - 3600,
    seconds={},
)
_DISCONNECTED: Final = replace(
    _ONLINE_AGAIN,
    sequence=41,
    at=_NOW - 600,
    before=OverallStatus.ONLINE,
    after=OverallStatus.VIRTUAL_ONLY,
    cause=Cause.DEVICE_DISCONNECTED,
    reasons=_reasons(_VIRTUAL_ONLY),
    since=_NOW - 2400,
)
_TOLD: Final = replace(
    _DISCONNECTED,
    sequence=42,
    at=_NOW - 288,
    before=OverallStatus.VIRTUAL_ONLY,
    attention=Attention.VIRTUAL_ONLY,
    since=_NOW - 600,
)


def _status(business: Business) -> protocol.StatusDocument:
    return protocol.status_document(judge(business, _NOW, _RULES))


def requests() -> Json:
    """The bodies of REST requests, by the name of the function that handles them."""
    return {
        "put_availability": {"available": True},
        "post_online": {"businessIds": [_BUSINESS, _OTHER]},
        "put_pause": {"until": protocol.timestamp(_NOW + 1200), "reason": "busy"},
        "put_settings": {"expectsSocket": False},
        "put_opening_hours": _HOURS,
        "post_message": _ORDER,
        "post_cleanup": {"dryRun": True},
    }


def answers() -> Json:
    """The bodies of successful REST answers, by the name of the function that answers."""
    declared = AvailabilityOutcome(judge(_ONLINE, _NOW, _RULES), _LEASE.expires_at, 0)
    online = {b.business_id: judge(b, _NOW, _RULES).online for b in (_ONLINE, _UNKNOWN)}
    entry = AttentionEntry(_BUSINESS, _NOW - 600)
    page = AttentionPage([(entry, judge(_NEEDS_ATTENTION, _NOW, _RULES))], after=None)
    delivery = Delivery(_MESSAGE_ID, sent=2, gone=0, failed=0)
    dry_run = CleanupRun(
        CleanupReport(
            businesses=1, real=2, virtual=1, probed=1, gone=1, active_real=1, active_virtual=1
        ),
        complete=True,
        dry_run=True,
        attention_reports=(),
    )
    hours = protocol.opening_hours_answer(_BUSINESS, OpeningHours.read(_HOURS), _NOW)
    history = HistoryPage(
        _BUSINESS,
        start=_NOW - 3600,
        end=_NOW,
        transitions=(_TOLD, _DISCONNECTED, _ONLINE_AGAIN),
        seconds={
            OverallStatus.CONNECTED_NOT_ACCEPTING: 1200,
            OverallStatus.ONLINE: 1800,
            OverallStatus.VIRTUAL_ONLY: 600,
        },
        after=None,
    )
    documents = {
        "health": {"status": "ok", "environment": "prod"},
        "get_status": _status(_NEEDS_ATTENTION),
        "get_online": protocol.online_document(online[_BUSINESS], _NOW),
        "put_availability": protocol.availability_document(declared),
        "post_online": protocol.batch_document([_BUSINESS, _OTHER], online, _NOW),
        "put_pause": _status(_PAUSED),
        "delete_pause": _status(_ONLINE),
        "get_opening_hours": hours,
        "put_opening_hours": hours,
        "delete_opening_hours": _status(_ONLINE),
        "put_settings": _status(_WITHOUT_DEVICE),
        "get_history": protocol.history_document(history, None),
        "get_connections": protocol.connections_document(_ONLINE, _RULES, _NOW),
        "post_ticket": protocol.ticket_document(
            "Ug7zcG4vS1bVbYq1oJm0y3m1c6v4nZ7r2mJt0hXkq8E", Ticket(_BUSINESS, _USER, _NOW + 60)
        ),
        "post_message": protocol.delivery_document(delivery),
        "post_cleanup": protocol.cleanup_document(dry_run),
        "get_businesses": protocol.attention_document(page, None, _NOW),
    }
    return {name: plain(document) for name, document in documents.items()}


def messages() -> Json:
    """Messages of a socket, by the name of the message."""
    documents = {
        "ping": {"action": "ping", "id": "1"},
        "status": {"action": "status", "id": "2"},
        "pong": protocol.pong("1", _DEVICE, _RULES, _NOW),
        "statusAnswer": protocol.status_message("2", judge(_ONLINE, _NOW, _RULES)),
        "error": protocol.error_message(
            "3", "unknown_action", "there is no such action; the actions are: ping, status"
        ),
        "message": protocol.message_document(PushedMessage(_MESSAGE_ID, _ORDER)),
        "availabilityChanged": protocol.message_document(
            AvailabilityChanged(_BUSINESS, available=False, at=_NOW)
        ),
    }
    return {name: plain(document) for name, document in documents.items()}


def event() -> Json:
    """An event as a target of a rule gets it."""
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": protocol.EVENT_TYPE,
        "source": protocol.EVENT_SOURCE,
        "account": "111122223333",
        "time": protocol.timestamp(_TOLD.at + 2),
        "region": "eu-west-1",
        "resources": [],
        "detail": plain(protocol.event_detail(_TOLD)),
    }
