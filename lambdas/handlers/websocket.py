"""The WebSocket API: one function for each route, each with its own IAM role.

Business and user come only from the authorizer's context. AWS documents that context for
``$connect``. The other routes usually get it too; where it is missing, the table's index finds the
business.

Failures of the table are not caught here: API Gateway answers with its own error, and the
function's error metric alerts on-call.

A client can send a message whose action is ``$connect`` or ``$disconnect``. AWS does not document
which route receives it. Where the functions of those routes receive one, they close its socket at
once: they do not count messages, and a client that sends many must not use up what is reserved for
handshakes.
"""

from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import protocol
from lambdas.bootstrap import Service
from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue, TooManyConnections
from lambdas.domain.identifiers import BusinessId, ConnectionId, DeviceId
from lambdas.domain.model import RealConnection
from lambdas.domain.rules import sends_too_much
from lambdas.domain.socket_messages import (
    NotRegistered,
    ReservedAction,
    SocketMessage,
    TooManyMessages,
)
from lambdas.handlers import callers, json_bodies, snapshots
from lambdas.handlers.entry_point import Event, entry_point, logger
from lambdas.observability import MetricName

Reply = dict[str, Any]
"""A status code, which only ``$connect`` needs, and the message to send back, if any."""

ACTIONS: Final = ("ping", "status")
MESSAGE_ID_MAX: Final = 128
"""Characters that the id of a client's message may have."""

_FIELDS_NAMED: Final = 5
_FIELD_NAME_MAX: Final = 40


@entry_point
def on_connect(service: Service, event: Event, context: LambdaContext) -> Reply:
    """Register a socket. Nothing can be sent to it until this has answered 200."""
    socket = _socket(event)
    if event["requestContext"]["eventType"] != "CONNECT":
        return _refuse_reserved_action(service, socket, event)
    authorizer = event["requestContext"]["authorizer"]
    business_id = identifiers.business_id(authorizer["businessId"])
    user_id = callers.user_of(authorizer)
    try:
        admitted = service.admission.connect(
            business_id,
            user_id,
            socket.connection_id,
            user_agent=_user_agent(event),
            device_id=_device_id(event),
        )
    except InvalidValue as error:
        logger.warning("connection refused", extra={"reason": str(error)})
        return {"statusCode": 400, "body": str(error)}
    except TooManyConnections as error:
        logger.warning("connection refused", extra={"reason": str(error)})
        return {"statusCode": 429, "body": str(error)}
    service.metrics.count_of(business_id, MetricName.CONNECTED)
    logger.info(
        "connected",
        extra={
            "userId": user_id,
            "userAgent": admitted.connection.user_agent,
            "deviceId": admitted.connection.device_id,
            "replaced": " ".join(replaced.connection_id for replaced in admitted.replaced),
        },
    )
    return {"statusCode": 200}


@entry_point
def on_disconnect(service: Service, event: Event, context: LambdaContext) -> Reply:
    """Forget a socket. API Gateway does not promise this call: the cleanup finds what it misses."""
    socket = _socket(event)
    if event["requestContext"]["eventType"] != "DISCONNECT":
        return _refuse_reserved_action(service, socket, event)
    removed = service.presence.disconnect(socket.business_id, socket.connection_id)
    business_id = removed.business_id if removed else socket.business_id
    service.metrics.count_of(business_id, MetricName.DISCONNECTED)
    code = event["requestContext"].get("disconnectStatusCode")
    logger.info(
        "disconnected",
        extra={
            "wasRegistered": removed is not None,
            "closeCode": code,
            "userAgent": removed.user_agent if removed else None,
        },
    )
    return {"statusCode": 200}


@entry_point
def on_ping(service: Service, event: Event, context: LambdaContext) -> Reply:
    """Answer a client's heartbeat, which keeps its real connection active."""
    socket, message = _socket(event), _message(event)
    connection = _heard_from(service, socket, message, is_ping=message.problem is None)
    if connection is None:
        return _no_reply()
    if message.problem:
        return _reply(protocol.error_message(message.id, "bad_request", message.problem))
    return _reply(
        protocol.pong(message.id, connection, service.configuration.rules, service.clock())
    )


@entry_point
def on_status(service: Service, event: Event, context: LambdaContext) -> Reply:
    """Tell a device how its business stands."""
    socket, message = _socket(event), _message(event)
    connection = _heard_from(service, socket, message)
    if connection is None:
        return _no_reply()
    if message.problem:
        return _reply(protocol.error_message(message.id, "bad_request", message.problem))
    status = service.status_reader.comprehensive_business_status(connection.business_id)
    return _reply(protocol.status_message(message.id, status))


