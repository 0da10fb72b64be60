"""The REST API. Each route: authorize, call one use case, translate the outcome."""

import os
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar, get_type_hints
from urllib.parse import quote, unquote
from uuid import uuid4

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, CORSConfig, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from lambdas import problems, protocol, variables
from lambdas.bootstrap import Service
from lambdas.domain import identifiers, instants, opening_hours
from lambdas.domain.authorization import Caller, Operation, authorize, may
from lambdas.domain.errors import (
    Conflict,
    DomainError,
    InvalidValue,
    MessageTooLarge,
    NotFound,
    Unavailable,
)
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.model import Attention
from lambdas.domain.opening_hours import OpeningHours
from lambdas.domain.socket_messages import PushedMessage, repeatable_message_id
from lambdas.domain.status import BusinessStatus
from lambdas.handlers import callers, cursors, json_bodies, problem_responses, snapshots
from lambdas.handlers.entry_point import Event, entry_point, logger
from lambdas.handlers.requests import (
    REQUESTS,
    AvailabilityRequest,
    CleanupRequest,
    OnlineRequest,
    OpeningHoursBody,
    PauseRequest,
    SettingsRequest,
)
from lambdas.observability import MetricName
from lambdas.problems import ProblemType
from lambdas.routes import CORS_HEADERS, ROUTES, methods_by_path

MAX_BODY: Final = 128 * 1024
"""Bytes that a request body or a message to a socket may have: API Gateway sends no larger one."""

_RESERVED_MILLISECONDS: Final = 15_000
"""No new work starts this long before the function times out, so that it can still answer.

The slowest single call is one to the table: three attempts of 4 seconds, and the waits in between.
"""


def _cors(origins: str) -> CORSConfig | None:
    """What pages of these origins (comma separated) may do. By default, none may call the API."""
    if not origins:
        return None
    first, *others = origins.split(",")
    return CORSConfig(
        allow_origin=first, extra_origins=others, allow_headers=list(CORS_HEADERS), max_age=600
    )


def _parse(body: str) -> Any:
    value = json_bodies.parse(body)
    if value is None:
        # Powertools would treat null as a missing body.
        raise InvalidValue("body", "must not be null")
    # Powertools would take the first element of a list (`_normalize_field_value`).
    return tuple(value) if isinstance(value, list) else value


app: Final = APIGatewayRestResolver(
    enable_validation=True,
    cors=_cors(os.environ.get(variables.CORS_ORIGINS, "")),
    json_body_deserializer=_parse,
)

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Answer = Response[Any]
_Next = Callable[[APIGatewayRestResolver], _Answer]
_Middleware = Callable[[APIGatewayRestResolver, _Next], _Answer]


_FIELDS: Final = {
    *("body", "businessId", "connectionId", "openingHours"),
    *("Idempotency-Key", "idempotency-key"),  # Pydantic writes headers in lower case
    *opening_hours.FIELDS,
    *(name for model in REQUESTS for name in model.model_fields),
}
"""The names of what a request can have. Each route adds its query parameters."""


def _handles_route(function: _Function) -> _Function:
    """Register the function of the route that `ROUTES` lists under its name.

    The check of the caller's rights belongs to the route, so a request cannot reach the function
    without it.
    """
    route = ROUTES[function.__name__]
    rule = route.path.replace("{businessId}", "<business_id>")
    rule = rule.replace("{connectionId}", "<connection_id>")
    query = frozenset(
        part.alias or name
        for name, hint in get_type_hints(function, include_extras=True).items()
        for part in getattr(hint, "__metadata__", ())
        if isinstance(part, Query)
    )
    _FIELDS.update(query)
    checks = [_refusing_what_would_be_ignored(query), _authorizing(route.operation)]
    app.route(rule, method=route.method, middlewares=checks)(function)
    return function


_ONCE: Final = "must come at most once"


def _refusing_what_would_be_ignored(query: frozenset[str]) -> _Middleware:
    """Refuse query parameters that the route does not have, and a second Idempotency-Key."""

    def refuse(app: APIGatewayRestResolver, next_middleware: _Next) -> _Answer:
        event = app.current_event
        for name in event.get("multiValueQueryStringParameters") or {}:
            if name not in query:
                raise InvalidValue(name, "is not a query parameter of this request")
        headers = event.get("multiValueHeaders") or {}
        if sum(name.lower() == "idempotency-key" for name in headers) > 1:
            raise InvalidValue("Idempotency-Key", _ONCE)
        return next_middleware(app)

    return refuse


