"""JSON from outside, as RFC 8259 has it, with a bounded depth."""

import json
import math
from typing import Any, Final

MAX_DEPTH: Final = 100
"""Arrays and objects within each other."""


def parse(text: str) -> Any:
    """Parse a JSON text.

    Raises `ValueError` for anything else: NaN and Infinity, which `json` takes by default, a number
    beyond a float, and more than `MAX_DEPTH` levels of arrays and objects.
    """
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError(f"more than {MAX_DEPTH} levels deep") from None
    # Level by level, since a recursive walk could itself go too deep.
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [each for each in level if isinstance(each, dict | list)]
        if not containers:
            return value
        level = [
            child
            for container in containers
            for child in (container.values() if isinstance(container, dict) else container)
        ]
    raise ValueError(f"more than {MAX_DEPTH} levels deep")


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(number)
    return value
