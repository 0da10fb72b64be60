"""The check before a new version takes any traffic. CodeDeploy rolls back if it fails.

It runs with the bundle and the configuration of the new version, and finds what would fail every
caller: a handler that cannot be imported, a missing variable, a table that does not exist or may
not be read. A table that does not answer right now is no reason to fail: the new version may be the
one that ends the incident.
"""

import pkgutil
from importlib import import_module
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import handlers
from lambdas.bootstrap import Service
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.handlers.entry_point import Event, entry_point, logger

_NOBODY: Final = BusinessId("preflight")
"""The business that the check reads. It need not exist."""


@entry_point
def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
    """Check the new version and tell CodeDeploy the result.

    https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
    """
    try:
        _check(service)
        status = "Succeeded"
    except Exception:
        # Catch everything: without an answer, CodeDeploy waits for an hour.
        logger.exception("the new version is not fit to take over")
        status = "Failed"
    service.session.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
    return {"status": status}


def _check(service: Service) -> None:
    for module in pkgutil.iter_modules(handlers.__path__):
        import_module(f"lambdas.handlers.{module.name}")
    try:
        service.store.load(_NOBODY, consistent=False)
    except Unavailable:
        logger.warning(
            "the table does not answer, which is not the fault of the new version", exc_info=True
        )
