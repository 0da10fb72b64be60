"""Cursors of paged answers: opaque to clients, and nothing that a client can do harm with."""

import base64
import binascii
import json

from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue
from lambdas.domain.ports import AttentionEntry


def encode(entry: AttentionEntry) -> str:
    """Where the next page begins, as text."""
    text = json.dumps([entry.since, entry.business_id])
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode(cursor: str) -> AttentionEntry:
    """The inverse. Raises `InvalidValue` for what this service never handed out."""
    try:
        since, business_id = json.loads(base64.urlsafe_b64decode(cursor))
        if type(since) is int and 0 <= since < 2**40:
            return AttentionEntry(identifiers.business_id(business_id), since)
    except (binascii.Error, ValueError, TypeError, RecursionError, InvalidValue):
        pass
    raise InvalidValue("cursor", "must be the `next` of an earlier answer, as it was")
