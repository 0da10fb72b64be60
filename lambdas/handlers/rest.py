"""The REST API. Each route calls one use case and translates the outcome."""

from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote
from uuid import uuid4

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Query
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BeforeValidator, Field

from lambdas import problems, protocol
from lambdas.bootstrap import Service
from lambdas.domain import identifiers, instants
from lambdas.domain.authorization import Caller, Operation, may
from lambdas.domain.errors import MessageTooLarge, NotFound
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention
from lambdas.domain.opening_hours import OpeningHours
from lambdas.domain.socket_messages import PushedMessage, repeatable_message_id
from lambdas.domain.status import BusinessStatus
from lambdas.handlers import cursors, problem_responses, snapshots
from lambdas.handlers import rest_errors as rest_errors  # it registers what answers errors
from lambdas.handlers.entry_point import Event, entry_point, logger
from lambdas.handlers.requests import (
    AvailabilityRequest,
    CleanupRequest,
    OnlineRequest,
    OpeningHoursBody,
    PauseRequest,
    SettingsRequest,
)
from lambdas.handlers.rest_app import (
    BusinessIdPath,
    ConnectionIdPath,
    app,
    current_caller,
    current_service,
    handles_route,
    moment,
    out_of_time,
    whole_number,
)
from lambdas.observability import MetricName

MAX_BODY: Final = 128 * 1024
"""Bytes that a request body or a message to a socket may have: API Gateway sends no larger one."""


@handles_route
def health() -> dict[str, str]:
    """Liveness of the deployment: it answers, and its configuration is complete."""
    return {"status": "ok", "environment": current_service().configuration.environment}


@handles_route
def get_status(business_id: BusinessIdPath) -> protocol.StatusDocument:
    """The comprehensive status of a business, and the evidence for it."""
    status = current_service().status_reader.comprehensive_business_status(business_id)
    return protocol.status_document(status)


@handles_route
def get_online(business_id: BusinessIdPath) -> Response[protocol.OnlineDocument]:
    """Whether customers can order at this moment. Eventually consistent."""
    service = current_service()
    online = service.status_reader.is_business_online(business_id)
    return Response(
        status_code=200,
        content_type="application/json",
        headers={"Cache-Control": "private, max-age=5"},
        body=protocol.online_document(online, service.clock()),
    )


@handles_route
def put_availability(
    business_id: BusinessIdPath, body: AvailabilityRequest
) -> protocol.AvailabilityDocument:
    """Declare a business available or unavailable. Available gives the caller a new lease;
    unavailable ends every virtual connection and closes every socket.
    """
    outcome = current_service().availability.set_business_availability(
        business_id, current_caller().user_id, body.available, out_of_time=out_of_time
    )
    logger.info(
        "availability set",
        extra={"available": body.available, "socketsRemaining": outcome.sockets_remaining},
    )
    return protocol.availability_document(outcome)


@handles_route
def post_online(body: OnlineRequest) -> protocol.BatchDocument:
    """Whether customers can order, for up to 100 businesses. Keeps order and duplicates."""
    asked = [
        identifiers.business_id(business_id, field=f"businessIds.{position}")
        for position, business_id in enumerate(body.businessIds)
    ]
    service = current_service()
    online = service.status_reader.are_businesses_online(asked, out_of_time=out_of_time)
    return protocol.batch_document(asked, online, service.clock())


@handles_route
def put_pause(
    business_id: BusinessIdPath, body: PauseRequest
) -> protocol.StatusDocument | protocol.PauseDocument:
    """Stop accepting orders for a while. Nobody is disconnected, and it ends by itself. An operator
    must give a reason. While an operator's pause holds, only an operator can change it. A back end
    gets the shorter answer, because it may not read the status.
    """
    caller = current_caller()
    status = current_service().settings_writer.pause_business(
        business_id,
        caller.user_id,
        instants.read_instant("until", body.until),
        body.reason,
        acting_as=caller.acting_as(business_id),
    )
    return _after_pause(caller, status)


@handles_route
def delete_pause(
    business_id: BusinessIdPath,
) -> protocol.StatusDocument | protocol.PauseDocument:
    """End a pause now. Fine if there is none. Only an operator can end an operator's pause. A back
    end gets the shorter answer, because it may not read the status.
    """
    caller = current_caller()
    status = current_service().settings_writer.resume_business(
        business_id, caller.user_id, acting_as=caller.acting_as(business_id)
    )
    return _after_pause(caller, status)


def _after_pause(
    caller: Caller, status: BusinessStatus
) -> protocol.StatusDocument | protocol.PauseDocument:
    if may(caller, Operation.READ_STATUS, status.business_id):
        return protocol.status_document(status)
    return protocol.pause_document(status)


@handles_route
def get_opening_hours(business_id: BusinessIdPath) -> protocol.OpeningHoursAnswer:
    """The opening hours of a business, and what they mean in the coming seven days."""
    business = current_service().status_reader.stored_business(business_id)
    if business.settings is None or business.settings.opening_hours is None:
        raise NotFound("the business has no opening hours")
    hours = business.settings.opening_hours
    return protocol.opening_hours_answer(business_id, hours, current_service().clock())


