import dataclasses
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from infra.configuration import Environment
from infra.environments import PROD
from lambdas.bootstrap import Configuration
from tests.infra.permissions import OWN_LOGS, TRACING, allowed
from tests.infra.synthesis import Templates, synthesize
from tests.infra.template import Template, flat

HANDLERS = {
    "Authorizer": "lambdas.handlers.authorizer.handler",
    "Connect": "lambdas.handlers.websocket.on_connect",
    "Disconnect": "lambdas.handlers.websocket.on_disconnect",
    "Ping": "lambdas.handlers.websocket.on_ping",
    "Status": "lambdas.handlers.websocket.on_status",
    "DefaultRoute": "lambdas.handlers.websocket.on_default",
    "Rest": "lambdas.handlers.rest.handler",
    "Cleanup": "lambdas.handlers.cleanup.handler",
}

LOG_RETENTION_DAYS = {"local": 1, "dev": 7, "staging": 30, "prod": 180}

FIND_BY_CONNECTION = {("dynamodb:Query", "ConnectionIndex")}
REPLY = {
    ("execute-api:ManageConnections", "POST"),
    ("execute-api:ManageConnections", "DELETE"),
}
HEARD_FROM = {("dynamodb:UpdateItem", "table")} | FIND_BY_CONNECTION | REPLY

ALLOWED = {
    "Authorizer": {("dynamodb:DeleteItem", "tickets of table")},
    "Connect": {("dynamodb:Query", "table"), ("dynamodb:PutItem", "table")},
    "Disconnect": {("dynamodb:DeleteItem", "table")} | FIND_BY_CONNECTION,
    "Ping": HEARD_FROM,
    "Status": HEARD_FROM | {("dynamodb:Query", "table")},
    "DefaultRoute": HEARD_FROM,
    "Rest": {
        ("dynamodb:GetItem", "table"),
        ("dynamodb:Query", "table"),
        ("dynamodb:Query", "AttentionIndex"),
        ("dynamodb:PutItem", "table"),
        ("dynamodb:UpdateItem", "table"),
        ("dynamodb:DeleteItem", "table"),
        ("execute-api:ManageConnections", "GET"),
    }
    | REPLY,
    "Cleanup": {
        ("dynamodb:Scan", "table"),
        ("dynamodb:Query", "table"),
        ("dynamodb:UpdateItem", "table"),
        ("dynamodb:DeleteItem", "table"),
        ("dynamodb:PutItem", "census of table"),
        ("execute-api:ManageConnections", "GET"),
        ("execute-api:ManageConnections", "DELETE"),
    },
}


@pytest.mark.parametrize("name", HANDLERS)
def test_a_role_allows_exactly_what_its_function_does(service: Template, name: str) -> None:
    assert allowed(service, name) == ALLOWED[name] | OWN_LOGS | TRACING
    assert all(each["Effect"] == "Allow" for each in service.statements_of_function(name))


def test_no_two_functions_share_a_role_and_no_role_has_a_managed_policy(service: Template) -> None:
    roles = [service.function(name)["Role"]["Fn::GetAtt"][0] for name in HANDLERS]
    assert len(set(roles)) == len(HANDLERS)
    for role in roles:
        assert "ManagedPolicyArns" not in service.properties("AWS::IAM::Role")[role]


def test_there_are_no_other_functions(service: Template, environment: Environment) -> None:
    others = 1 if environment.gradual_deployments else 0  # the check before a deployment
    assert len(service.resources("AWS::Lambda::Function")) == len(HANDLERS) + others


@pytest.mark.parametrize(("name", "handler"), HANDLERS.items())
def test_a_handler_is_where_its_function_says(service: Template, name: str, handler: str) -> None:
    module, _, attribute = handler.rpartition(".")
    assert service.function(name)["Handler"] == handler
    assert callable(getattr(importlib.import_module(module), attribute))


def test_all_functions_are_made_of_the_same_code_for_the_same_machine(service: Template) -> None:
    functions = [service.function(name) for name in HANDLERS]
    assert len({function["Code"]["S3Key"] for function in functions}) == 1
    for function in functions:
        assert function["Runtime"] == "python3.14"
        assert function["Architectures"] == ["arm64"]
        assert function["TracingConfig"] == {"Mode": "Active"}