def _authorizing(operation: Operation | None) -> _Middleware:
    """Refuse a caller who may not do this. None: anybody may."""

    def check(app: APIGatewayRestResolver, next_middleware: _Next) -> _Answer:
        if operation is not None:
            named = (app.current_event.get("pathParameters") or {}).get("businessId")
            authorize(_caller(), operation, None if named is None else _business_id(named))
        return next_middleware(app)

    return check


def _business_id(text: str) -> BusinessId:
    """The business id in a path. All later log lines of the request name it."""
    business_id = identifiers.business_id(unquote(text))
    logger.append_keys(businessId=business_id)
    return business_id


def _connection_id(text: str) -> ConnectionId:
    connection_id = identifiers.connection_id(unquote(text))
    logger.append_keys(connectionId=connection_id)
    return connection_id


def _whole_number(text: object) -> object:
    """Accept plain digits only: Pydantic alone would accept ``+5``, `` 5`` and ``5.0``."""
    if not (isinstance(text, str) and re.fullmatch(r"0|[1-9][0-9]*", text)):
        raise PydanticCustomError("whole_number", "must be a whole number")
    return text


def _moment(name: str, description: str) -> Any:
    """A query parameter that is a moment in RFC 3339."""
    schema = {"format": "date-time", "examples": ["2026-01-31T12:00:00Z"]}
    return Query(alias=name, description=description, json_schema_extra=schema)


BusinessIdPath = Annotated[
    BusinessId,
    BeforeValidator(_business_id),
    Path(description="The business, as the marketplace names it."),
]
ConnectionIdPath = Annotated[
    ConnectionId,
    BeforeValidator(_connection_id),
    Path(description="The socket, as API Gateway names it."),
]


@_handles_route
def health() -> dict[str, str]:
    """Liveness of the deployment: it answers, and its configuration is complete."""
    return {"status": "ok", "environment": _service().configuration.environment}


@_handles_route
def get_status(business_id: BusinessIdPath) -> protocol.StatusDocument:
    """The comprehensive status of a business, and the evidence for it."""
    status = _service().status_reader.comprehensive_business_status(business_id)
    return protocol.status_document(status)


@_handles_route
def get_online(business_id: BusinessIdPath) -> Response[protocol.OnlineDocument]:
    """Whether customers can order at this moment. Eventually consistent."""
    service = _service()
    online = service.status_reader.is_business_online(business_id)
    return Response(
        status_code=200,
        content_type="application/json",
        headers={"Cache-Control": "private, max-age=5"},
        body=protocol.online_document(online, service.clock()),
    )


@_handles_route
def put_availability(
    business_id: BusinessIdPath, body: AvailabilityRequest
) -> protocol.AvailabilityDocument:
    """Declare a business available or unavailable. Available gives the caller a new lease;
    unavailable ends every virtual connection and closes every socket.
    """
    outcome = _service().availability.set_business_availability(
        business_id, _caller().user_id, body.available, out_of_time=_out_of_time
    )
    logger.info(
        "availability set",
        extra={"available": body.available, "socketsRemaining": outcome.sockets_remaining},
    )
    return protocol.availability_document(outcome)


@_handles_route
def post_online(body: OnlineRequest) -> protocol.BatchDocument:
    """Whether customers can order, for up to 100 businesses. Keeps order and duplicates."""
    asked = [
        identifiers.business_id(business_id, field=f"businessIds.{position}")
        for position, business_id in enumerate(body.businessIds)
    ]
    service = _service()
    online = service.status_reader.are_businesses_online(asked, out_of_time=_out_of_time)
    return protocol.batch_document(asked, online, service.clock())


@_handles_route
def put_pause(
    business_id: BusinessIdPath, body: PauseRequest
) -> protocol.StatusDocument | protocol.PauseDocument:
    """Stop accepting orders for a while. Nobody is disconnected, and it ends by itself. An operator
    must give a reason. While an operator's pause holds, only an operator can change it. A back end
    gets the shorter answer, because it may not read the status.
    """
    caller = _caller()
    status = _service().settings_writer.pause_business(
        business_id,
        caller.user_id,
        instants.read_instant("until", body.until),
        body.reason,
        acting_as=caller.acting_as(business_id),
    )
    return _after_pause(caller, status)


