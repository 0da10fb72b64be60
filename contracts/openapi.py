"""The OpenAPI document of the REST API: Powertools generates it, the table of routes adds to it."""

import inspect
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from aws_lambda_powertools.event_handler.openapi.models import (
    HTTPBearer,
    Server,
    ServerVariable,
    Tag,
)

from contracts import examples
from contracts.schemas import BUSINESS_ID, CONNECTION_ID, Json, tidy, version
from lambdas import problems, routes
from lambdas.domain.authorization import ALLOWED, Operation
from lambdas.handlers import rest, rest_app
from lambdas.problems import ProblemType
from lambdas.protocol import camel_case
from lambdas.routes import Route

_TAGS: Final = {
    routes.Tag.STATUS: "The status of a business.",
    routes.Tag.AVAILABILITY: "What a business declares: available, unavailable, paused.",
    routes.Tag.DEVICES: "Reaching the devices of a business.",
    routes.Tag.OPERATORS: "What only operators may do.",
    routes.Tag.DEPLOYMENT: "The deployment itself.",
}

_PATH_PARAMETERS: Final = {
    "business_id": ("businessId", BUSINESS_ID),
    "connection_id": ("connectionId", CONNECTION_ID),
}

_DESCRIPTION: Final = (
    "Knows whether a business can hear its orders. docs/protocol.md explains the words, the "
    "semantics and the limits. Times are RFC 3339 in UTC. Answers may gain fields; requests with "
    "an unknown field are refused. Any other method of a path gets 405 `method-not-allowed`, any "
    "other path gets 404 `not-found`."
)


def document() -> Json:
    """The whole document."""
    schema = rest_app.app.get_openapi_schema(
        title="Business Connections",
        version=version(),
        openapi_version="3.1.0",
        description=_DESCRIPTION,
        tags=[Tag(name=tag, description=text) for tag, text in _TAGS.items()],
        servers=[
            Server(
                url="https://{apiId}.execute-api.{region}.amazonaws.com/v1",
                description="One deployment. The output RestUrl of its stack is the whole address.",
                variables={
                    "apiId": ServerVariable(default="a1b2c3d4e5"),
                    "region": ServerVariable(default="eu-west-1"),
                },
            )
        ],
        security_schemes={
            "accessToken": HTTPBearer(
                bearerFormat="JWT",
                description="An OpenID Connect access token of the deployment's issuer.",
            )
        },
        security=[{"accessToken": []}],
    )
    whole: Json = schema.model_dump(mode="json", by_alias=True, exclude_none=True)
    whole["paths"] = {
        _as_api_gateway_spells_it(path): {
            method: _operation(path, method, operation) for method, operation in methods.items()
        }
        for path, methods in tidy(whole["paths"]).items()
    }
    schemas = whole["components"]["schemas"] = tidy(whole["components"]["schemas"])
    for of_powertools in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        schemas.pop(of_powertools, None)
    schemas["OnlineRequest"]["properties"]["businessIds"]["items"] = BUSINESS_ID
    schemas["Problem"] = _PROBLEM
    operations = [o for methods in whole["paths"].values() for o in methods.values()]
    whole["components"]["responses"] = {
        camel_case(kind.name): _problem_response(kind) for kind in _answered(operations)
    }
    return whole


def _operation(path: str, method: str, operation: Json) -> Json:
    name = operation["operationId"].removesuffix(re.sub(r"\W", "_", path) + "_" + method)
    function: Callable[..., Any] = getattr(rest, name)
    route = routes.ROUTES[name]
    summary, _, more = (inspect.getdoc(function) or "").partition(".")
    operation["operationId"] = camel_case(name)
    operation["summary"] = " ".join(summary.split())
    operation["description"] = " ".join([*more.split(), _who(route.operation)])
    operation["tags"] = [route.tag.value]
    if route.operation is None:
        operation["security"] = []
    for parameter in operation.get("parameters", ()):
        _tidy_parameter(parameter)
    if "requestBody" in operation:
        _tidy_body(operation["requestBody"], examples.requests().get(name))
    kinds = _problems(route, operation)
    operation["responses"] = {
        **_good_answer(name, route.success, operation["responses"]["200"]),
        **{str(int(k.status)): _reference("responses", camel_case(k.name)) for k in kinds},
    }
    return operation


