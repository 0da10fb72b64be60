"""Checks that the account has room for what an environment reserves, before deploying to it."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.assembly import StackArtifact
from operations.deployment import Deployment, NoDeployment
from operations.running import resources_of

MUST_STAY_UNRESERVED: Final = 100
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""

_FUNCTION: Final = "AWS::Lambda::Function"


class QuotaTooSmall(NoDeployment):
    """The account has no room for what the environment reserves. The text says what to do."""


def require(deployment: Deployment, stacks: Sequence[StackArtifact]) -> None:
    """Raise `QuotaTooSmall` if the account has no room for these stacks; warn if a quota is tight.

    Raises `NoDeployment` if the account's quotas cannot be read.
    """
    for reason in refused_by_account(deployment, stacks):
        raise QuotaTooSmall(reason)
    for warning in throttled_by_account(deployment, stacks):
        print(f"warning: {warning}", file=sys.stderr, flush=True)


def refused_by_account(deployment: Deployment, stacks: Sequence[StackArtifact]) -> list[str]:
    """Return the reason, if any, why the functions cannot reserve the concurrency that they need.

    CloudFormation may raise one function before it lowers another, so capacity that is freed does
    not count. Raises `NoDeployment` if the account's quotas cannot be read.
    """
    wanted = {
        (stack.name, logical_id): int(properties["ReservedConcurrentExecutions"])
        for stack in stacks
        for logical_id, properties in stack.properties(_FUNCTION).items()
        if "ReservedConcurrentExecutions" in properties
    }
    if not wanted:
        return []
    with _asking(deployment):
        reserved = _reserved(deployment, {stack for stack, _ in wanted})
        more = sum(max(0, bound - reserved.get(which, 0)) for which, bound in wanted.items())
        account = deployment.client("lambda").get_account_settings()["AccountLimit"]
    limit, unreserved = account["ConcurrentExecutions"], account["UnreservedConcurrentExecutions"]
    missing = more + MUST_STAY_UNRESERVED - unreserved
    if more == 0 or missing <= 0:
        return []
    name = deployment.environment
    return [
        f"{name} reserves {sum(wanted.values())} concurrent executions, {more} more than now, but"
        f" this account has only {max(0, unreserved - MUST_STAY_UNRESERVED)} left: {unreserved} of"
        f" its {limit} are unreserved, and {MUST_STAY_UNRESERVED} must stay unreserved. Raise the"
        f" quota to {limit + missing} (Service Quotas: lambda, L-B99A9384), or lower `concurrency`"
        f" of {name} in infra/environments.py"
    ]


def throttled_by_account(deployment: Deployment, stacks: Sequence[StackArtifact]) -> list[str]:
    """Warn if the two APIs together let through more than the account does.

    Nothing fails because of that, but a flood of one API can starve the other.
    Raises `NoDeployment` if the account's quotas cannot be read.
    """
    rate = sum(settings["ThrottlingRateLimit"] for stack in stacks for settings in _stages(stack))
    if not rate:
        return []
    with _asking(deployment):
        account = deployment.client("apigateway").get_account()
    limit = account["throttleSettings"]["rateLimit"]
    if rate <= limit:
        return []
    return [
        f"the APIs of {deployment.environment} let through {rate:.0f} requests a second, but this"
        f" account only {limit:.0f}: a flood of one API can starve the other. Raise the quota"
        " (Service Quotas: apigateway, L-8A5B8E43), or lower `rest_throttle` and"
        " `websocket_throttle` in infra/environments.py"
    ]


def _stages(stack: StackArtifact) -> Iterator[Mapping[str, Any]]:
    """The settings of its APIs for all methods and routes that have none of their own."""
    for rest in stack.properties("AWS::ApiGateway::Stage").values():
        yield from (each for each in rest["MethodSettings"] if each["ResourcePath"] == "/*")
    for websocket in stack.properties("AWS::ApiGatewayV2::Stage").values():
        yield websocket["DefaultRouteSettings"]


def _reserved(deployment: Deployment, stacks: set[str]) -> Mapping[tuple[str, str], int]:
    """What the functions of these stacks reserve now, by stack and logical id."""
    client, cloudformation = deployment.client("lambda"), deployment.client("cloudformation")
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
def _asking(deployment: Deployment) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise NoDeployment(
            f"the quotas of the account of {deployment.environment} cannot be read: {error}."
            " docs/deploying.md lists the permissions"
        ) from error