@handles_route
def put_opening_hours(
    business_id: BusinessIdPath, body: OpeningHoursBody
) -> protocol.OpeningHoursAnswer:
    """Set when a business that is available accepts orders. Replaces earlier opening hours."""
    hours = OpeningHours.read(body)
    status = _set_opening_hours(business_id, hours)
    now = status.as_of
    return protocol.opening_hours_answer(business_id, hours.without_past_exceptions(now), now)


@handles_route
def delete_opening_hours(business_id: BusinessIdPath) -> protocol.StatusDocument:
    """Remove the opening hours: a business that is available accepts orders at all times. Fine if
    there are none.
    """
    return protocol.status_document(_set_opening_hours(business_id, None))


def _set_opening_hours(business_id: BusinessId, hours: OpeningHours | None) -> BusinessStatus:
    caller = current_caller()
    return current_service().settings_writer.set_opening_hours(
        business_id, caller.user_id, hours, acting_as=caller.acting_as(business_id)
    )


@handles_route
def put_settings(business_id: BusinessIdPath, body: SettingsRequest) -> protocol.StatusDocument:
    """Set whether a device is expected. If not, the business never needs attention."""
    caller = current_caller()
    status = current_service().settings_writer.expect_socket(
        business_id,
        caller.user_id,
        body.expectsSocket,
        acting_as=caller.acting_as(business_id),
    )
    return protocol.status_document(status)


@handles_route
def get_connections(business_id: BusinessIdPath) -> protocol.ConnectionsDocument:
    """All stored connections of a business, by type."""
    service = current_service()
    stored = service.status_reader.stored_business(business_id)
    return protocol.connections_document(stored, service.configuration.rules, service.clock())


@handles_route
def get_history(
    business_id: BusinessIdPath,
    from_: Annotated[
        str | None, moment("from", "When the window begins: by default, a day before `to`.")
    ] = None,
    to: Annotated[
        str | None, moment("to", "When the window ends: by default, and at the latest, now.")
    ] = None,
    cursor: Annotated[str | None, Query(description="`next` of the previous page.")] = None,
) -> protocol.HistoryDocument:
    """What happened to a business: its transitions, and the seconds in each status. The window may
    have up to 31 days. Send `from` and `to` of the first page with each cursor.
    """
    reader = current_service().history_reader
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


@handles_route
def delete_connection(
    business_id: BusinessIdPath, connection_id: ConnectionIdPath
) -> Response[str]:
    """Close one socket and remove its connection."""
    current_service().operators.close_connection(
        business_id, connection_id, current_caller().user_id
    )
    logger.info("connection closed by an operator")
    return Response(status_code=HTTPStatus.NO_CONTENT, body="")


@handles_route
def post_ticket(business_id: BusinessIdPath) -> Response[protocol.TicketDocument]:
    """A ticket with which a browser can open one WebSocket, within a minute."""
    return Response(
        status_code=200,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
        body=protocol.ticket_document(
            *current_service().tickets.issue(business_id, current_caller().user_id)
        ),
    )


@handles_route
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
        else repeatable_message_id(business_id, current_caller().user_id, idempotency_key)
    )
    message = PushedMessage(message_id, body)
    size = len(protocol.encode(protocol.message_document(message)))
    if size > MAX_BODY:
        raise MessageTooLarge(
            f"the message has {size} bytes with its envelope, but may have at most {MAX_BODY}"
        )

    service = current_service()

    def push() -> protocol.DeliveryDocument:
        delivery = service.messaging.push(business_id, message, out_of_time)
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
        current_caller().user_id,
        idempotency_key,
        body,
        push,
        app.lambda_context,
        # What the gateway failed to take anywhere may be taken next time.
        is_final=lambda delivery: delivery["sent"] > 0 or delivery["failed"] == 0,
    )


@handles_route
def post_cleanup(
    business_id: BusinessIdPath, body: CleanupRequest | None = None
) -> protocol.CleanupDocument:
    """Clean up the connections of one business now or, in a dry run, say what that would do."""
    run = current_service().cleanup.cleanup_business_connections(
        business_id, out_of_time=out_of_time, dry_run=body is not None and body.dryRun
    )
    if run.report.recorded:
        current_service().metrics.count(MetricName.TRANSITIONS, run.report.recorded)
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


@handles_route
def get_businesses(
    attention: Annotated[Attention, Query(description="Why they need attention.")],
    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(whole_number), Query()] = 20,
    cursor: Annotated[str | None, Query(description="`next` of the previous page.")] = None,
) -> protocol.AttentionPageDocument:
    """The businesses that need attention right now, longest first."""
    after = None if cursor is None else cursors.decode(cursor)
    page = current_service().operators.list_attention(
        attention, limit=limit, out_of_time=out_of_time, after=after
    )
    following = None if page.after is None else cursors.encode(page.after)
    return protocol.attention_document(page, following, current_service().clock())


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
