import dataclasses
import importlib
from pathlib import Path
from typing import Any

import pytest

from infra.configuration import Environment
from infra.environments import PROD
from lambdas.bootstrap import Configuration
from tests.infra.synthesis import Templates, synthesize
from tests.infra.template import Properties, Template, flat, function_name


def test_each_function_has_a_role_of_its_own_without_managed_policies(service: Template) -> None:
    functions = service.functions().values()
    roles = {function["Role"]["Fn::GetAtt"][0] for function in functions}
    assert len(roles) == len(functions)
    for role in roles:
        assert "ManagedPolicyArns" not in service.properties("AWS::IAM::Role")[role]


def test_the_handler_of_each_function_can_be_imported(every_option: dict[str, Template]) -> None:
    handlers = [each["Handler"] for each in every_option["Service"].functions().values()]
    assert len(set(handlers)) == len(handlers)
    for handler in handlers:
        module, _, attribute = handler.rpartition(".")
        assert callable(getattr(importlib.import_module(module), attribute))


def test_all_functions_run_the_same_code_on_the_same_machine(service: Template) -> None:
    functions = service.functions().values()
    assert len({function["Code"]["S3Key"] for function in functions}) == 1
    for function in functions:
        assert function["Runtime"] == "python3.14"
        assert function["Architectures"] == ["arm64"]


def test_all_functions_but_ping_are_traced(service: Template) -> None:
    """Without a decision from upstream Lambda records 5 % of the calls, and most calls are pings.
    X-Ray's sampling rules do not change that.
    """
    modes = {name: each["TracingConfig"]["Mode"] for name, each in service.functions().items()}
    assert modes.pop("Ping") == "PassThrough"
    assert set(modes.values()) == {"Active"}


def test_lambda_logs_the_calls_that_went_wrong_unless_every_call_is_asked_for(
    service: Template, environment: Environment
) -> None:
    assert _system_levels(service) == {"INFO" if environment.log_each_call else "WARN"}


def test_no_log_level_drops_metrics(service: Template) -> None:
    """Lambda takes lines without a level, which metrics are, for INFO."""
    for function in service.functions().values():
        assert function["LoggingConfig"]["LogFormat"] == "JSON"
        assert function["LoggingConfig"]["ApplicationLogLevel"] == "INFO"
        assert "POWERTOOLS_LOG_LEVEL" not in _variables(function)


def _system_levels(service: Template) -> set[str]:
    return {each["LoggingConfig"]["SystemLogLevel"] for each in service.functions().values()}


def test_all_environments_run_the_same_code(templates: Templates) -> None:
    """Otherwise a promotion proves nothing. (In a real build, `local` alone has other code.)"""
    keys = {
        function["Code"]["S3Key"]
        for stacks in templates.values()
        for function in stacks["Service"].functions().values()
    }
    assert len(keys) == 1


def test_logs_are_kept_for_as_long_as_the_environment_says(
    service: Template, environment: Environment
) -> None:
    groups = service.properties("AWS::Logs::LogGroup").values()
    assert {group["RetentionInDays"] for group in groups} == {environment.log_retention_days}


def test_each_function_gets_the_environment_variables_that_the_code_reads(
    service: Template, environment: Environment
) -> None:
    for function in service.functions().values():
        configuration = Configuration.from_environ(_variables(function))
        assert configuration.environment == environment.name
        assert configuration.rules == environment.rules
        assert "ConnectionsTable" in configuration.table_name
        assert "/v1" in configuration.websocket_management_url


def test_powertools_gets_no_service_name(service: Template) -> None:
    """It would add a dimension to all metrics, and the alarms would find no data."""
    for function in service.functions().values():
        assert "POWERTOOLS_SERVICE_NAME" not in _variables(function)


def test_by_default_the_authorizer_trusts_the_user_pool_of_the_data_stack(
    service: Template, environment: Environment
) -> None:
    if environment.oidc is not None:
        pytest.skip("it has an issuer of its own")
    variables = _variables(service.function("Authorizer"))
    pool = f"<import BusinessConnections-{environment.name}-Data:ExportsOutputRefIdentityPool"
    assert variables["OIDC_ISSUER"].startswith(
        f"https://cognito-idp.<AWS::Region>.amazonaws.com/{pool}"
    )
    assert f"{pool}Client" in variables["OIDC_AUDIENCE"]
    assert variables["OIDC_JWKS_URL"].endswith("/.well-known/jwks.json")


def test_raising_signing_keys_generation_publishes_a_new_version_of_the_authorizer_only(
    templates: Templates, tmp_path: Path, source: Path
) -> None:
    """The new version starts without the keys that the old one has cached."""
    raised = dataclasses.replace(PROD, signing_keys_generation=PROD.signing_keys_generation + 1)
    before, after = templates[PROD.name], synthesize(tmp_path, source, [raised])[PROD.name]
    old, new = _live_versions(before["Service"]), _live_versions(after["Service"])
    assert old.keys() == new.keys()
    assert {name for name in new if new[name] != old[name]} == {"Authorizer"}
    assert after["Data"].text == before["Data"].text
    assert after["Monitoring"].text == before["Monitoring"].text


def _live_versions(service: Template) -> dict[str, str]:
    """The version that each function's alias stands for."""
    return {
        function_name(alias["FunctionName"]["Ref"]): alias["FunctionVersion"]["Fn::GetAtt"][0]
        for alias in service.properties("AWS::Lambda::Alias").values()
    }


def test_a_cleanup_run_ends_before_the_next_begins(
    service: Template, environment: Environment
) -> None:
    assert service.function("Cleanup")["Timeout"] < environment.cleanup.interval


def _variables(function: Properties) -> dict[str, str]:
    variables: dict[str, Any] = function["Environment"]["Variables"]
    return {key: flat(value) for key, value in variables.items()}