@_handles_route
def delete_pause(
    business_id: BusinessIdPath,
) -> protocol.StatusDocument | protocol.PauseDocument:
    """End a pause now. Fine if there is none. Only an operator can end an operator's pause. A back
    end gets the shorter answer, because it may not read the status.
    """
    caller = _caller()
    status = _service().settings_writer.resume_business(
        business_id, caller.user_id, acting_as=caller.acting_as(business_id)
    )
    return _after_pause(caller, status)


def _after_pause(
    caller: Caller, status: BusinessStatus
) -> protocol.StatusDocument | protocol.PauseDocument:
    if may(caller, Operation.READ_STATUS, status.business_id):
        return protocol.status_document(status)
    return protocol.pause_document(status)


@_handles_route
def get_opening_hours(business_id: BusinessIdPath) -> protocol.OpeningHoursAnswer:
    """The opening hours of a business, and what they mean in the coming seven days."""
    business = _service().status_reader.stored_business(business_id)
    if business.settings is None or business.settings.opening_hours is None:
        raise NotFound("the business has no opening hours")
    hours = business.settings.opening_hours
    return protocol.opening_hours_answer(business_id, hours, _service().clock())


@_handles_route
def put_opening_hours(
    business_id: BusinessIdPath, body: OpeningHoursBody
) -> protocol.OpeningHoursAnswer:
    """Set when a business that is available accepts orders. Replaces earlier opening hours."""
    hours = OpeningHours.read(body)
    status = _set_opening_hours(business_id, hours)
    now = status.as_of
    return protocol.opening_hours_answer(business_id, hours.without_past_exceptions(now), now)


@_handles_route
def delete_opening_hours(business_id: BusinessIdPath) -> protocol.StatusDocument:
    """Remove the opening hours: a business that is available accepts orders at all times. Fine if
    there are none.
    """
    return protocol.status_document(_set_opening_hours(business_id, None))


def _set_opening_hours(business_id: BusinessId, hours: OpeningHours | None) -> BusinessStatus:
    caller = _caller()
    return _service().settings_writer.set_opening_hours(
        business_id, caller.user_id, hours, acting_as=caller.acting_as(business_id)
    )


@_handles_route
def put_settings(business_id: BusinessIdPath, body: SettingsRequest) -> protocol.StatusDocument:
    """Set whether a device is expected. If not, the business never needs attention."""
    caller = _caller()
    status = _service().settings_writer.expect_socket(
        business_id,
        caller.user_id,
        body.expectsSocket,
        acting_as=caller.acting_as(business_id),
    )
    return protocol.status_document(status)


@_handles_route
def get_connections(business_id: BusinessIdPath) -> protocol.ConnectionsDocument:
    """All stored connections of a business, by type."""
    service = _service()
    stored = service.status_reader.stored_business(business_id)
    return protocol.connections_document(stored, service.configuration.rules, service.clock())


@_handles_route
def get_history(
    business_id: BusinessIdPath,
    from_: Annotated[
        str | None, _moment("from", "When the window begins: by default, a day before `to`.")
    ] = None,
    to: Annotated[
        str | None, _moment("to", "When the window ends: by default, and at the latest, now.")
    ] = None,
    cursor: Annotated[str | None, Query(description="`next` of the previous page.")] = None,
) -> protocol.HistoryDocument:
    """What happened to a business: its transitions, and the seconds in each status. The window may
    have up to 31 days. Send `from` and `to` of the first page with each cursor.
    """
    reader = _service().history_reader
    if reader is None:
        raise NotFound("this environment keeps no history")
    page = reader.business_history(
        business_id,
        None if from_ is None else instants.read_instant("from", from_),
        None if to is None else instants.read_instant("to", to),
        after=None if cursor is None else cursors.decode_position(cursor),
    )
    following = None if page.after is None else cursors.encode_position(page.after)
    return protocol.history_document(page, following)


@_handles_route
def delete_connection(
    business_id: BusinessIdPath, connection_id: ConnectionIdPath
) -> Response[str]:
    """Close one socket and remove its connection."""
    _service().operators.close_connection(business_id, connection_id, _caller().user_id)
    logger.info("connection closed by an operator")
    return Response(status_code=HTTPStatus.NO_CONTENT, body="")


