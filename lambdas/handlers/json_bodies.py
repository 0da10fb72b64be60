"""Parses JSON from clients of both APIs."""

import json
import math
from typing import Any, Final

from lambdas.domain.errors import InvalidValue

MAX_DEPTH: Final = 100
"""How deep arrays and objects may be nested. Libraries walk a body recursively, and Python allows
about 1,000 nested calls.
"""


def parse(text: str) -> Any:
    """Parse JSON as defined by RFC 8259: no NaN, and no number too large for a float.

    Raises `InvalidValue` for anything else, and for nesting deeper than `MAX_DEPTH`.
    """
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
        too_deep = text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(value)
    except RecursionError:  # the parser itself gave up
        too_deep = True
    except ValueError:
        raise InvalidValue("body", "must be JSON") from None
    if too_deep:
        raise InvalidValue("body", f"must be nested at most {MAX_DEPTH} levels deep")
    return value


def _is_too_deep(value: Any) -> bool:
    # One level at a time, because recursion could itself exceed Python's limit.
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(number)
    return value
