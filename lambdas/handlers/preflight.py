"""The check before a deployment takes any traffic: CodeDeploy asks it, and goes back on a no.

It is made of the bundle and the configuration that are about to take over. What fails a new version
for every caller shows here: a handler that cannot be imported, a variable that is missing, a table
that is not there or may not be read. A table that is there but does not answer right now says
nothing about the version, which may be the one that ends the incident.
"""

from importlib import import_module
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.bootstrap import Service
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.handlers.entry_point import Event, entry_point, logger

HANDLERS: Final = ("authorizer", "cleanup", "rest", "websocket")
"""The modules that hold the handlers of all other functions."""

_NOBODY: Final = BusinessId("preflight")
"""A business that is asked for, and need not exist."""


@entry_point
def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
    """Look at the new version, and tell CodeDeploy.

    https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
    """
    try:
        _look(service)
        status = "Succeeded"
    except Exception:
        # Whatever it is: the one wrong answer would be none, which keeps the deployment waiting.
        logger.exception("the new version is not fit to take over")
        status = "Failed"
    service.session.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
    return {"status": status}


def _look(service: Service) -> None:
    for name in HANDLERS:
        import_module(f"lambdas.handlers.{name}")
    try:
        service.store.load(_NOBODY, consistent=False)
    except Unavailable:
        logger.warning("the table does not answer: the new version is not to blame", exc_info=True)
