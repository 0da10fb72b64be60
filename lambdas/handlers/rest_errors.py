"""What the REST API answers and logs when a request is refused or fails."""

from collections.abc import Sequence
from typing import Any, Final

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from lambdas import problems
from lambdas.domain.errors import Conflict, DomainError, InvalidValue, Unavailable
from lambdas.handlers import problem_responses
from lambdas.handlers.entry_point import logger
from lambdas.handlers.rest_app import FIELDS, ONCE, app
from lambdas.problems import ProblemType
from lambdas.routes import methods_by_path


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
    named = sorted({root if root in FIELDS else _OTHER_FIELD for root in roots})
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
        problem = ONCE
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
