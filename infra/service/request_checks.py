"""What API Gateway checks of a request before it calls the function.

The checks come from docs/openapi.json, which `make contracts` makes from the code of the function.
The function checks everything again, and more. API Gateway must not refuse what the function
accepts, so it does not check a body that may be missing (`cleanup`) or be any JSON (`messages`),
nor the pattern or format of a text.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from aws_cdk import aws_apigateway as apigateway

from lambdas.routes import Route

OPENAPI: Final = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"

_CHECKED: Final = {
    "required": "required",
    "additionalProperties": "additional_properties",
    "minItems": "min_items",
    "maxItems": "max_items",
    "minLength": "min_length",
    "maxLength": "max_length",
}
"""The keywords that API Gateway checks, and how the CDK spells them."""

_LEFT_TO_THE_FUNCTION: Final = {"default", "description", "examples", "format", "pattern"}


@dataclass(frozen=True)
class BodySchema:
    """The JSON schema (draft 4) of a request's body."""

    name: str
    schema: apigateway.JsonSchema


def body_schema(route: Route) -> BodySchema | None:
    """The schema of a route's body, or None if it may be missing or be any JSON."""
    body = _operation(route).get("requestBody", {})
    if not body.get("required"):
        return None
    reference: str = body["content"]["application/json"]["schema"].get("$ref", "")
    if not reference:
        return None  # any JSON
    name = reference.rpartition("/")[2]
    return BodySchema(name, _draft_4(_openapi()["components"]["schemas"][name]))


def required_query(route: Route) -> tuple[str, ...]:
    """The names of the query parameters that a route needs."""
    return tuple(
        parameter["name"]
        for parameter in _operation(route).get("parameters", ())
        if parameter["in"] == "query" and parameter.get("required")
    )


@cache
def _openapi() -> Any:
    return json.loads(OPENAPI.read_text(encoding="utf-8"))


def _operation(route: Route) -> Any:
    try:
        return _openapi()["paths"][route.path][route.method.lower()]
    except KeyError:
        raise ValueError(
            f"{OPENAPI.name} has no {route.method} {route.path}: run `make contracts`"
        ) from None


def _draft_4(schema: Any) -> apigateway.JsonSchema:
    """Convert a schema of OpenAPI 3.1. Raises ValueError for a keyword that would go unchecked."""
    keywords: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _CHECKED:
            keywords[_CHECKED[keyword]] = value
        elif keyword == "type":
            kinds = [apigateway.JsonSchemaType[kind.upper()] for kind in _as_list(value)]
            keywords["type"] = kinds if len(kinds) > 1 else kinds[0]
        elif keyword == "items":
            keywords["items"] = _draft_4(value)
        elif keyword == "properties":
            keywords["properties"] = {name: _draft_4(part) for name, part in value.items()}
        elif keyword not in _LEFT_TO_THE_FUNCTION:
            raise ValueError(
                f"{__name__} does not know the keyword {keyword!r} of a request's schema"
            )
    return apigateway.JsonSchema(**keywords)


def _as_list(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds
