"""Cursors of paged answers. They are opaque to clients, and checked when they come back."""

import base64
import binascii
import json
import re
from typing import Final

from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue
from lambdas.domain.instants import END_OF_TIME
from lambdas.domain.ports import AttentionEntry
from lambdas.domain.transitions import Position

_POSITION: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]{1,2})?")
_POSITION_MAX: Final = 40
"""Characters of a number as DynamoDB writes it, which has at most 38 digits."""

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
        if len(position) <= _POSITION_MAX and _POSITION.fullmatch(position):
            since = int(float(position))
            return AttentionEntry(identifiers.business_id(business_id), since, position)
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError, InvalidValue):
        pass
    raise _wrong_cursor()


def _wrong_cursor() -> InvalidValue:
    return InvalidValue("cursor", "must be the `next` of an earlier answer, unchanged")
