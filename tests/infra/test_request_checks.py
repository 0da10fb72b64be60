"""API Gateway refuses some wrong requests by itself, and none that the function would accept."""

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
"""For each model: bodies that it lets through, and bodies that it refuses."""


@pytest.mark.parametrize("name", BODIES)
def test_what_a_model_refuses_the_function_refuses_too(service: Template, name: str) -> None:
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


def test_a_body_may_be_missing_or_be_any_json_where_the_function_accepts_that(
    service: Template,
) -> None:
    for name in ("messages", "cleanup"):
        method = service.rest_methods()[f"/businesses/{{businessId}}/{name}", "POST"]
        assert "RequestValidatorId" not in method
        assert "RequestModels" not in method


def test_a_list_without_the_query_parameter_attention_is_refused(service: Template) -> None:
    method = service.rest_methods()["/businesses", "GET"]
    assert method["RequestParameters"] == {"method.request.querystring.attention": True}


def test_every_method_with_a_model_or_parameters_has_a_validator(service: Template) -> None:
    """Without a validator, API Gateway does not check them."""
    logical_id, validator = service.only("AWS::ApiGateway::RequestValidator")
    assert validator["Properties"]["ValidateRequestBody"] is True
    assert validator["Properties"]["ValidateRequestParameters"] is True
    for method in service.rest_methods().values():
        checked = "RequestModels" in method or "RequestParameters" in method
        assert method.get("RequestValidatorId") == ({"Ref": logical_id} if checked else None)


@pytest.mark.parametrize(
    ("kind", "variable", "value"),
    [
        # As API Gateway writes it into a template: escaped, without quotes around it.
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
    """The class that a model is named after."""
    return logical_id.removeprefix("RestApi")[:-8]
