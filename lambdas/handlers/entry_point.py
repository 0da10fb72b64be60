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

logger: Final = Logger(
    service="business-connections",
    # Whatever LOG_LEVEL says, which on the emulator is its own.
    level="INFO",
    serialize_stacktrace=False,
    # Lambda reads the level and the time of each line, and knows times in RFC 3339 only.
    use_rfc3339=True,
)

_SAID_BY_THE_LOG_GROUP: Final = ("function_name", "function_memory_size", "function_arn")
"""What Powertools would add to each line. Each function has a log group of its own."""


class EntryPoint(Protocol):
    """What Lambda calls with an event and its context. Tests also pass a service."""

    def __call__(
        self, event: Event, context: LambdaContext, *, service: Service | None = None
    ) -> dict[str, Any]: ...


@functools.cache
def service_of_process() -> Service:
    """The `Service` that every call of this process uses, unless it is given another one."""
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
        service = service or service_of_process()
        logger.remove_keys(_SAID_BY_THE_LOG_GROUP)
        try:
            return function(service, event, context)
        finally:
            service.metrics.write_counted()
            if failures := service.pop_socket_failures():
                logger.warning("calls to sockets failed", extra={"failures": failures})
            if unrecorded := service.pop_unrecorded():
                logger.warning("transitions could not be recorded", extra={"failures": unrecorded})

    return logger.inject_lambda_context(handler, clear_state=True)
