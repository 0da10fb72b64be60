"""How many virtual connections a business can have. Whoever stores some asks here first."""

from collections.abc import Sequence
from typing import Final

from lambdas.domain.model import Business, Instant, VirtualConnection

MAX_VIRTUAL_CONNECTIONS: Final = 90
"""Per business, so that one transaction removes all of them and writes the settings: DynamoDB
allows 100 items.
"""


def make_room(
    before: Business, leases: Sequence[VirtualConnection], now: Instant
) -> tuple[Sequence[VirtualConnection], Sequence[VirtualConnection]]:
    """Which of these leases the business can get, and which ended ones must go for them.

    A lease that renews a running one always fits. Of the others, those that run longest come first.
    Ended leases stay if there is room without; the cleanup removes them.
    """
    running = {each.user_id for each in before.virtual if now < each.expires_at}
    renewed = [each for each in leases if each.user_id in running]
    new = [each for each in leases if each.user_id not in running]
    longest = sorted(new, key=lambda each: each.expires_at, reverse=True)
    put = [*renewed, *longest[: max(0, MAX_VIRTUAL_CONNECTIONS - len(running))]]
    users = {each.user_id for each in put}
    others = [each for each in before.virtual if each.user_id not in users]
    if len(others) + len(put) <= MAX_VIRTUAL_CONNECTIONS:
        return put, ()
    return put, [each for each in others if each.expires_at <= now]