def test_every_environment_runs_the_same_code(templates: Templates) -> None:
    """Promotion means nothing otherwise. (In a real build `local` alone has its own.)"""
    keys = {
        function["Code"]["S3Key"]
        for stacks in templates.values()
        for function in stacks["Service"].properties("AWS::Lambda::Function").values()
    }
    assert len(keys) == 1


def test_each_function_logs_to_a_group_of_its_own_that_forgets(
    service: Template, environment: Environment
) -> None:
    groups = [service.function(name)["LoggingConfig"]["LogGroup"]["Ref"] for name in HANDLERS]
    assert len(set(groups)) == len(HANDLERS)
    for group in groups:
        properties = service.properties("AWS::Logs::LogGroup")[group]
        assert properties["RetentionInDays"] == LOG_RETENTION_DAYS[environment.name]


@pytest.mark.parametrize("name", HANDLERS)
def test_a_function_is_told_what_the_code_asks_for(
    service: Template, environment: Environment, name: str
) -> None:
    configuration = Configuration.from_environ(_variables(service, name))
    assert configuration.environment == environment.name
    assert configuration.rules == environment.rules
    assert "ConnectionsTable" in configuration.table_name
    assert "/v1" in configuration.websocket_management_url


@pytest.mark.parametrize("name", HANDLERS)
def test_powertools_is_given_no_service_name(service: Template, name: str) -> None:
    """It would become a second dimension, and every alarm would look at nothing."""
    assert "POWERTOOLS_SERVICE_NAME" not in _variables(service, name)


def test_the_authorizer_trusts_the_stacks_own_user_pool(
    service: Template, environment: Environment
) -> None:
    variables = _variables(service, "Authorizer")
    pool = f"<import BusinessConnections-{environment.name}-Data:ExportsOutputRefIdentityPool"
    assert variables["OIDC_ISSUER"].startswith(
        f"https://cognito-idp.<AWS::Region>.amazonaws.com/{pool}"
    )
    assert f"{pool}Client" in variables["OIDC_AUDIENCE"]
    assert variables["OIDC_JWKS_URL"].endswith("/.well-known/jwks.json")
    assert variables["OIDC_USER_CLAIM"] == "username"
    assert variables["OIDC_BUSINESSES_CLAIM"] == "cognito:groups"
    assert variables["OIDC_ROLES_CLAIM"] == "cognito:groups"
    assert variables["OIDC_BUSINESS_PREFIX"] == "business:"


def test_another_generation_of_signing_keys_publishes_the_authorizer_anew_and_nothing_else(
    templates: Templates, tmp_path: Path, source: Path
) -> None:
    """Its new version starts without the keys that the old one remembers."""
    raised = dataclasses.replace(PROD, signing_keys_generation=PROD.signing_keys_generation + 1)
    after = synthesize(tmp_path, source, [raised])[PROD.name]
    before = templates[PROD.name]
    assert _versions(before["Service"]).keys() == _versions(after["Service"]).keys()
    changed = {
        function
        for function, version in _versions(after["Service"]).items()
        if version != _versions(before["Service"])[function]
    }
    assert {re.sub(r"^Functions(\w+)Function\w+$", r"\1", each) for each in changed} == {
        "Authorizer"
    }
    assert after["Data"].text == before["Data"].text
    assert after["Monitoring"].text == before["Monitoring"].text


def _versions(service: Template) -> dict[str, str]:
    """The version that each alias answers with, by the function's logical id."""
    return {
        alias["FunctionName"]["Ref"]: alias["FunctionVersion"]["Fn::GetAtt"][0]
        for alias in service.properties("AWS::Lambda::Alias").values()
    }


def test_rest_answers_before_api_gateway_gives_up(service: Template) -> None:
    assert service.function("Rest")["Timeout"] < 29


def test_a_cleanup_run_ends_before_the_next_begins(
    service: Template, environment: Environment
) -> None:
    assert service.function("Cleanup")["Timeout"] < environment.cleanup.interval


def _variables(service: Template, name: str) -> dict[str, str]:
    variables: dict[str, Any] = service.function(name)["Environment"]["Variables"]
    return {key: flat(value) for key, value in variables.items()}
