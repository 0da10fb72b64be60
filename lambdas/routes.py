"""The routes of the REST API, each written once.

The function, API Gateway's resources and the OpenAPI document are made from this table.
docs/contributing.md says how to add a route. Nothing here needs a third-party package.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from lambdas.domain.authorization import Operation
from lambdas.problems import (
    IDEMPOTENCY_KEY_REUSED,
    NOT_DECLARED,
    NOT_FOUND,
    STILL_RUNNING,
    TOO_MANY_CONNECTIONS,
    ProblemType,
)


class Tag(StrEnum):
    """How the OpenAPI document groups routes."""

    STATUS = "Status"
    AVAILABILITY = "Availability"
    DEVICES = "Devices"
    OPERATORS = "Operators"
    DEPLOYMENT = "Deployment"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    """As API Gateway spells it, for example ``/businesses/{businessId}/status``."""
    operation: Operation | None
    """What the caller must be allowed to do. None: anybody may call it, without a token."""
    tag: Tag
    problems: tuple[ProblemType, ...] = ()
    """The problems that only this route has. Most routes share the others."""
    success: HTTPStatus = HTTPStatus.OK
    """The status of a good answer. `NO_CONTENT` has no body."""


ROUTES: Final[Mapping[str, Route]] = {
    "get_status": Route(
        "GET", "/businesses/{businessId}/status", Operation.READ_STATUS, Tag.STATUS
    ),
    "get_online": Route(
        "GET", "/businesses/{businessId}/online", Operation.READ_ONLINE, Tag.STATUS
    ),
    "post_online": Route("POST", "/businesses/online", Operation.READ_ONLINE, Tag.STATUS),
    "get_connections": Route(
        "GET", "/businesses/{businessId}/connections", Operation.LIST_CONNECTIONS, Tag.STATUS
    ),
    "get_history": Route(
        "GET",
        "/businesses/{businessId}/history",
        Operation.READ_HISTORY,
        Tag.STATUS,
        problems=(NOT_FOUND,),
    ),
    "put_availability": Route(
        "PUT",
        "/businesses/{businessId}/availability",
        Operation.SET_AVAILABILITY,
        Tag.AVAILABILITY,
        problems=(TOO_MANY_CONNECTIONS,),
    ),
    "put_pause": Route(
        "PUT",
        "/businesses/{businessId}/pause",
        Operation.PAUSE,
        Tag.AVAILABILITY,
        problems=(NOT_DECLARED,),
    ),
    "delete_pause": Route(
        "DELETE",
        "/businesses/{businessId}/pause",
        Operation.PAUSE,
        Tag.AVAILABILITY,
        problems=(NOT_DECLARED,),
    ),
    "get_opening_hours": Route(
        "GET",
        "/businesses/{businessId}/opening-hours",
        Operation.READ_OPENING_HOURS,
        Tag.AVAILABILITY,
        problems=(NOT_FOUND,),
    ),
    "put_opening_hours": Route(
        "PUT",
        "/businesses/{businessId}/opening-hours",
        Operation.SET_OPENING_HOURS,
        Tag.AVAILABILITY,
        problems=(NOT_DECLARED,),
    ),
    "delete_opening_hours": Route(
        "DELETE",
        "/businesses/{businessId}/opening-hours",
        Operation.SET_OPENING_HOURS,
        Tag.AVAILABILITY,
        problems=(NOT_DECLARED,),
    ),
    "post_ticket": Route(
        "POST", "/businesses/{businessId}/tickets", Operation.ISSUE_TICKET, Tag.DEVICES
    ),
    "post_message": Route(
        "POST",
        "/businesses/{businessId}/messages",
        Operation.PUSH_MESSAGE,
        Tag.DEVICES,
        problems=(STILL_RUNNING, IDEMPOTENCY_KEY_REUSED),
    ),
    "get_businesses": Route("GET", "/businesses", Operation.LIST_ATTENTION, Tag.OPERATORS),
    "put_settings": Route(
        "PUT",
        "/businesses/{businessId}/settings",
        Operation.CHANGE_SETTINGS,
        Tag.OPERATORS,
        problems=(NOT_DECLARED,),
    ),
    "delete_connection": Route(
        "DELETE",
        "/businesses/{businessId}/connections/{connectionId}",
        Operation.CLOSE_CONNECTION,
        Tag.OPERATORS,
        problems=(NOT_FOUND,),
        success=HTTPStatus.NO_CONTENT,
    ),
    "post_cleanup": Route(
        "POST", "/businesses/{businessId}/cleanup", Operation.CLEAN_UP, Tag.OPERATORS
    ),
    "health": Route("GET", "/health", None, Tag.DEPLOYMENT),
}
"""By the name of the function in `lambdas.handlers.rest`."""

CORS_HEADERS: Final = ("Authorization", "Content-Type", "Idempotency-Key")
"""The request headers that a page of an allowed origin may send."""


def methods_by_path() -> Mapping[str, tuple[str, ...]]:
    """The methods of each path, in the order of the table."""
    methods: dict[str, tuple[str, ...]] = {}
    for route in ROUTES.values():
        methods[route.path] = (*methods.get(route.path, ()), route.method)
    return methods
