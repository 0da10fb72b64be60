"""Plays the main story, in short, against a deployed environment, and leaves nothing behind.

    make smoke ENVIRONMENT=dev

The story is in `lambdas.smoke_test`; the push is left out. The business has an id of its own. All
that is stored of it is removed at the end, and also at the beginning in case an earlier run was
killed.

The token comes from the Cognito user pool of the environment. If the environment trusts another
issuer, give a token in SMOKE_TOKEN; it must be for a member of the business SMOKE_BUSINESS
(`smoke-test` by default). SMOKE_TIMEOUT is how many seconds each step may take (20 by default).
It does not run while somebody deploys to the environment.
Exit codes: 0 passed, 1 failed or refused, 2 could not begin.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from infra import names
from lambdas.adapters.items import business_key
from lambdas.domain.identifiers import BusinessId
from lambdas.observability import CanaryStep as Step
from lambdas.smoke_test import SmokeTest, SmokeTestFailed
from operations.release.deployment_lock import deployment_lock
from operations.shared.environment import DeployedEnvironment
from operations.shared.user_pool import sign_in
from operations.shared.verbs import CannotBegin, exit_code, verb_parser

BUSINESS: Final = "smoke-test"
USER: Final = "smoke-test"
TIMEOUT: Final = 20.0
"""Seconds that each step may take, enough for cold starts and for a deployment to take effect."""

_DONE: Final = {
    Step.BEGIN: "healthy",
    Step.CONNECT: "a device is connected",
    Step.ONLINE: "the business is online",
    Step.PING: "a ping is answered",
    Step.UNAVAILABLE: "unavailable: the device was told, and its socket closed",
    Step.OFFLINE: "the business is offline",
}
"""What is printed after each step."""


def smoke(environment: DeployedEnvironment) -> str | None:
    """Play the story once, and print its steps. Return why it failed; None if it passed.

    Raises `CannotBegin`.
    """
    business = os.environ.get("SMOKE_BUSINESS") or BUSINESS
    try:
        with _clean_table(environment, business), _token(environment, business) as token:
            print(f"smoke test of {environment.name}")
            SmokeTest(
                rest_url=environment.output("Service", names.REST_URL),
                websocket_url=environment.output("Service", names.WEBSOCKET_URL),
                business=business,
                token=token,
                timeout=float(os.environ.get("SMOKE_TIMEOUT") or TIMEOUT),
                may_push=False,  # its user is a member, and only back ends and operators push
                done=lambda step, seconds: print(f"  {_DONE[step]} ({seconds:.1f} s)"),
            ).run()
    except SmokeTestFailed as failure:
        return str(failure)
    except (BotoCoreError, ClientError) as error:
        return f"AWS refused a step: {error}"
    return None


@contextmanager
def _clean_table(environment: DeployedEnvironment, business: str) -> Iterator[None]:
    """Remove what is stored of the test business, at the beginning and at the end."""
    dynamodb, table = environment.client("dynamodb"), environment.table_name
    _remove(dynamodb, table, business)
    try:
        yield
    finally:
        _remove(dynamodb, table, business)


def _remove(dynamodb: Any, table: str, business: str) -> None:
    """Remove the settings and the connections of one business."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": business_key(BusinessId(business))},
        ProjectionExpression="pk, sk",
        ConsistentRead=True,
    )
    for page in pages:
        for key in page["Items"]:
            dynamodb.delete_item(TableName=table, Key=key)


@contextmanager
def _token(environment: DeployedEnvironment, business: str) -> Iterator[str]:
    if given := os.environ.get("SMOKE_TOKEN"):
        yield given
        return
    outputs = environment.outputs
    pool, client = outputs.get(names.USER_POOL_ID), outputs.get(names.USER_POOL_CLIENT_ID)
    if pool is None or client is None:
        raise CannotBegin(
            f"{environment.name} has no user pool: give SMOKE_TOKEN, an access token of its issuer"
            f" for a member of the business {business}"
        )
    cognito = environment.client("cognito-idp")
    group = f"business:{business}"
    try:
        yield sign_in(cognito, pool=pool, client=client, user=USER, groups=[group])
    finally:
        with suppress(cognito.exceptions.UserNotFoundException):
            cognito.admin_delete_user(UserPoolId=pool, Username=USER)
        with suppress(cognito.exceptions.ResourceNotFoundException):
            cognito.delete_group(UserPoolId=pool, GroupName=group)


def main() -> int:
    wanted = verb_parser("smoke", __doc__).parse_args()

    def verb() -> int:
        environment = DeployedEnvironment(wanted.environment, profile=wanted.profile)
        # Two smoke tests at once would end each other's connections.
        with deployment_lock(environment, "smoke test"):
            failure = smoke(environment)
        if failure is not None:
            print(f"{wanted.environment}: the smoke test FAILED: {failure}", file=sys.stderr)
            return 1
        print(f"{wanted.environment}: the smoke test passed")
        return 0

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
