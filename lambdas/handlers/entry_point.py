"""What all Lambda functions share: the logger, and the `Service` of the process.

Never log a whole event: it can contain a token.
"""

import functools
import os
from collections.abc import Callable
from typing import Any, Final, Protocol

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.bootstrap import Service

Event = dict[str, Any]
"""An event from API Gateway, EventBridge Scheduler or CodeDeploy."""

logger: Final = Logger(service="business-connections", serialize_stacktrace=False)


class EntryPoint(Protocol):
    """What Lambda calls with an event and its context. Tests also pass a service."""

    def __call__(
        self, event: Event, context: LambdaContext, *, service: Service | None = None
    ) -> dict[str, Any]: ...


@functools.cache
def _of_this_process() -> Service:
    return Service(os.environ)


def entry_point(function: Callable[[Service, Event, LambdaContext], dict[str, Any]]) -> EntryPoint:
    """Make a function that Lambda can call. It gets the `Service` of the process.

    Each log line gets the request id. When the function ends, metrics are written, and a log line
    says which calls to sockets failed: a failed call raises nothing.
    """

    @functools.wraps(function)
    def handler(
        event: Event, context: LambdaContext, *, service: Service | None = None
    ) -> dict[str, Any]:
        service = service or _of_this_process()
        try:
            return function(service, event, context)
        finally:
            service.metrics.write_counted()
            if failures := service.pop_socket_failures():
                logger.warning("calls to sockets failed", extra={"failures": failures})

    return logger.inject_lambda_context(handler, clear_state=True)
