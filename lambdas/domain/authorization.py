"""Who may do what. The one place that decides it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lambdas.domain.errors import Forbidden
from lambdas.domain.identifiers import BusinessId, UserId


class Role(StrEnum):
    """A role that a token can name."""

    OPERATOR = "operator"
    BACKEND = "backend"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A token named too many businesses, so none of them were handed on."""

    named: int
    """How many the token named."""
    fit: int
    """How many would have fitted."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a verified token speaks for."""

    user_id: UserId
    businesses: frozenset[BusinessId]
    roles: frozenset[Role]
    left_out: LeftOut | None = None


class Operation(StrEnum):
    """What can be asked of this service, apart from its health, which is open to all."""

    READ_STATUS = "read-status"
    READ_ONLINE = "read-online"
    SET_AVAILABILITY = "set-availability"
    LIST_CONNECTIONS = "list-connections"
    CONNECT = "connect"
    PAUSE = "pause"
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
    Operation.PAUSE: frozenset({_MEMBER}),
    Operation.CHANGE_SETTINGS: frozenset({Role.OPERATOR}),
    Operation.ISSUE_TICKET: frozenset({_MEMBER}),
    Operation.PUSH_MESSAGE: frozenset({Role.OPERATOR, Role.BACKEND}),
    Operation.CLOSE_CONNECTION: frozenset({Role.OPERATOR}),
    Operation.CLEAN_UP: frozenset({Role.OPERATOR}),
    Operation.LIST_ATTENTION: frozenset({Role.OPERATOR}),
}
"""Caller kinds by operation: `member` is a user whose token names the business, `anyone` is every
caller with a valid token."""


def authorize(caller: Caller, operation: Operation, business_id: BusinessId | None = None) -> None:
    """Raise `Forbidden` unless the caller may do this with this business, known or not.

    Without a business: with all of them.
    """
    kinds = {_ANYONE, *caller.roles}
    if business_id in caller.businesses:
        kinds.add(_MEMBER)
    if not kinds & ALLOWED[operation]:
        if caller.left_out and _MEMBER in ALLOWED[operation]:
            raise Forbidden(
                f"this token names {caller.left_out.named} businesses, but with ids of this"
                f" length it may name at most {caller.left_out.fit}: get one that names fewer"
            )
        raise Forbidden(f"this token does not allow {operation} for {business_id or 'all'}")
