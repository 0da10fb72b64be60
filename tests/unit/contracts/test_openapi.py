"""The OpenAPI document is valid, whole, and right about what the code does not generate."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate

from contracts import openapi
from contracts.schemas import BUSINESS_ID, CONNECTION_ID, Json
from lambdas.domain import identifiers
from lambdas.domain.authorization import ALLOWED, Operation
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.routes import ROUTES
from tests.json_schema import component, problems

DOCUMENT = openapi.document()
OPERATIONS: dict[str, Json] = {
    operation["operationId"]: operation
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
}


def test_it_is_valid_openapi() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_it_has_every_route_and_no_other() -> None:
    described = {
        (path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert described == {(route.path, route.method) for route in ROUTES.values()}


def test_every_operation_has_a_name_a_summary_and_a_tag_that_is_explained() -> None:
    tags = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}
    for name, operation in OPERATIONS.items():
        assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name)
        assert operation["summary"]
        assert not operation["summary"].endswith(".")
        (tag,) = operation["tags"]
        assert tags[tag]


def test_health_alone_is_open() -> None:
    assert DOCUMENT["security"] == [{"accessToken": []}]
    assert {name for name, o in OPERATIONS.items() if o.get("security") == []} == {"health"}


def test_every_operation_says_who_may_call_it() -> None:
    told = {name: operation["description"] for name, operation in OPERATIONS.items()}
    assert told["getStatus"] == "For: member, operator."
    assert told["postOnline"].endswith("For any valid token.")
    assert told["health"].endswith("Open to all.")
    # A device's handshake is the one operation that is not of this API.
    assert len(told) - 1 >= len(ALLOWED.keys() - {Operation.CONNECT})


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_examples_of_an_operation_are_what_its_schemas_say(name: str) -> None:
    operation = OPERATIONS[name]
    good = next(answer for status, answer in operation["responses"].items() if status < "300")
    contents = [*good.get("content", {}).values()]
    contents += operation.get("requestBody", {}).get("content", {}).values()
    assert contents or name in {"deleteConnection"}
    for content in contents:
        assert problems(DOCUMENT, content["schema"], content["example"]) == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_error_is_a_problem_of_its_status(name: str) -> None:
    for status, answer in OPERATIONS[name]["responses"].items():
        if status < "300":
            continue
        (content,) = component(DOCUMENT, answer["$ref"])["content"].items()
        assert content[0] == "application/problem+json"
        assert content[1]["example"]["status"] == int(status)
        assert problems(DOCUMENT, content[1]["schema"], content[1]["example"]) == []


def test_all_moments_have_their_format() -> None:
    def texts(schema: Any, example: Any) -> Any:
        if "anyOf" in schema and isinstance(example, dict):
            schema = schema["anyOf"][0]  # the example is of the first
        if "$ref" in schema:
            schema = component(DOCUMENT, schema["$ref"])
        if isinstance(example, dict):
            for key, value in example.items():
                yield from texts(schema.get("properties", {}).get(key, {}), value)
        elif isinstance(example, list):
            for value in example:
                yield from texts(schema.get("items", {}), value)
        elif isinstance(example, str):
            yield schema, example

    found = 0
    for operation in OPERATIONS.values():
        content = operation["responses"].get("200", {}).get("content", {}).values()
        for part in content:
            for schema, example in texts(part["schema"], part["example"]):
                is_moment = bool(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+Z", example))
                assert (schema.get("format") == "date-time") == is_moment, (schema, example)
                found += is_moment
    assert found > 20


def test_no_component_is_left_over() -> None:
    referred = set(re.findall(r"#/components/\w+/\w+", str(DOCUMENT)))
    defined = {
        f"#/components/{kind}/{name}"
        for kind, components in DOCUMENT["components"].items()
        for name in components
        if kind != "securitySchemes"
    }
    assert defined == referred


_TEXTS = st.text(max_size=70) | st.text(alphabet="aZ09._:@-=+/#~ \n", max_size=130)


@given(text=_TEXTS)
def test_the_pattern_of_a_business_id_takes_what_the_code_takes(text: str) -> None:
    assert _taken_by(BUSINESS_ID, text) == _taken(identifiers.business_id, text)


@given(text=_TEXTS)
def test_the_pattern_of_a_connection_id_takes_what_the_code_takes(text: str) -> None:
    assert _taken_by(CONNECTION_ID, text) == _taken(identifiers.connection_id, text)


@pytest.mark.parametrize("length", [1, 64, 65, 128, 129])
def test_the_patterns_have_the_bounds_of_the_code(length: int) -> None:
    text = "a" * length
    assert _taken_by(BUSINESS_ID, text) == _taken(identifiers.business_id, text)
    assert _taken_by(CONNECTION_ID, text) == _taken(identifiers.connection_id, text)


def _taken_by(schema: Json, text: str) -> bool:
    # Python's `$` also matches before a newline at the end; that of JSON Schema does not.
    return re.search(schema["pattern"].removesuffix("$") + r"\Z", text) is not None


def _taken(parse: Any, text: str) -> bool:
    parsed: BusinessId | ConnectionId
    try:
        parsed = parse(text)
    except InvalidValue:
        return False
    return parsed == text