@_handles_route
def post_ticket(business_id: BusinessIdPath) -> Response[protocol.TicketDocument]:
    """A ticket with which a browser can open one WebSocket, within a minute."""
    return Response(
        status_code=200,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
        body=protocol.ticket_document(*_service().tickets.issue(business_id, _caller().user_id)),
    )


@_handles_route
def post_message(
    business_id: BusinessIdPath,
    body: Annotated[
        Any, Body(description="What devices receive as `body`: any JSON value but null.")
    ],
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=128, alias="Idempotency-Key")
    ] = None,
) -> protocol.DeliveryDocument:
    """Push a JSON body to every active real connection. With an `Idempotency-Key`, a repeated call
    gets the first answer and sends nothing again, unless API Gateway took the message for no
    socket and failed for some.
    """
    message_id = (
        uuid4().hex
        if idempotency_key is None
        else repeatable_message_id(business_id, _caller().user_id, idempotency_key)
    )
    message = PushedMessage(message_id, body)
    size = len(protocol.encode(protocol.message_document(message)))
    if size > MAX_BODY:
        raise MessageTooLarge(
            f"the message has {size} bytes with its envelope, but may have at most {MAX_BODY}"
        )

    service = _service()

    def push() -> protocol.DeliveryDocument:
        delivery = service.messaging.push(business_id, message, _out_of_time)
        service.metrics.count_of(business_id, MetricName.MESSAGES_SENT, delivery.sent)
        service.metrics.count_of(business_id, MetricName.MESSAGES_GONE, delivery.gone)
        document = protocol.delivery_document(delivery)
        logger.info("message pushed", extra={"delivery": document})
        if delivery.not_removed:
            logger.warning(
                "connections could not be removed", extra={"connections": delivery.not_removed}
            )
        return document

    if idempotency_key is None:
        return push()
    calls = service.idempotent_calls
    return calls.once(
        business_id,
        _caller().user_id,
        idempotency_key,
        body,
        push,
        app.lambda_context,
        # What the gateway failed to take anywhere may be taken next time.
        is_final=lambda delivery: delivery["sent"] > 0 or delivery["failed"] == 0,
    )


@_handles_route
def post_cleanup(
    business_id: BusinessIdPath, body: CleanupRequest | None = None
) -> protocol.CleanupDocument:
    """Clean up the connections of one business now or, in a dry run, say what that would do."""
    run = _service().cleanup.cleanup_business_connections(
        business_id, out_of_time=_out_of_time, dry_run=body is not None and body.dryRun
    )
    if run.report.recorded:
        _service().metrics.count(MetricName.TRANSITIONS, run.report.recorded)
    document = protocol.cleanup_document(run)
    if run.skipped:
        logger.warning(
            "cleanup of one business", extra={"report": document, "skipped": run.skipped}
        )
    else:
        logger.info("cleanup of one business", extra={"report": document})
    if run.error is not None:
        raise run.error
    return document


@_handles_route
def get_businesses(
    attention: Annotated[Attention, Query(description="Why they need attention.")],
    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(_whole_number), Query()] = 20,
    cursor: Annotated[str | None, Query(description="`next` of the previous page.")] = None,
) -> protocol.AttentionPageDocument:
    """The businesses that need attention right now, longest first."""
    after = None if cursor is None else cursors.decode(cursor)
    page = _service().operators.list_attention(
        attention, limit=limit, out_of_time=_out_of_time, after=after
    )
    following = None if page.after is None else cursors.encode(page.after)
    return protocol.attention_document(page, following, _service().clock())


@entry_point
def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway's proxy integration."""
    logger.append_keys(requestId=event["requestContext"].get("requestId"))
    size = len((event.get("body") or "").encode())
    if size > MAX_BODY:
        detail = f"the body has {size} bytes, but may have at most {MAX_BODY}"
        return problem_responses.proxy_answer(
            problem_responses.problem(problems.PAYLOAD_TOO_LARGE, detail)
        )
    # API Gateway has already matched the resource. Encode the path parameters again, so that an id
    # with a character that a path may not have still reaches the check that names it.
    path = event["resource"]
    for name, value in (event.get("pathParameters") or {}).items():
        path = path.replace(f"{{{name}}}", quote(unquote(value), safe=""))
    # Treat every body as JSON, whatever its header says: `curl -d` calls everything a form.
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    headers["content-type"] = "application/json"
    app.append_context(service=service)  # type: ignore[no-untyped-call] # Powertools has no types here
    answer = app.resolve({**event, "path": path, "headers": headers}, context)
    if answer["statusCode"] == HTTPStatus.INTERNAL_SERVER_ERROR:
        service.metrics.publish_of_version(MetricName.INTERNAL_ERRORS, context.function_version)
    return answer


def _service() -> Service:
    """The parts of this function. Powertools keeps them while it answers a request."""
    service: Service = app.context["service"]
    return service


def _caller() -> Caller:
    return callers.caller_of(app.current_event["requestContext"]["authorizer"])


def _out_of_time() -> bool:
    left = app.lambda_context.get_remaining_time_in_millis()
    return left < _RESERVED_MILLISECONDS


@app.exception_handler(DomainError)
def _on_domain_error(error: DomainError) -> Response[str]:
    kind = problem_responses.kind_of(error)
    if isinstance(error, InvalidValue):
        _log_refused(kind, fields=[error.field])
    elif isinstance(error, (Conflict, Unavailable)):  # a text of ours
        _log_refused(kind, reason=str(error))
    else:
        _log_refused(kind)
    return problem_responses.of_domain(error)


@app.exception_handler(RequestValidationError)
def _on_invalid_request(error: RequestValidationError) -> Response[str]:
    errors = [_field_error(found) for found in error.errors()]
    _log_refused(problems.INVALID_REQUEST, fields=[each["field"] for each in errors])
    detail = "; ".join(f"{e['field']}: {e['problem']}" for e in errors)
    return problem_responses.problem(problems.INVALID_REQUEST, detail, errors=errors)


_OTHER_FIELD: Final = "other"
"""What the log calls a field that a client made up."""


def _log_refused(kind: ProblemType, *, fields: Sequence[str] = (), **more: str) -> None:
    """Log what kind of problem it was, without any text of the client: neither a wrong value nor
    the name of a field that does not exist, nor the reason of somebody's pause.
    """
    roots = (each.partition(".")[0] for each in fields)
    named = sorted({root if root in _FIELDS else _OTHER_FIELD for root in roots})
    if named:
        more["field"] = " ".join(named)
    logger.info("refused", extra={"problem": kind.name, "status": kind.status.value, **more})


_PROBLEMS: Final = {
    "bool_type": "must be true or false",
    "enum": "must be {expected}",
    "extra_forbidden": "is not a field of this request",
    "greater_than_equal": "must be at least {ge}",
    "int_parsing_size": "must be a smaller number",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "missing": "is required",
    "model_attributes_type": "must be a JSON object",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have {min_length} or more characters",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode, without lone surrogates such as \\ud800",
    "too_long": "must have at most {max_length} entries, but has {actual_length}",
    "too_short": "must have {min_length} or more entries",
}
"""What would be right, by Pydantic's type of error, with the values of its context."""


def _field_error(found: dict[str, Any]) -> dict[str, str]:
    where, *path = [str(part) for part in found["loc"]]
    template = _PROBLEMS.get(found["type"])
    problem = template.format(**found.get("ctx", {})) if template else found["msg"]
    if where in ("query", "header") and isinstance(found.get("input"), list):
        problem = _ONCE
    return {"field": ".".join(path) or where, "problem": problem}


@app.not_found
def _on_no_route(_: NotFoundError) -> Response[str]:
    event = app.current_event
    allowed = methods_by_path().get(event["resource"])
    if allowed is None:
        return problem_responses.problem(problems.NOT_FOUND, f"there is no resource {event.path}")
    return problem_responses.problem(
        problems.METHOD_NOT_ALLOWED,
        f"{event.http_method} is not a method of this resource, only {', '.join(allowed)}",
        headers={"Allow": ", ".join(allowed)},
    )


@app.exception_handler(Exception)
def _on_defect(_: Exception) -> Response[str]:
    logger.exception("defect")
    return problem_responses.problem(
        problems.INTERNAL_ERROR, "the error is logged with the request id"
    )


snapshots.before_snapshot(
    lambda service: (
        service.status_reader,
        service.availability,
        service.settings_writer,
        service.messaging,
        service.idempotent_calls,
        service.tickets,
        service.history_reader,
        service.operators,
        service.metrics,
    )
)
