"""Decides who may do what. Nothing else decides it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lambdas.domain.errors import Forbidden
from lambdas.domain.identifiers import CANARY, BusinessId, UserId
from lambdas.domain.model import ActingAs


class Role(StrEnum):
    """A role that a token can name."""

    OPERATOR = "operator"
    BACKEND = "backend"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A token named more businesses than the authorizer can pass on, so it passed on none."""

    named: int
    """How many businesses the token named."""
    limit: int
    """How many it could have named."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, according to a verified token."""

    user_id: UserId
    businesses: frozenset[BusinessId]
    roles: frozenset[Role]
    left_out: LeftOut | None = None

    def acting_as(self, business_id: BusinessId) -> ActingAs:
        """In what capacity the caller changes this business."""
        if Role.OPERATOR in self.roles:
            return ActingAs.OPERATOR
        return ActingAs.MEMBER if business_id in self.businesses else ActingAs.BACKEND


class Operation(StrEnum):
    """What callers can ask for. (The health check is open to all and not listed.)"""

    READ_STATUS = "read-status"
    READ_ONLINE = "read-online"
    SET_AVAILABILITY = "set-availability"
    LIST_CONNECTIONS = "list-connections"
    CONNECT = "connect"
    PAUSE = "pause"
    READ_HISTORY = "read-history"
    READ_OPENING_HOURS = "read-opening-hours"
    SET_OPENING_HOURS = "set-opening-hours"
    CHANGE_SETTINGS = "change-settings"
    ISSUE_TICKET = "issue-ticket"
    PUSH_MESSAGE = "push-message"
    CLOSE_CONNECTION = "close-connection"
    CLEAN_UP = "clean-up"
    LIST_ATTENTION = "list-attention"


_MEMBER: Final = "member"
_ANYONE: Final = "anyone"

ALLOWED: Final[dict[Operation, frozenset[str]]] = {
    Operation.READ_STATUS: frozenset({_MEMBER, Role.OPERATOR}),
    Operation.READ_ONLINE: frozenset({_ANYONE}),
    Operation.SET_AVAILABILITY: frozenset({_MEMBER}),
    Operation.LIST_CONNECTIONS: frozenset({_MEMBER, Role.OPERATOR}),
    Operation.CONNECT: frozenset({_MEMBER}),
    Operation.PAUSE: frozenset({_MEMBER, Role.OPERATOR, Role.BACKEND}),
    Operation.READ_HISTORY: frozenset({_MEMBER, Role.OPERATOR}),
    Operation.READ_OPENING_HOURS: frozenset({_MEMBER, Role.OPERATOR}),
    Operation.SET_OPENING_HOURS: frozenset({_MEMBER, Role.OPERATOR}),
    Operation.CHANGE_SETTINGS: frozenset({Role.OPERATOR}),
    Operation.ISSUE_TICKET: frozenset({_MEMBER}),
    Operation.PUSH_MESSAGE: frozenset({Role.OPERATOR, Role.BACKEND}),
    Operation.CLOSE_CONNECTION: frozenset({Role.OPERATOR}),
    Operation.CLEAN_UP: frozenset({Role.OPERATOR}),
    Operation.LIST_ATTENTION: frozenset({Role.OPERATOR}),
}
"""The kinds of callers that may do each operation.

`member` is a user whose token names the business, `anyone` is every caller with a valid token.
"""


def may(caller: Caller, operation: Operation, business_id: BusinessId | None = None) -> bool:
    """Whether the caller may do this with this business, whether it exists or not.

    `business_id` is None for an operation that is not about one business.
    """
    kinds = {_ANYONE, *caller.roles}
    if business_id in caller.businesses:
        kinds.add(_MEMBER)
        if business_id == CANARY:
            # It pushes to its own device. As a back end it could push to those of all businesses.
            kinds.add(Role.BACKEND)
    return bool(kinds & ALLOWED[operation])


def authorize(caller: Caller, operation: Operation, business_id: BusinessId | None = None) -> None:
    """Raise `Forbidden` unless the caller may do this."""
    if may(caller, operation, business_id):
        return
    if caller.left_out and _MEMBER in ALLOWED[operation]:
        raise Forbidden(
            f"this token names {caller.left_out.named} businesses, but with ids of this"
            f" length it may name at most {caller.left_out.limit}: get one that names fewer"
        )
    about = f" for {business_id}" if business_id else ""
    raise Forbidden(f"this token does not allow {operation}{about}")
