from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.environments import DEV
from lambdas.routes import methods_by_path
from tests.infra.conftest import synthesize
from tests.infra.template import Template
from tests.infra.test_apis import NOWHERE

ONE = ("https://app.example.com",)
SEVERAL = (*ONE, "http://localhost:5173")


@pytest.fixture(scope="module")
def with_origins(
    tmp_path_factory: pytest.TempPathFactory, source: Path
) -> dict[tuple[str, ...], Template]:
    """The service stacks of two environments, by the origins that they allow."""
    environments = [
        replace(DEV, name="one", cors_origins=ONE),
        replace(DEV, name="several", cors_origins=SEVERAL),
    ]
    synthesized = synthesize(tmp_path_factory.mktemp("cors"), source, iter(environments))
    return {each.cors_origins: synthesized[each.name]["Service"] for each in environments}


def test_no_page_may_call_unless_its_origin_is_named(service: Template) -> None:
    assert "Access-Control-" not in service.text
    assert "CORS_ORIGINS" not in service.text


@pytest.mark.parametrize("origins", [ONE, SEVERAL])
def test_every_resource_answers_preflight_requests_which_carry_no_token(
    with_origins: dict[tuple[str, ...], Template], origins: tuple[str, ...]
) -> None:
    answered = {
        path: method
        for (path, name), method in with_origins[origins].rest_methods().items()
        if name == "OPTIONS"
    }
    assert answered.keys() == {*methods_by_path(), *NOWHERE}
    for path, method in answered.items():
        headers = _preflight_headers(method)
        assert method["AuthorizationType"] == "NONE"
        assert method["Integration"]["Type"] == "MOCK"
        if path not in NOWHERE:
            assert (
                headers["Access-Control-Allow-Methods"] == f"'{','.join(methods_by_path()[path])}'"
            )
        assert headers["Access-Control-Allow-Headers"] == (
            "'Authorization,Content-Type,Idempotency-Key'"
        )
        assert headers["Access-Control-Allow-Origin"] == f"'{origins[0]}'"
        assert headers["Vary"] == "'Origin'"
        assert "Access-Control-Allow-Credentials" not in headers


def test_the_other_origins_are_answered_if_they_ask(
    with_origins: dict[tuple[str, ...], Template],
) -> None:
    method = with_origins[SEVERAL].rest_methods()["/businesses", "OPTIONS"]
    (response,) = method["Integration"]["IntegrationResponses"]
    template = response["ResponseTemplates"]["application/json"]
    assert f'$origin == "{SEVERAL[1]}"' in template


def test_a_page_can_read_what_api_gateway_answers_itself_if_its_origin_is_the_only_one(
    with_origins: dict[tuple[str, ...], Template],
) -> None:
    header = "gatewayresponse.header.Access-Control-Allow-Origin"
    for origins, expected in ((ONE, f"'{ONE[0]}'"), (SEVERAL, None)):
        answers = with_origins[origins].properties("AWS::ApiGateway::GatewayResponse")
        assert {each["ResponseParameters"].get(header) for each in answers.values()} == {expected}
        for path in NOWHERE:
            method = with_origins[origins].rest_methods()[path, "ANY"]
            (response,) = method["Integration"]["IntegrationResponses"]
            header_there = "method.response.header.Access-Control-Allow-Origin"
            assert response["ResponseParameters"].get(header_there) == expected


@pytest.mark.parametrize("origins", [ONE, SEVERAL])
def test_the_function_that_answers_is_told_the_origins_and_no_other_is(
    with_origins: dict[tuple[str, ...], Template], origins: tuple[str, ...]
) -> None:
    service = with_origins[origins]
    told = {
        logical_id: function["Environment"]["Variables"]["CORS_ORIGINS"]
        for logical_id, function in service.properties("AWS::Lambda::Function").items()
        if "CORS_ORIGINS" in function["Environment"]["Variables"]
    }
    assert list(told.values()) == [",".join(origins)]
    assert service.function("Rest")["Environment"]["Variables"]["CORS_ORIGINS"] in told.values()


def _preflight_headers(method: Any) -> dict[str, str]:
    (response,) = method["Integration"]["IntegrationResponses"]
    return {
        name.removeprefix("method.response.header."): value
        for name, value in response["ResponseParameters"].items()
    }
