"""The kinds of errors of the REST API, whether the function or API Gateway answers with them.

Errors are `application/problem+json` (RFC 9457). Nothing here needs a third-party package: the
infrastructure and the contracts read it too.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from lambdas.domain import errors

CONTENT_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem. `name` is stable; clients may depend on it."""

    name: str
    status: HTTPStatus
    title: str
    retry_after: int | None = None
    """Seconds that a client should wait before it tries again, for the header `Retry-After`."""

    def document(self) -> dict[str, str | int]:
        """What every error of this kind says."""
        return {
            "type": f"urn:problem-type:business-connections:{self.name}",
            "title": self.title,
            "status": self.status.value,
        }


INVALID_REQUEST: Final = ProblemType(
    "invalid-request", HTTPStatus.BAD_REQUEST, "The request is not valid"
)
UNAUTHORIZED: Final = ProblemType(
    "unauthorized", HTTPStatus.UNAUTHORIZED, "A valid access token is needed"
)
FORBIDDEN: Final = ProblemType("forbidden", HTTPStatus.FORBIDDEN, "This caller may not do this")
BLOCKED: Final = ProblemType("blocked", HTTPStatus.FORBIDDEN, "A firewall refuses this request")
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
STILL_RUNNING: Final = ProblemType(
    "still-running", HTTPStatus.CONFLICT, "The first request with this key is still running"
)
PAYLOAD_TOO_LARGE: Final = ProblemType(
    "payload-too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large"
)
IDEMPOTENCY_KEY_REUSED: Final = ProblemType(
    "idempotency-key-reused",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "The Idempotency-Key came with another request before",
)
TOO_MANY_REQUESTS: Final = ProblemType(
    "too-many-requests",
    HTTPStatus.TOO_MANY_REQUESTS,
    "Too many requests, try again in a moment",
    retry_after=1,
)
INTERNAL_ERROR: Final = ProblemType(
    "internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side"
)
UNAVAILABLE: Final = ProblemType(
    "unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "Try again in a moment", retry_after=1
)
TIMEOUT: Final = ProblemType(
    "timeout", HTTPStatus.GATEWAY_TIMEOUT, "No answer in time, try again in a moment"
)

OF_DOMAIN: Final[dict[type[errors.DomainError], ProblemType]] = {
    errors.InvalidValue: INVALID_REQUEST,
    errors.Forbidden: FORBIDDEN,
    errors.NotFound: NOT_FOUND,
    errors.NotDeclared: NOT_DECLARED,
    errors.TooManyConnections: TOO_MANY_CONNECTIONS,
    errors.MessageTooLarge: PAYLOAD_TOO_LARGE,
    errors.KeyReused: IDEMPOTENCY_KEY_REUSED,
    errors.StillRunning: STILL_RUNNING,
    errors.TooManyCalls: TOO_MANY_REQUESTS,
    errors.Unavailable: UNAVAILABLE,
}
"""Which error of the domain is which problem."""
