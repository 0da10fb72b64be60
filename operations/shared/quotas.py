"""The quotas of an account, checked before an environment is deployed to it."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.shared.assembly import StackArtifact
from operations.shared.environment import DeployedEnvironment
from operations.shared.exit_codes import CannotBegin
from operations.shared.live_state import resources_of

MUST_STAY_UNRESERVED: Final = 100
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""

_FUNCTION: Final = "AWS::Lambda::Function"


def require(environment: DeployedEnvironment, stacks: Sequence[StackArtifact]) -> None:
    """Check that the account has room for these stacks, and warn if its throttle is tight.

    Raises `CannotBegin` if it has no room, or if its quotas cannot be read.
    """
    if shortage := concurrency_shortage(environment, stacks):
        raise CannotBegin(shortage)
    if warning := throttle_warning(environment, stacks):
        print(f"warning: {warning}", file=sys.stderr)


def concurrency_shortage(
    environment: DeployedEnvironment, stacks: Sequence[StackArtifact]
) -> str | None:
    """Say why the functions cannot reserve the concurrency that they need; None if they can.

    Concurrency that one function frees does not count, because CloudFormation may raise another one
    first. Raises `CannotBegin` if the quotas cannot be read.
    """
    wanted = {
        (stack.name, logical_id): int(properties["ReservedConcurrentExecutions"])
        for stack in stacks
        for logical_id, properties in stack.properties(_FUNCTION).items()
        if "ReservedConcurrentExecutions" in properties
    }
    if not wanted:
        return None
    with _reading_quotas(environment):
        reserved = _reserved(environment, {stack for stack, _ in wanted})
        more = sum(max(0, bound - reserved.get(which, 0)) for which, bound in wanted.items())
        account = environment.client("lambda").get_account_settings()["AccountLimit"]
    limit, unreserved = account["ConcurrentExecutions"], account["UnreservedConcurrentExecutions"]
    missing = more + MUST_STAY_UNRESERVED - unreserved
    if more == 0 or missing <= 0:
        return None
    name = environment.name
    return (
        f"{name} reserves {sum(wanted.values())} concurrent executions, {more} more than now, but"
        f" this account has only {max(0, unreserved - MUST_STAY_UNRESERVED)} left: {unreserved} of"
        f" its {limit} are unreserved, and {MUST_STAY_UNRESERVED} must stay unreserved. Raise the"
        f" quota to {limit + missing} (Service Quotas: lambda, L-B99A9384), or lower `concurrency`"
        f" of {name} in infra/environments.py"
    )


def throttle_warning(
    environment: DeployedEnvironment, stacks: Sequence[StackArtifact]
) -> str | None:
    """Warn if the two APIs together let through more requests than the account; None if not.

    The deployment works, but a flood of one API can starve the other. Raises `CannotBegin` if the
    quotas cannot be read.
    """
    rate = sum(settings["ThrottlingRateLimit"] for stack in stacks for settings in _stages(stack))
    if not rate:
        return None
    with _reading_quotas(environment):
        account = environment.client("apigateway").get_account()
    limit = account["throttleSettings"]["rateLimit"]
    if rate <= limit:
        return None
    return (
        f"the APIs of {environment.name} let through {rate:.0f} requests a second, but this"
        f" account only {limit:.0f}: a flood of one API can starve the other. Raise the quota"
        " (Service Quotas: apigateway, L-8A5B8E43), or lower `limits.rest`"
        " and `limits.websocket` in infra/environments.py"
    )


def _stages(stack: StackArtifact) -> Iterator[Mapping[str, Any]]:
    """The settings of its APIs that hold for methods and routes without their own."""
    for rest in stack.properties("AWS::ApiGateway::Stage").values():
        yield from (each for each in rest["MethodSettings"] if each["ResourcePath"] == "/*")
    for websocket in stack.properties("AWS::ApiGatewayV2::Stage").values():
        yield websocket["DefaultRouteSettings"]


def _reserved(environment: DeployedEnvironment, stacks: set[str]) -> Mapping[tuple[str, str], int]:
    """Return what the functions of these stacks reserve now, by stack and logical id."""
    client, cloudformation = environment.client("lambda"), environment.client("cloudformation")
    return {
        (stack, each["LogicalResourceId"]): client.get_function_concurrency(
            FunctionName=each["PhysicalResourceId"]
        ).get("ReservedConcurrentExecutions", 0)
        for stack in stacks
        for each in _functions(cloudformation, stack)
    }


def _functions(cloudformation: Any, stack: str) -> list[Mapping[str, Any]]:
    try:
        return [
            each
            for each in resources_of(cloudformation, stack)
            if each["ResourceType"] == _FUNCTION and each["ResourceStatus"] != "DELETE_COMPLETE"
        ]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return []  # there is no such stack yet
        raise


@contextmanager
def _reading_quotas(environment: DeployedEnvironment) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise CannotBegin(
            f"the quotas of the account of {environment.name} cannot be read: {error}."
            " docs/deploying.md lists the permissions"
        ) from error
