"""The canary in the templates: its schedule, where it connects to, and its credential."""

from typing import Any

import pytest

from infra.configuration import Environment
from lambdas.handlers import canary
from lambdas.observability import CanaryStep
from tests.infra.synthesis import ENVIRONMENTS, Templates
from tests.infra.template import Template, as_list, flat

WITH_CANARY = {name: each for name, each in ENVIRONMENTS.items() if each.canary}


@pytest.fixture(params=list(WITH_CANARY))
def environment(request: pytest.FixtureRequest) -> Environment:
    """Each with a canary; one of them has another issuer and custom domains."""
    return WITH_CANARY[request.param]


def test_an_environment_has_a_canary_only_if_it_asks_for_one(
    templates: Templates,
) -> None:
    for name, stacks in templates.items():
        asked = name in WITH_CANARY
        assert ("Canary" in stacks["Service"].functions()) is asked, name
        assert bool(stacks["Service"].resources("AWS::SecretsManager::Secret")) is asked, name
        assert ("CanaryFailed" in stacks["Monitoring"].text) is asked, name


def test_it_runs_at_its_interval_once_and_a_run_ends_before_the_next_begins(
    service: Template, environment: Environment
) -> None:
    assert environment.canary is not None
    schedule, invocation = _schedule(service), _invocation(service)
    assert schedule["ScheduleExpression"] == f"rate({environment.canary.interval // 60} minutes)"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert invocation["MaximumRetryAttempts"] == 0
    late = schedule["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"]
    assert late == invocation["MaximumEventAgeInSeconds"] == 60
    assert late + service.function("Canary")["Timeout"] <= environment.canary.interval


def test_a_run_in_which_each_step_takes_its_time_ends_before_the_function_times_out(
    service: Template,
) -> None:
    """A function that times out publishes nothing. The last step may take twice its time: it is
    tried until the end. Then the socket is closed, and the business is made unavailable.
    """
    longest = (len(CanaryStep) + 1 + 2) * canary.TIMEOUT
    assert longest < service.function("Canary")["Timeout"]


def test_its_schedule_may_invoke_it_and_nothing_else(service: Template) -> None:
    target = _schedule(service)["Target"]
    role = target["RoleArn"]["Fn::GetAtt"][0]
    (policy,) = (
        each
        for each in service.properties("AWS::IAM::Policy").values()
        if {"Ref": role} in each["Roles"]
    )
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert as_list(statement["Action"]) == ["lambda:InvokeFunction"]
    assert as_list(statement["Resource"]) == [target["Arn"]]


def test_it_connects_to_the_public_urls(service: Template) -> None:
    variables = service.function("Canary")["Environment"]["Variables"]
    for variable, output, scheme in (
        ("REST_URL", "RestUrl", "https://"),
        ("WEBSOCKET_URL", "WebSocketUrl", "wss://"),
    ):
        assert flat(variables[variable]) == flat(service.outputs[output]["Value"])
        assert flat(variables[variable]).startswith(scheme)


def test_no_template_holds_its_credential(service: Template, environment: Environment) -> None:
    credential, resource = service.only("AWS::SecretsManager::Secret")
    assert not resource["Properties"].keys() & {"SecretString", "GenerateSecretString"}
    assert ("KmsKeyId" in resource["Properties"]) is environment.customer_managed_key
    variables = service.function("Canary")["Environment"]["Variables"]
    assert variables["CREDENTIAL_ARN"] == {"Ref": credential}
    assert service.outputs["CanaryCredentialArn"]["Value"] == {"Ref": credential}


def _schedule(service: Template) -> dict[str, Any]:
    (schedule,) = (
        each
        for each in service.properties("AWS::Scheduler::Schedule").values()
        if flat(each["Target"]["Arn"]).startswith("<FunctionsCanaryLive")
    )
    return schedule


def _invocation(service: Template) -> dict[str, Any]:
    (invocation,) = (
        each
        for each in service.properties("AWS::Lambda::EventInvokeConfig").values()
        if flat(each["FunctionName"]).startswith("<FunctionsCanaryFunction")
    )
    return invocation