@entry_point
def on_default(service: Service, event: Event, context: LambdaContext) -> Reply:
    """Answer a message that no other route handles. The socket stays open."""
    socket, message = _socket(event), _message(event)
    if _heard_from(service, socket, message) is None:
        return _no_reply()
    return _error_reply(message)


@dataclass(frozen=True, slots=True)
class _Socket:
    connection_id: ConnectionId
    business_id: BusinessId | None


def _socket(event: Event) -> _Socket:
    request = event["requestContext"]
    business_id = (request.get("authorizer") or {}).get("businessId")
    socket = _Socket(
        connection_id=ConnectionId(request["connectionId"]),
        business_id=identifiers.business_id(business_id) if business_id else None,
    )
    logger.append_keys(
        connectionId=socket.connection_id,
        businessId=socket.business_id,
        requestId=request.get("requestId"),
    )
    return socket


def _user_agent(event: Event) -> str | None:
    """What a client calls itself in its handshake. No other event has headers."""
    headers = event.get("headers") or {}
    return next((value for name, value in headers.items() if name.lower() == "user-agent"), None)


def _device_id(event: Event) -> DeviceId | None:
    """What a device calls itself in its handshake. Raises `InvalidValue`."""
    query = event.get("multiValueQueryStringParameters") or {}
    match query.get("deviceId", []):
        case []:
            return None
        case [device_id]:
            return identifiers.device_id(device_id)
    raise InvalidValue("deviceId", "must come once at most")


@dataclass(frozen=True, slots=True)
class _Message:
    """A client's message, as far as it could be parsed."""

    id: str | None
    action: str | None
    problem: str | None
    """What is wrong with it, in words for the client."""


def _message(event: Event) -> _Message:
    body: Any
    try:
        body = json_bodies.parse(event.get("body") or "")
    except InvalidValue as error:
        return _Message(None, None, error.problem)
    if not isinstance(body, dict):
        return _Message(None, None, "must be a JSON object")
    message_id = body.get("id")
    action = body.get("action")
    if not isinstance(action, str):
        action = None
    if message_id is not None and not (
        isinstance(message_id, str) and len(message_id) <= MESSAGE_ID_MAX
    ):
        problem = f"id: must be a string of at most {MESSAGE_ID_MAX} characters"
        return _Message(None, action, problem)
    if unknown := body.keys() - {"action", "id"}:
        problem = f"only the fields action and id are allowed, not: {_some_of(unknown)}"
        return _Message(message_id, action, problem)
    return _Message(message_id, action, None)


def _some_of(names: Set[str]) -> str:
    """Name only a few fields: all of them, escaped, could exceed the limit of a message."""
    named = ", ".join(
        name if len(name) <= _FIELD_NAME_MAX else f"{name[:_FIELD_NAME_MAX]}…"
        for name in sorted(names)[:_FIELDS_NAMED]
    )
    more = len(names) - _FIELDS_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _heard_from(
    service: Service, socket: _Socket, message: _Message, *, is_ping: bool = False
) -> RealConnection | None:
    """Record a sign of life. None if the socket was told an error and closed instead."""
    connection = service.presence.heard_from(
        socket.business_id, socket.connection_id, is_ping=is_ping
    )
    if connection is None:
        logger.warning("message from a connection that is not registered")
        _close_socket(service, socket, NotRegistered(message.id))
        return None
    if sends_too_much(connection):
        logger.warning("too many messages", extra={"messages": connection.messages})
        _close_socket(service, socket, TooManyMessages(message.id))
        return None
    return connection


def _close_socket(service: Service, socket: _Socket, reason: SocketMessage) -> None:
    service.sockets.post(socket.connection_id, reason)
    service.sockets.close(socket.connection_id)


def _refuse_reserved_action(service: Service, socket: _Socket, event: Event) -> Reply:
    """Close the socket of a client that sent a message to a route of API Gateway's own events."""
    logger.warning("message with a reserved action")
    _close_socket(service, socket, ReservedAction(_message(event).id))
    return _no_reply()


def _error_reply(message: _Message) -> Reply:
    """Say what is wrong with a message that no route handles."""
    if message.action is None:
        problem = message.problem or 'must be a JSON object with a string "action"'
        return _reply(protocol.error_message(message.id, "bad_request", problem))
    known = ", ".join(ACTIONS)
    detail = f"there is no such action; the actions are: {known}"
    return _reply(protocol.error_message(message.id, "unknown_action", detail))


def _reply(document: Any) -> Reply:
    return {"statusCode": 200, "body": protocol.encode(document).decode()}


def _no_reply() -> Reply:
    return {"statusCode": 200}


snapshots.before_snapshot(
    lambda service: (
        service.admission,
        service.presence,
        service.status_reader,
        service.sockets,
        service.metrics,
    )
)
