"""Passes the caller from the authorizer to the functions, in the authorizer's context.

API Gateway allows only strings, numbers and booleans as values there, and does not say what becomes
of characters outside ASCII.
"""

from collections.abc import Mapping

from lambdas.domain import identifiers
from lambdas.domain.authorization import Caller, LeftOut, Role
from lambdas.domain.identifiers import BusinessId, UserId


def context_of(caller: Caller) -> dict[str, str]:
    """Everything about a caller except the businesses."""
    roles = " ".join(sorted(caller.roles))
    return {**context_of_user(caller.user_id), "roles": roles, "businesses": ""}


def context_of_user(user_id: UserId) -> dict[str, str]:
    """The user alone."""
    return {"userId": identifiers.user_id_in_ascii(user_id)}


def user_of(context: Mapping[str, str]) -> UserId:
    """The user that either of the two functions above wrote."""
    return identifiers.decode_user_id(context["userId"])


def context_of_businesses(caller: Caller, *, room: int) -> dict[str, str]:
    """The businesses, if they fit into `room` bytes; otherwise how many there are and would fit."""
    businesses = " ".join(sorted(caller.businesses))
    if len(businesses) <= room:
        return {"businesses": businesses}
    fit = businesses[: room + 1].count(" ")
    return {"businessesLeftOut": f"{len(caller.businesses)} {fit}"}


def caller_of(context: Mapping[str, str]) -> Caller:
    """The caller that `context_of` and `context_of_businesses` wrote."""
    left_out = context.get("businessesLeftOut")
    return Caller(
        user_id=user_of(context),
        businesses=frozenset(map(BusinessId, context["businesses"].split())),
        roles=frozenset(map(Role, context["roles"].split())),
        left_out=LeftOut(*map(int, left_out.split())) if left_out else None,
    )
