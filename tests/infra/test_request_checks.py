"""What API Gateway refuses by itself: nothing that the function would take."""

import json
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from lambdas.handlers import requests
from tests.infra.template import Template

BODIES: dict[str, tuple[list[Any], list[Any]]] = {
    "AvailabilityRequest": (
        [{"available": True}],
        [{}, {"available": "yes"}, {"available": None}, {"available": True, "more": 1}, []],
    ),
    "OnlineRequest": (
        [{"businessIds": ["b1"]}, {"businessIds": ["b1"] * 100}, {"businessIds": ["#"]}],
        [{"businessIds": []}, {"businessIds": ["b1"] * 101}, {"businessIds": [1]}],
    ),
    "PauseRequest": (
        [
            {"until": "2026-01-31T12:00:00Z"},
            {"until": "soon", "reason": None},
            {"until": "", "reason": "r" * 200},
        ],
        [{"until": 1}, {"until": "", "reason": ""}, {"until": "", "reason": "r" * 201}],
    ),
    "SettingsRequest": ([{"expectsSocket": False}], [{"expectsSocket": 0}, {}]),
}
"""Of each model: bodies that it lets through, and bodies that it refuses."""


@pytest.mark.parametrize("name", BODIES)
def test_a_model_refuses_what_the_function_refuses_too(service: Template, name: str) -> None:
    models = {
        _class_name(logical_id): model["Schema"]
        for logical_id, model in service.properties("AWS::ApiGateway::Model").items()
    }
    assert models.keys() == BODIES.keys()
    let_through, refused = BODIES[name]
    check = jsonschema.Draft4Validator(models[name])
    request: type[requests._Request] = getattr(requests, name)
    for body in let_through:
        assert check.is_valid(body), body
    for body in refused:
        assert not check.is_valid(body), body
        with pytest.raises(ValidationError):
            request.model_validate(body)


def test_a_body_may_be_missing_or_be_any_json_where_the_function_takes_it(
    service: Template,
) -> None:
    for name in ("messages", "cleanup"):
        method = service.rest_methods()[f"/businesses/{{businessId}}/{name}", "POST"]
        assert "RequestValidatorId" not in method
        assert "RequestModels" not in method


def test_the_one_query_parameter_that_must_be_there_is_required(service: Template) -> None:
    required = {
        route: method["RequestParameters"]
        for route, method in service.rest_methods().items()
        if "RequestParameters" in method
    }
    assert required == {("/businesses", "GET"): {"method.request.querystring.attention": True}}


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
