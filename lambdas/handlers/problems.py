"""Errors of the REST API, as ``application/problem+json`` (RFC 9457).

One table maps the errors of the domain to problem types. Clients never see the text of any other
exception.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from aws_lambda_powertools.event_handler import Response

from lambdas.domain.errors import (
    DomainError,
    Forbidden,
    InvalidValue,
    KeyReused,
    MessageTooLarge,
    NotDeclared,
    NotFound,
    StillRunning,
    TooManyConnections,
    Unavailable,
)

CONTENT_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:problem-type:business-connections:"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem. `name` is stable; clients may depend on it."""

    name: str
    status: HTTPStatus
    title: str


INVALID_REQUEST: Final = ProblemType(
    "invalid-request", HTTPStatus.BAD_REQUEST, "The request is not valid"
)
FORBIDDEN: Final = ProblemType("forbidden", HTTPStatus.FORBIDDEN, "This caller may not do this")
NOT_FOUND: Final = ProblemType("not-found", HTTPStatus.NOT_FOUND, "There is nothing here")
METHOD_NOT_ALLOWED: Final = ProblemType(
    "method-not-allowed", HTTPStatus.METHOD_NOT_ALLOWED, "This method is not for this resource"
)
TOO_MANY_CONNECTIONS: Final = ProblemType(
    "too-many-connections", HTTPStatus.CONFLICT, "The business has too many connections"
)
NOT_DECLARED: Final = ProblemType(
    "not-declared", HTTPStatus.CONFLICT, "Nobody ever declared this business"
)
IDEMPOTENCY_KEY_REUSED: Final = ProblemType(
    "idempotency-key-reused",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "The Idempotency-Key came with another request before",
)
STILL_RUNNING: Final = ProblemType(
    "still-running", HTTPStatus.CONFLICT, "The first request with this key is still running"
)
PAYLOAD_TOO_LARGE: Final = ProblemType(
    "payload-too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large"
)
UNAVAILABLE: Final = ProblemType(
    "unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "Try again in a moment"
)
INTERNAL_ERROR: Final = ProblemType(
    "internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side"
)

_OF_DOMAIN: Final[dict[type[DomainError], ProblemType]] = {
    InvalidValue: INVALID_REQUEST,
    Forbidden: FORBIDDEN,
    NotFound: NOT_FOUND,
    NotDeclared: NOT_DECLARED,
    TooManyConnections: TOO_MANY_CONNECTIONS,
    MessageTooLarge: PAYLOAD_TOO_LARGE,
    KeyReused: IDEMPOTENCY_KEY_REUSED,
    StillRunning: STILL_RUNNING,
    Unavailable: UNAVAILABLE,
}


def problem(
    kind: ProblemType,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    """An error response. `errors` names each wrong field and says what would be right."""
    document: dict[str, Any] = {
        "type": _TYPE_PREFIX + kind.name,
        "title": kind.title,
        "status": kind.status.value,
        "detail": detail,
    }
    if errors:
        document["errors"] = list(errors)
    return Response(
        status_code=kind.status,
        content_type=CONTENT_TYPE,
        headers=dict(headers or {}),
        body=json.dumps(document),
    )


def of_domain(error: DomainError) -> Response[str]:
    """The response to an error of the domain."""
    kind = _OF_DOMAIN.get(type(error), INTERNAL_ERROR)
    errors = (
        [{"field": error.field, "problem": error.problem}]
        if isinstance(error, InvalidValue)
        else []
    )
    headers = {"Retry-After": "1"} if kind is UNAVAILABLE else {}
    return problem(kind, str(error), errors=errors, headers=headers)


def proxy_answer(response: Response[str]) -> dict[str, Any]:
    """The response in API Gateway's format, for requests that are refused before routing."""
    return {
        "statusCode": int(response.status_code),
        "multiValueHeaders": {"Content-Type": [response.content_type]},
        "body": response.body,
    }
