"""The size of items, which is what a write costs."""

from typing import Any

from lambdas.adapters import items
from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.domain.presence import USER_AGENT_MAX
from tests.builders import real

WRITE_UNIT = 1024
"""Bytes that one write unit pays for."""

NUMBER_MAX = 21
"""Bytes of the longest number."""


def _bytes(item: dict[str, Any]) -> int:
    """The size of an item at most, by AWS's rules: its names, and its values.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    size = 0
    for name, typed in item.items():
        ((kind, value),) = typed.items()
        size += len(name)
        size += len(value) if kind == "S" else NUMBER_MAX if kind == "N" else 1
    return size


def test_the_largest_real_connection_is_written_with_one_unit() -> None:
    largest = real(
        "c" * 128,
        business_id=BusinessId("b" * 64),
        user_id=UserId("u" * 255),
        user_agent="a" * USER_AGENT_MAX,
    )
    item = items.real_item(largest)
    # A ping adds one counter and removes the others. A claim adds when it was made.
    item |= {items.MESSAGE_COUNTERS[0]: {"N": "1"}, "closingAt": {"N": "1"}}
    assert _bytes(item) <= WRITE_UNIT
