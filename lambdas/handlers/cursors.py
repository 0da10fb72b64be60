"""Cursors of paged answers. They are opaque to clients, and checked when they come back."""

import base64
import binascii
import json
import re
from decimal import Decimal
from typing import Final

from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue
from lambdas.domain.instants import END_OF_TIME
from lambdas.domain.transitions import Position
from lambdas.use_cases.ports import AttentionEntry

_POSITION: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]{1,3})?")
_DIGITS: Final = 38
"""Digits that a number may have in DynamoDB, which refuses a longer one."""

_EXPONENTS: Final = range(-130, 126)
"""Exponents that a number may have in DynamoDB, with one digit before the point."""

_SEQUENCES: Final = 10**12
"""A sequence has at most 12 digits in the sort key of a transition."""


def encode_position(position: Position) -> str:
    """The cursor of the page after this transition."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def decode_position(cursor: str) -> Position:
    """The position of a cursor. Raises `InvalidValue` if `encode_position` cannot have made it."""
    try:
        at, sequence = json.loads(base64.urlsafe_b64decode(cursor))
        are_whole = type(at) is int and type(sequence) is int
        if are_whole and 0 <= at < END_OF_TIME and 0 < sequence < _SEQUENCES:
            return at, sequence
    except (binascii.Error, ValueError, TypeError, RecursionError):
        pass
    raise _wrong_cursor()


def encode(entry: AttentionEntry) -> str:
    """The cursor of the page after this entry."""
    text = json.dumps([entry.position or str(entry.since), entry.business_id])
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode(cursor: str) -> AttentionEntry:
    """The entry of a cursor. Raises `InvalidValue` if `encode` cannot have made it."""
    try:
        position, business_id = json.loads(base64.urlsafe_b64decode(cursor))
        if _POSITION.fullmatch(position) and _is_number_of_dynamodb(number := Decimal(position)):
            since = int(number)
            return AttentionEntry(identifiers.business_id(business_id), since, position)
    except (binascii.Error, ValueError, TypeError, RecursionError, InvalidValue):
        pass
    raise _wrong_cursor()


def _is_number_of_dynamodb(number: Decimal) -> bool:
    return len(number.as_tuple().digits) <= _DIGITS and number.adjusted() in _EXPONENTS


def _wrong_cursor() -> InvalidValue:
    return InvalidValue("cursor", "must be the `next` of an earlier answer, unchanged")
