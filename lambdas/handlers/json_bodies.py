"""Parses JSON from clients of both APIs."""

import json
import math
from collections import Counter
from typing import Any, Final

from lambdas.domain.errors import InvalidValue

MAX_DEPTH: Final = 100
"""How deep arrays and objects may be nested. Libraries walk a body recursively, and Python allows
about 1,000 nested calls.
"""

_MAX_DIGITS: Final = 308
"""How many digits a whole number may have. With more, it may not fit into a double."""

_SHOWN: Final = 40
"""Characters of a client's text that an error repeats."""


def parse(text: str) -> Any:
    """Parse JSON as defined by RFC 8259.

    Raises `InvalidValue` for anything else, for nesting deeper than `MAX_DEPTH`, for numbers that
    are too large, and for an object with the same name twice: one of the values would be lost.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_whole_number,
            parse_float=_decimal_number,
            parse_constant=_no_number,
        )
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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise InvalidValue("body", f"has the name {_short(twice)} twice in one object")
    return value


def _whole_number(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_DIGITS:
        raise _too_large(digits)
    return int(digits)


def _decimal_number(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise _too_large(digits)
    return value


def _too_large(digits: str) -> InvalidValue:
    return InvalidValue("body", f"has the number {_short(digits)}, which is too large for a double")


def _no_number(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _short(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
