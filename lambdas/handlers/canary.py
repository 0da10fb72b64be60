"""The scheduled canary: plays the main story against the deployed APIs, from outside them.

It calls the APIs by their public URLs, with an access token that the authorizer checks. Its
business, `CANARY`, counts nowhere. A run begins by ending what an earlier one left behind.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import variables
from lambdas.adapters.credential import NoToken
from lambdas.bootstrap import Service
from lambdas.domain.identifiers import CANARY
from lambdas.handlers.entry_point import Event, entry_point, logger
from lambdas.observability import CanaryStep
from lambdas.smoke_test import SmokeTest, SmokeTestFailed

TIMEOUT: Final = 10.0
"""Seconds that each step may take: enough for the cold starts in its way."""


@entry_point
def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
    """Play the story once. Publish whether it succeeded, and how long each step took.

    Raises `NoCredential` and publishes nothing if nobody has given the canary a credential yet.
    """
    milliseconds: dict[CanaryStep, int] = {}

    def done(step: CanaryStep, seconds: float) -> None:
        milliseconds[step] = round(seconds * 1000)

    failure = _play(service, done)
    service.metrics.publish_canary(succeeded=failure is None, milliseconds=milliseconds)
    report: dict[str, Any] = {"succeeded": failure is None, "milliseconds": milliseconds}
    if failure is None:
        logger.info("canary", extra={"milliseconds": milliseconds})
        return report
    step, reason = failure
    logger.error(
        "canary failed", extra={"step": step, "reason": reason, "milliseconds": milliseconds}
    )
    return {**report, "step": step, "reason": reason}


def _play(
    service: Service, done: Callable[[CanaryStep, float], None]
) -> tuple[CanaryStep, str] | None:
    """The step that failed, and why; None if all succeeded."""
    began = time.monotonic()
    try:
        token = service.credential.access_token()
    except NoToken as error:
        return CanaryStep.SIGN_IN, str(error)
    done(CanaryStep.SIGN_IN, time.monotonic() - began)
    test = SmokeTest(
        rest_url=service.variable(variables.REST_URL),
        websocket_url=service.variable(variables.WEBSOCKET_URL),
        business=CANARY,
        token=token,
        timeout=TIMEOUT,
        may_push=True,
        done=done,
    )
    try:
        test.run()
    except SmokeTestFailed as error:
        return test.step, str(error)
    return None