def _as_api_gateway_spells_it(path: str) -> str:
    for ours, (theirs, _) in _PATH_PARAMETERS.items():
        path = path.replace(f"{{{ours}}}", f"{{{theirs}}}")
    return path


def _who(asked: Operation | None) -> str:
    if asked is None:
        return "Open to all."
    kinds = sorted(ALLOWED[asked])
    return "For any valid token." if kinds == ["anyone"] else f"For: {', '.join(kinds)}."


def _tidy_parameter(parameter: Json) -> None:
    schema = parameter["schema"]
    schema.pop("description", None)  # the parameter has the same one
    if schema.get("type") == ["string", "null"]:
        schema["type"] = "string"  # an optional parameter can be missing, but not null
    if parameter["in"] == "path":
        name, schema = _PATH_PARAMETERS[parameter["name"]]
        parameter.update(name=name, schema=schema)
    if parameter["in"] == "header":
        parameter["name"] = parameter["name"].title()
        parameter["description"] = (
            "Identifies this call for 24 hours, among those of the same caller to the same "
            "business. Repeating it gets the first answer, and sends nothing again, unless `sent` "
            "was 0 and `failed` was not."
        )


def _tidy_body(body: Json, example: object) -> None:
    content = body["content"]["application/json"]
    content["schema"].pop("description", None)
    match content["schema"]:
        case {"anyOf": [{"$ref": reference}, {"type": "null"}]}:
            content["schema"] = {"$ref": reference}
        case dict(keywords) if not keywords:  # any JSON except null, which counts as no body
            content["schema"] = {"not": {"type": "null"}}
    if example is not None:
        content["example"] = example


def _good_answer(name: str, status: HTTPStatus, answer: Json) -> Json:
    if status is HTTPStatus.NO_CONTENT:
        return {str(int(status)): {"description": status.phrase}}
    if name in examples.answers():
        answer["content"]["application/json"]["example"] = examples.answers()[name]
    return {str(int(status)): {**answer, "description": status.phrase}}


def _problems(route: Route, operation: Json) -> list[ProblemType]:
    """The problems of an operation, ordered by status. No two have the same status."""
    kinds = [*route.problems, problems.TOO_MANY_REQUESTS, problems.INTERNAL_ERROR, problems.TIMEOUT]
    if operation.get("parameters") or "requestBody" in operation:
        kinds.append(problems.INVALID_REQUEST)
    if "requestBody" in operation:
        kinds.append(problems.PAYLOAD_TOO_LARGE)
    if route.operation is not None:
        kinds += [problems.UNAUTHORIZED, problems.UNAVAILABLE]
        if "anyone" not in ALLOWED[route.operation]:
            kinds.append(problems.FORBIDDEN)
    return sorted(kinds, key=lambda kind: kind.status)


def _answered(operations: list[Json]) -> list[ProblemType]:
    """The problem types that these operations refer to."""
    references = {answer.get("$ref") for o in operations for answer in o["responses"].values()}
    kinds = [kind for kind in vars(problems).values() if isinstance(kind, ProblemType)]
    return [k for k in kinds if _reference("responses", camel_case(k.name))["$ref"] in references]


_PROBLEM: Final[Json] = {
    "description": "An error, in the format of RFC 9457.",
    "type": "object",
    "required": ["type", "title"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri",
            "description": "Stable. docs/protocol.md lists the names that it can end with.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people to read."},
        "errors": {
            "type": "array",
            "description": "The wrong fields, and what is wrong with each.",
            "items": {
                "type": "object",
                "required": ["field", "problem"],
                "properties": {"field": {"type": "string"}, "problem": {"type": "string"}},
            },
        },
        "requestId": {
            "type": "string",
            "description": "Only in answers that API Gateway gives by itself.",
        },
    },
}


def _problem_response(kind: ProblemType) -> Json:
    example: Json = kind.document()
    if kind is problems.INVALID_REQUEST:
        example["detail"] = "available: is required"
        example["errors"] = [{"field": "available", "problem": "is required"}]
    response: Json = {
        "description": f"`{kind.name}`: {kind.title}.",
        "content": {
            problems.CONTENT_TYPE: {"schema": _reference("schemas", "Problem"), "example": example}
        },
    }
    if kind.retry_after is not None:
        seconds = {"type": "integer", "description": "Seconds to wait before the next attempt."}
        response["headers"] = {"Retry-After": {"schema": seconds}}
    if kind is problems.UNAUTHORIZED:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


def _reference(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}
