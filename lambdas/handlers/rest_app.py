"""How the REST API is wired: the Powertools application, and what every route has.

`lambdas.handlers.rest` has the functions of the routes.
"""

import os
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar, get_type_hints
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, CORSConfig, Response
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from lambdas import variables
from lambdas.bootstrap import Service
from lambdas.domain import identifiers, opening_hours
from lambdas.domain.authorization import Caller, Operation, authorize
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.handlers import callers, json_bodies
from lambdas.handlers.entry_point import logger
from lambdas.handlers.requests import REQUESTS
from lambdas.routes import CORS_HEADERS, ROUTES

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


FIELDS: Final = {
    *("body", "businessId", "connectionId", "openingHours"),
    *("Idempotency-Key", "idempotency-key"),  # Pydantic writes headers in lower case
    *opening_hours.FIELDS,
    *(name for model in REQUESTS for name in model.model_fields),
}
"""The names of what a request can have. Each route adds its query parameters."""


def handles_route(function: _Function) -> _Function:
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
    FIELDS.update(query)
    checks = [_refusing_what_would_be_ignored(query), _authorizing(route.operation)]
    app.route(rule, method=route.method, middlewares=checks)(function)
    return function


ONCE: Final = "must come at most once"


def _refusing_what_would_be_ignored(query: frozenset[str]) -> _Middleware:
    """Refuse query parameters that the route does not have, and a second Idempotency-Key."""

    def refuse(app: APIGatewayRestResolver, next_middleware: _Next) -> _Answer:
        event = app.current_event
        for name in event.get("multiValueQueryStringParameters") or {}:
            if name not in query:
                raise InvalidValue(name, "is not a query parameter of this request")
        headers = event.get("multiValueHeaders") or {}
        if sum(name.lower() == "idempotency-key" for name in headers) > 1:
            raise InvalidValue("Idempotency-Key", ONCE)
        return next_middleware(app)

    return refuse


def _authorizing(operation: Operation | None) -> _Middleware:
    """Refuse a caller who may not do this. None: anybody may."""

    def check(app: APIGatewayRestResolver, next_middleware: _Next) -> _Answer:
        if operation is not None:
            named = (app.current_event.get("pathParameters") or {}).get("businessId")
            authorize(current_caller(), operation, None if named is None else _business_id(named))
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


def whole_number(text: object) -> object:
    """Accept plain digits only: Pydantic alone would accept ``+5``, `` 5`` and ``5.0``."""
    if not (isinstance(text, str) and re.fullmatch(r"0|[1-9][0-9]*", text)):
        raise PydanticCustomError("whole_number", "must be a whole number")
    return text


def moment(name: str, description: str) -> Any:
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


def current_service() -> Service:
    """The parts of this function. Powertools keeps them while it answers a request."""
    service: Service = app.context["service"]
    return service


def current_caller() -> Caller:
    """Who makes this request."""
    return callers.caller_of(app.current_event["requestContext"]["authorizer"])


def out_of_time() -> bool:
    """Whether this request must not begin any new work."""
    left = app.lambda_context.get_remaining_time_in_millis()
    return left < _RESERVED_MILLISECONDS
