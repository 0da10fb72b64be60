from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.configuration import Environment, Limits
from infra.environments import DEV
from tests.infra.every_option import EVERY_OPTION
from tests.infra.synthesis import synthesize
from tests.infra.template import Template
from tests.infra.test_apis import UNKNOWN_PATHS

SEVERAL = EVERY_OPTION.cors_origins
ONE = SEVERAL[:1]


@pytest.fixture(scope="module")
def with_one_origin(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Template:
    environment = replace(
        DEV, name="one-origin", cors_origins=ONE, limits=Limits(web_acl_rate=2_000)
    )
    stacks = synthesize(tmp_path_factory.mktemp("cors"), source, [environment])
    return stacks[environment.name]["Service"]


@pytest.fixture
def with_origins(
    with_one_origin: Template, every_option: dict[str, Template]
) -> dict[tuple[str, ...], Template]:
    """The service stacks of two environments, by the origins that they allow."""
    return {ONE: with_one_origin, SEVERAL: every_option["Service"]}


def test_by_default_no_web_page_may_call(service: Template, environment: Environment) -> None:
    if environment.cors_origins:
        pytest.skip("it names origins")
    assert "Access-Control-" not in service.text
    assert "CORS_ORIGINS" not in service.text


@pytest.mark.parametrize("origins", [ONE, SEVERAL])
def test_every_path_answers_preflight_requests_without_a_token(
    with_origins: dict[tuple[str, ...], Template], origins: tuple[str, ...]
) -> None:
    methods = with_origins[origins].rest_methods()
    answered = {path: method for (path, name), method in methods.items() if name == "OPTIONS"}
    assert answered.keys() == {path for path, _ in methods}
    for method in answered.values():
        headers = _preflight_headers(method)
        assert method["AuthorizationType"] == "NONE"
        assert method["Integration"]["Type"] == "MOCK"
        assert headers["Access-Control-Allow-Headers"] == (
            "'Authorization,Content-Type,Idempotency-Key'"
        )
        assert headers["Access-Control-Allow-Origin"] == f"'{origins[0]}'"
        assert headers["Vary"] == "'Origin'"
        assert "Access-Control-Allow-Credentials" not in headers
    pause = _preflight_headers(answered["/businesses/{businessId}/pause"])
    assert pause["Access-Control-Allow-Methods"] == "'PUT,DELETE'"


def test_each_of_several_origins_is_answered_with_itself(
    with_origins: dict[tuple[str, ...], Template],
) -> None:
    method = with_origins[SEVERAL].rest_methods()["/businesses", "OPTIONS"]
    (response,) = method["Integration"]["IntegrationResponses"]
    template = response["ResponseTemplates"]["application/json"]
    assert f'$origin == "{SEVERAL[1]}"' in template


def test_only_a_single_origin_can_read_api_gateways_own_answers(
    with_origins: dict[tuple[str, ...], Template],
) -> None:
    """The headers of these answers are fixed, and can name only one origin."""
    header = "gatewayresponse.header.Access-Control-Allow-Origin"
    for origins, expected in ((ONE, f"'{ONE[0]}'"), (SEVERAL, None)):
        answers = with_origins[origins].properties("AWS::ApiGateway::GatewayResponse")
        assert {each["ResponseParameters"].get(header) for each in answers.values()} == {expected}
        for path in UNKNOWN_PATHS:
            method = with_origins[origins].rest_methods()[path, "ANY"]
            (response,) = method["Integration"]["IntegrationResponses"]
            header_there = "method.response.header.Access-Control-Allow-Origin"
            assert response["ResponseParameters"].get(header_there) == expected
        (acl,) = with_origins[origins].properties("AWS::WAFv2::WebACL").values()
        answer = acl["Rules"][0]["Action"]["Block"]["CustomResponse"]
        by_web_acl = {each["Name"]: each["Value"] for each in answer["ResponseHeaders"]}
        assert by_web_acl.get("Access-Control-Allow-Origin") == (ONE[0] if expected else None)


@pytest.mark.parametrize("origins", [ONE, SEVERAL])
def test_only_the_rest_function_gets_the_origins(
    with_origins: dict[tuple[str, ...], Template], origins: tuple[str, ...]
) -> None:
    service = with_origins[origins]
    found = {
        name: function["Environment"]["Variables"]["CORS_ORIGINS"]
        for name, function in service.functions().items()
        if "CORS_ORIGINS" in function["Environment"]["Variables"]
    }
    assert found == {"Rest": ",".join(origins)}


def _preflight_headers(method: Any) -> dict[str, str]:
    (response,) = method["Integration"]["IntegrationResponses"]
    return {
        name.removeprefix("method.response.header."): value
        for name, value in response["ResponseParameters"].items()
    }
