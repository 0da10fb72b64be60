"""Passes the caller from the authorizer to the REST function, in the authorizer's context.

API Gateway allows only strings, numbers and booleans as values there.
"""

from collections.abc import Mapping

from lambdas.domain.authorization import Caller, LeftOut, Role
from lambdas.domain.identifiers import BusinessId, UserId


def context_of(caller: Caller) -> dict[str, str]:
    """Everything about a caller except the businesses."""
    return {"userId": caller.user_id, "roles": " ".join(sorted(caller.roles)), "businesses": ""}


def context_of_businesses(caller: Caller, *, room: int) -> dict[str, str]:
    """The businesses, if they fit into `room` bytes; otherwise how many there are and would fit."""
    businesses = " ".join(sorted(caller.businesses))
    if len(businesses) <= room:
        return {"businesses": businesses}
    fit = businesses[: room + 1].count(" ")
    return {"businessesLeftOut": f"{len(caller.businesses)} {fit}"}


def caller_of(context: Mapping[str, str]) -> Caller:
    """The caller that the two functions above wrote."""
    left_out = context.get("businessesLeftOut")
    return Caller(
        user_id=UserId(context["userId"]),
        businesses=frozenset(map(BusinessId, context["businesses"].split())),
        roles=frozenset(map(Role, context["roles"].split())),
        left_out=LeftOut(*map(int, left_out.split())) if left_out else None,
    )
