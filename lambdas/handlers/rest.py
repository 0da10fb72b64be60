"""The REST API. Each route: authorize, call one use case, translate the outcome."""

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import quote, unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, StrictBool

from lambdas import bootstrap, protocol
from lambdas.domain import identifiers
from lambdas.domain.authorization import Caller, Operation, Role, authorize
from lambdas.domain.errors import DomainError
from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.handlers import problems
from lambdas.handlers.telemetry import Event, instrumented, logger

MAX_BODY: Final = 128 * 1024
"""Bytes that a request may carry, the same as a WebSocket message."""

app: Final = APIGatewayRestResolver(enable_validation=True)

METHODS: Final[defaultdict[str, list[str]]] = defaultdict(list)
"""The methods of each resource, as API Gateway spells it; filled by the routes below."""

_Route = TypeVar("_Route", bound=Callable[..., Any])


def _route(method: str, resource: str) -> Callable[[_Route], _Route]:
    METHODS[resource].append(method)
    rule = resource.replace("{businessId}", "<business_id>")

    def register(function: _Route) -> _Route:
        app.route(rule, method=method)(function)
        return function

    return register


BusinessIdPath = Annotated[str, Path(description="The business, as the marketplace names it.")]


class AvailabilityRequest(BaseModel):
    """What a business declares."""

    model_config = ConfigDict(extra="forbid")

    available: StrictBool


@_route("GET", "/health")
def health() -> dict[str, str]:
    """Liveness of the deployment: it answers, and its configuration is whole."""
    return {"status": "ok", "environment": bootstrap.configuration().environment}


@_route("GET", "/businesses/{businessId}/status")
def get_status(business_id: BusinessIdPath) -> protocol.StatusDocument:
    """The comprehensive status of a business, and the evidence for it."""
    _, business = _authorized(Operation.READ_STATUS, business_id)
    reader = bootstrap.status_reader()
    return protocol.status_document(reader.comprehensive_business_status(business))


@_route("GET", "/businesses/{businessId}/online")
def get_online(business_id: BusinessIdPath) -> Response[protocol.OnlineDocument]:
    """Whether customers can order at this moment. Eventually consistent."""
    _, business = _authorized(Operation.READ_ONLINE, business_id)
    status = bootstrap.status_reader().is_business_online(business)
    return Response(
        status_code=200,
        content_type="application/json",
        headers={"Cache-Control": "private, max-age=5"},
        body=protocol.online_document(status),
    )


@_route("PUT", "/businesses/{businessId}/availability")
def put_availability(
    business_id: BusinessIdPath, body: AvailabilityRequest
) -> protocol.AvailabilityDocument:
    """Declare a business available (a new lease for the caller) or not (everything ends)."""
    caller, business = _authorized(Operation.SET_AVAILABILITY, business_id)
    outcome = bootstrap.availability().set_business_availability(
        business, caller.user_id, body.available
    )
    logger.info(
        "availability set",
        extra={"available": body.available, "socketsRemaining": outcome.sockets_remaining},
    )
    return protocol.availability_document(outcome)


@_route("GET", "/businesses/{businessId}/connections")
def get_connections(business_id: BusinessIdPath) -> protocol.ConnectionsDocument:
    """All stored connections of a business, each type for itself."""
    _, business = _authorized(Operation.LIST_CONNECTIONS, business_id)
    stored = bootstrap.status_reader().connections(business)
    return protocol.connections_document(stored, bootstrap.configuration().rules, bootstrap.now())


@instrumented
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway's proxy integration."""
    logger.append_keys(requestId=event["requestContext"].get("requestId"))
    size = len((event.get("body") or "").encode())
    if size > MAX_BODY:
        detail = f"the body has {size} bytes, and may have {MAX_BODY}"
        return problems.proxy_answer(problems.problem(problems.PAYLOAD_TOO_LARGE, detail))
    # API Gateway has matched the resource already: match by its path parameters, re-encoded, so
    # that an id with a character that no path may have still reaches the check that names it.
    path = event["resource"]
    for name, value in (event.get("pathParameters") or {}).items():
        path = path.replace(f"{{{name}}}", quote(unquote(value), safe=""))
    # A body is JSON whatever its header says: `curl -d` calls everything a form.
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    headers["content-type"] = "application/json"
    return app.resolve({**event, "path": path, "headers": headers}, context)


def _authorized(operation: Operation, business_id: str) -> tuple[Caller, BusinessId]:
    business = identifiers.business_id(unquote(business_id))
    logger.append_keys(businessId=business)
    context = app.current_event["requestContext"]["authorizer"]
    caller = Caller(
        user_id=UserId(context["userId"]),
        businesses=frozenset(json.loads(context["businesses"])),
        roles=frozenset(Role(role) for role in json.loads(context["roles"])),
    )
    authorize(caller, operation, business)
    return caller, business


@app.exception_handler(DomainError)
def _on_domain_error(error: DomainError) -> Response[str]:
    response = problems.of_domain(error)
    logger.info("refused", extra={"reason": str(error), "status": response.status_code})
    return response


@app.exception_handler(RequestValidationError)
def _on_invalid_request(error: RequestValidationError) -> Response[str]:
    errors = [_field_error(found) for found in error.errors()]
    detail = "; ".join(f"{e['field']}: {e['problem']}" for e in errors)
    return problems.problem(problems.INVALID_REQUEST, detail, errors=errors)


_PROBLEMS: Final = {
    "bool_type": "must be true or false",
    "extra_forbidden": "is not a field of this request",
    "json_invalid": "must be JSON",
    "missing": "is required",
    "model_attributes_type": "must be a JSON object",
}
"""What is wrong, in our words, by Pydantic's type of error; where ours say no more, in its own."""


def _field_error(found: dict[str, Any]) -> dict[str, str]:
    where, *path = [str(part) for part in found["loc"]]
    field = where if found["type"] == "json_invalid" else ".".join(path) or where
    return {"field": field, "problem": _PROBLEMS.get(found["type"], found["msg"])}


@app.not_found
def _on_no_route(_: NotFoundError) -> Response[str]:
    event = app.current_event
    allowed = METHODS.get(event["resource"])
    if allowed is None:
        return problems.problem(problems.NOT_FOUND, f"there is no resource {event.path}")
    return problems.problem(
        problems.METHOD_NOT_ALLOWED,
        f"{event.http_method} is not a method of this resource, {', '.join(allowed)} is",
        headers={"Allow": ", ".join(allowed)},
    )


@app.exception_handler(Exception)
def _on_defect(_: Exception) -> Response[str]:
    logger.exception("defect")
    return problems.problem(problems.INTERNAL_ERROR, "the error is logged with the request id")
