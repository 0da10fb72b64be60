"""What API Gateway refuses by itself, compared with what the function refuses."""

import json
from typing import Any

import pytest

from lambdas.handlers import requests, rest
from tests.infra.template import Template

ANNOTATIONS = {"$schema", "title", "description", "default", "format"}
"""What in a schema refuses nothing, and `format`, which is left to the function."""


@pytest.fixture(scope="module")
def paths() -> dict[tuple[str, str], Any]:
    """What the function says of each of its routes, as OpenAPI."""
    document = json.loads(rest.app.get_openapi_json_schema(title="", version=""))
    return {
        (path.replace("business_id", "businessId"), method.upper()): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def test_a_body_is_checked_wherever_the_function_needs_one_of_a_certain_form(
    service: Template, paths: dict[tuple[str, str], Any]
) -> None:
    needed = {
        route: reference.rpartition("/")[2]
        for route, operation in paths.items()
        if (body := operation.get("requestBody", {})).get("required")
        and (reference := body["content"]["application/json"]["schema"].get("$ref"))
    }
    checked = {
        route: _class_name(method["RequestModels"]["$default"]["Ref"])
        for route, method in service.rest_methods().items()
        if "RequestModels" in method
    }
    assert checked == needed
    assert len(checked) == 4


def test_a_body_may_be_missing_or_be_any_json_where_the_function_takes_it(
    service: Template,
) -> None:
    for name in ("messages", "cleanup"):
        method = service.rest_methods()[f"/businesses/{{businessId}}/{name}", "POST"]
        assert "RequestValidatorId" not in method
        assert "RequestModels" not in method


def test_a_model_refuses_what_the_function_refuses_and_nothing_else(service: Template) -> None:
    models = service.properties("AWS::ApiGateway::Model")
    assert models
    for logical_id, model in models.items():
        request: type[requests._Request] = getattr(requests, _class_name(logical_id))
        assert model["Schema"]["$schema"] == "http://json-schema.org/draft-04/schema#"
        assert _checks(model["Schema"]) == _checks(request.model_json_schema())


def test_query_parameters_are_required_wherever_the_function_needs_them(
    service: Template, paths: dict[tuple[str, str], Any]
) -> None:
    needed = {
        route: {f"method.request.querystring.{name}": True for name in names}
        for route, operation in paths.items()
        if (names := _required_query(operation))
    }
    checked = {
        route: method["RequestParameters"]
        for route, method in service.rest_methods().items()
        if "RequestParameters" in method
    }
    assert checked == needed
    assert ("/businesses", "GET") in checked


def test_whatever_says_what_it_takes_is_checked(service: Template) -> None:
    """Without a validator, models and parameters are documentation."""
    logical_id, validator = service.only("AWS::ApiGateway::RequestValidator")
    assert validator["Properties"]["ValidateRequestBody"] is True
    assert validator["Properties"]["ValidateRequestParameters"] is True
    for method in service.rest_methods().values():
        says = "RequestModels" in method or "RequestParameters" in method
        assert method.get("RequestValidatorId") == ({"Ref": logical_id} if says else None)


@pytest.mark.parametrize(
    ("kind", "variable", "value"),
    [
        # As API Gateway writes it into a template: escaped, without quotes of its own.
        (
            "BAD_REQUEST_BODY",
            "$context.error.validationErrorString",
            r"[object has missing required properties ([\"available\"])]",
        ),
        (
            "BAD_REQUEST_PARAMETERS",
            "$context.error.message",
            "Missing required request parameters: [attention]",
        ),
    ],
    ids=["body", "parameters"],
)
def test_a_refusal_says_what_is_wrong(
    service: Template, kind: str, variable: str, value: str
) -> None:
    (answer,) = (
        answer
        for answer in service.properties("AWS::ApiGateway::GatewayResponse").values()
        if answer["ResponseType"] == kind
    )
    template = answer["ResponseTemplates"]["application/json"]
    document = json.loads(template.replace(variable, value))
    assert document["type"] == "urn:problem-type:business-connections:invalid-request"
    assert document["status"] == 400
    assert document["detail"] == json.loads(f'"{value}"')


def _class_name(logical_id: str) -> str:
    """Return the class that a model is named after."""
    return logical_id.removeprefix("RestApi")[:-8]


def _required_query(operation: Any) -> list[str]:
    return [
        parameter["name"]
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and parameter.get("required")
    ]


def _checks(schema: Any) -> Any:
    """Return a schema without annotations. A property called like one has a schema, and stays."""
    match schema:
        case dict():
            return {
                key: _checks(value)
                for key, value in schema.items()
                if key not in ANNOTATIONS or isinstance(value, dict)
            }
        case list():
            return [_checks(value) for value in schema]
        case _:
            return schema
