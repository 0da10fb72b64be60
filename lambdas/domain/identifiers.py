"""The identifiers of this service, and the one place that decides which texts are valid.

None of them can contain ``#``, which separates the parts of a stored key.
"""

import re
from typing import Final, NewType
from urllib.parse import quote, unquote

from lambdas.domain.errors import InvalidValue

BusinessId = NewType("BusinessId", str)
"""A merchant, as the marketplace names it: up to 64 characters of ``A-Z a-z 0-9 . _ : @ -``."""

DeviceId = NewType("DeviceId", str)
"""A till, tablet or printer of a business, as it names itself, in the alphabet of business ids."""

UserId = NewType("UserId", str)
"""A person or integration acting for a business: a claim of the token, as the issuer wrote it."""

ConnectionId = NewType("ConnectionId", str)
"""A socket, as the gateway names it, for example ``O9oRTfeAoAMCK6g=``."""

CANARY: Final = BusinessId("business-connections-canary")
"""The business of the canary, which plays a device against the deployed APIs. No merchant may have
this id, because it counts nowhere: not in the census, attention, transitions, or our own metrics.
"""

IMPORT: Final = UserId("operations/import")
"""The author of settings that an import wrote. Another import may change them."""

BUSINESS_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}")
CONNECTION_ID: Final = re.compile(r"[A-Za-z0-9_=+/-]{1,128}")
_USER_ID_MAX: Final = 255
"""Bytes of UTF-8. OpenID Connect Core §2 bounds the subject identifier to 255 ASCII characters; a
name in a Cognito pool may have 128 characters of any alphabet. Percent-encoded, each byte can take
three, and a sort key of DynamoDB has at most 1,024 bytes.
"""

_PRINTABLE_ASCII: Final = "".join(map(chr, range(0x20, 0x7F)))


def business_id(text: str, *, field: str = "businessId") -> BusinessId:
    """Check that a text from outside is a business id. Raises `InvalidValue` for that field."""
    return BusinessId(_name(text, field))


def device_id(text: str) -> DeviceId:
    """Check that a text from outside is a device id. Raises `InvalidValue`."""
    return DeviceId(_name(text, "deviceId"))


def _name(text: str, field: str) -> str:
    if not BUSINESS_ID.fullmatch(text):
        raise InvalidValue(
            field,
            "must be 1 to 64 characters of A-Z a-z 0-9 . _ : @ - and begin with a letter or digit",
        )
    return text


def connection_id(text: str) -> ConnectionId:
    """Check that a text from outside is a connection id. Raises `InvalidValue`."""
    if not CONNECTION_ID.fullmatch(text):
        raise InvalidValue("connectionId", "must be 1 to 128 characters of A-Z a-z 0-9 _ = + / -")
    return ConnectionId(text)


def user_id(text: str) -> UserId:
    """Check that a claim of a token is a user id. Raises `InvalidValue`.

    Letters of any alphabet, digits, punctuation, symbols and spaces are printable. Control
    characters, invisible ones and lone surrogates are not.
    """
    if not (text.isprintable() and 1 <= len(text.encode()) <= _USER_ID_MAX):
        problem = f"must be 1 to {_USER_ID_MAX} bytes of printable characters"
        raise InvalidValue("userId", problem)
    return UserId(text)


def encode_user_id(user: UserId) -> str:
    """Write a user id in the alphabet of business ids, so that it can be part of a key.

    Percent-encoding, reversible: ``auth0|7`` becomes ``auth0%7C7``.
    """
    # `quote` never encodes "~", which is not in the alphabet of business ids.
    return quote(user, safe="._:@-").replace("~", "%7E")


def user_id_in_ascii(user: UserId) -> str:
    """Write a user id in printable ASCII, and as it is if it has no others and no ``%``."""
    return quote(user, safe=_PRINTABLE_ASCII.replace("%", ""))


def decode_user_id(encoded: str) -> UserId:
    """The inverse of `encode_user_id` and of `user_id_in_ascii`."""
    return UserId(unquote(encoded))
