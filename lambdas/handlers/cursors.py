"""Cursors of paged answers. Clients do not look inside, and cannot do harm by changing one."""

import base64
import binascii
import json
import re
from typing import Final

from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue
from lambdas.domain.ports import AttentionEntry

_POSITION: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]{1,2})?")
_POSITION_MAX: Final = 40
"""A number as DynamoDB writes it: 38 digits at most."""


def encode(entry: AttentionEntry) -> str:
    """The cursor of the page that begins after this entry."""
    text = json.dumps([entry.position or str(entry.since), entry.business_id])
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode(cursor: str) -> AttentionEntry:
    """The entry of a cursor. Raises `InvalidValue` for anything that `encode` cannot have made."""
    try:
        position, business_id = json.loads(base64.urlsafe_b64decode(cursor))
        if len(position) <= _POSITION_MAX and _POSITION.fullmatch(position):
            since = int(float(position))
            return AttentionEntry(identifiers.business_id(business_id), since, position)
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError, InvalidValue):
        pass
    raise InvalidValue("cursor", "must be the `next` of an earlier answer, unchanged")
