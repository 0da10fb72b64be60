"""The size of items, which is what a write costs."""

from typing import Any

from lambdas.adapters import items
from lambdas.domain.identifiers import BusinessId, DeviceId, UserId
from lambdas.use_cases.admission import USER_AGENT_MAX
from tests.builders import NOW, real

WRITE_UNIT = 1024
"""Bytes that one write unit pays for."""


def _bytes(item: dict[str, Any]) -> int:
    """The size of an item by AWS's rules: its names and its values. Two digits take one byte.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    size = 0
    for name, typed in item.items():
        ((kind, value),) = typed.items()
        size += len(name)
        size += len(value) if kind == "S" else (len(value) + 1) // 2 + 1 if kind == "N" else 1
    return size


def test_the_largest_real_connection_is_written_with_one_unit() -> None:
    largest = real(
        "c" * 128,
        business_id=BusinessId("b" * 64),
        user_id=UserId("u" * 255),
        user_agent="a" * USER_AGENT_MAX,
        device_id=DeviceId("d" * 64),
        ping_interval=300,
    )
    item = items.real_item(largest)
    # A ping adds one counter and removes the others. A claim adds when it was made.
    counter, start = items.message_counter(NOW)
    item |= {counter: items.number(start + 1), "closingAt": items.number(NOW)}
    assert _bytes(item) <= WRITE_UNIT
