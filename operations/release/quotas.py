"""The quotas of an account, checked before an environment is deployed to it."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.release.assembly import StackArtifact
from operations.release.live_state import resources_of
from operations.shared.environment import DeployedEnvironment, error_code
from operations.shared.verbs import CannotBegin

MUST_STAY_UNRESERVED: Final = 100
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""

_USUAL_QUOTA: Final = 1_000

_QUOTA_CODE: Final = "L-B99A9384"

_FUNCTION: Final = "AWS::Lambda::Function"


def require(environment: DeployedEnvironment, stacks: Sequence[StackArtifact]) -> None:
    """Check that the account has room for these stacks, and warn if it has very little.

    Raises `CannotBegin` if it has no room, or if its quotas cannot be read.
    """
    if shortage := concurrency_shortage(environment, stacks):
        raise CannotBegin(shortage)
    with _reading_quotas(environment):
        limit = _account_limit(environment)["ConcurrentExecutions"]
    if limit < MUST_STAY_UNRESERVED:
        print(
            f"warning: the account of {environment.name} runs at most {limit} functions at once, as"
            " new accounts do. Ten devices that connect together use that up, and more get errors."
            f" Raise the quota to {_USUAL_QUOTA} (Service Quotas: lambda, {_QUOTA_CODE})",
            file=sys.stderr,
        )


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
        account = _account_limit(environment)
    more = sum(max(0, bound - reserved.get(which, 0)) for which, bound in wanted.items())
    limit, unreserved = account["ConcurrentExecutions"], account["UnreservedConcurrentExecutions"]
    missing = more + MUST_STAY_UNRESERVED - unreserved
    if more == 0 or missing <= 0:
        return None
    name = environment.name
    return (
        f"{name} reserves {sum(wanted.values())} concurrent executions, {more} more than now, but"
        f" this account has only {max(0, unreserved - MUST_STAY_UNRESERVED)} left: {unreserved} of"
        f" its {limit} are unreserved, and {MUST_STAY_UNRESERVED} must stay unreserved. Raise the"
        f" quota to {limit + missing} (Service Quotas: lambda, {_QUOTA_CODE}), or lower"
        f" `concurrency` of {name} in infra/environments.py"
    )


def _account_limit(environment: DeployedEnvironment) -> Mapping[str, int]:
    settings: Mapping[str, Any] = environment.client("lambda").get_account_settings()
    limit: Mapping[str, int] = settings["AccountLimit"]
    return limit


def _reserved(environment: DeployedEnvironment, stacks: set[str]) -> Mapping[tuple[str, str], int]:
    """What the functions of these stacks reserve now, by stack and logical id."""
    client, cloudformation = environment.client("lambda"), environment.client("cloudformation")
    return {
        (stack, each["LogicalResourceId"]): _reserved_for(client, each["PhysicalResourceId"])
        for stack in stacks
        for each in _functions(cloudformation, stack)
    }


def _reserved_for(client: Any, function: str) -> int:
    try:
        answer = client.get_function_concurrency(FunctionName=function)
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return 0  # somebody deleted it by hand
        raise
    return int(answer.get("ReservedConcurrentExecutions", 0))


def _functions(cloudformation: Any, stack: str) -> list[Mapping[str, Any]]:
    try:
        return [
            each
            for each in resources_of(cloudformation, stack)
            if each["ResourceType"] == _FUNCTION
            and each["ResourceStatus"] != "DELETE_COMPLETE"
            and "PhysicalResourceId" in each
        ]
    except ClientError as error:
        if error_code(error) == "ValidationError":
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
