"""Error responses of the REST API."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aws_lambda_powertools.event_handler import Response

from lambdas.domain.errors import DomainError, InvalidValue
from lambdas.problems import CONTENT_TYPE, INTERNAL_ERROR, OF_DOMAIN, ProblemType


def problem(
    kind: ProblemType,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    """An error response. `errors` names each wrong field and says what would be right."""
    document: dict[str, Any] = {**kind.document(), "detail": detail}
    if errors:
        document["errors"] = list(errors)
    return Response(
        status_code=kind.status,
        content_type=CONTENT_TYPE,
        headers=dict(headers or {}),
        body=json.dumps(document),
    )


def kind_of(error: DomainError) -> ProblemType:
    """The kind of problem that an error of the domain is."""
    return OF_DOMAIN.get(type(error), INTERNAL_ERROR)


def of_domain(error: DomainError) -> Response[str]:
    """The response to an error of the domain. The text of no other exception reaches a client."""
    kind = kind_of(error)
    errors = (
        [{"field": error.field, "problem": error.problem}]
        if isinstance(error, InvalidValue)
        else []
    )
    headers = {"Retry-After": str(kind.retry_after)} if kind.retry_after else {}
    return problem(kind, str(error), errors=errors, headers=headers)


def proxy_answer(response: Response[str]) -> dict[str, Any]:
    """A response as API Gateway expects it, for what is refused before a route is looked up."""
    return {
        "statusCode": int(response.status_code),
        "multiValueHeaders": {"Content-Type": [response.content_type]},
        "body": response.body,
    }
