"""Which texts are valid identifiers."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import decode_user_id, encode_user_id, user_id_in_ascii


@pytest.mark.parametrize("text", ["b1", "A", "shop.7_x:y@z-0", "a" * 64])
def test_valid_business_ids(text: str) -> None:
    assert identifiers.business_id(text) == text


@pytest.mark.parametrize("text", ["", "#", "a#b", "-a", ".a", "a" * 65, "a b", "a/b", "é", "a\n"])
def test_invalid_business_ids(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"^businessId: must be"):
        identifiers.business_id(text)


@pytest.mark.parametrize("text", ["O9oRTfeAoAMCK6g=", "a/b+c-d_e="])
def test_valid_connection_ids(text: str) -> None:
    assert identifiers.connection_id(text) == text


@pytest.mark.parametrize("text", ["", "VIRTUAL#b1", "a" * 129, "a\n"])
def test_invalid_connection_ids(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"^connectionId: must be"):
        identifiers.connection_id(text)


def test_a_user_id_is_percent_encoded_in_keys() -> None:
    assert encode_user_id(identifiers.user_id("auth0|7")) == "auth0%7C7"
    assert encode_user_id(identifiers.user_id("a~b#c%")) == "a%7Eb%23c%25"
    assert encode_user_id(identifiers.user_id("josé")) == "jos%C3%A9"


@pytest.mark.parametrize("text", ["CORP\\jo", 'a"b', "auth0|7", "a b~c", "u" * 255])
def test_a_user_id_of_ascii_is_passed_on_as_it_is(text: str) -> None:
    assert user_id_in_ascii(identifiers.user_id(text)) == text


@pytest.mark.parametrize("text", ["josé", "Ωμέγα", "Иван Петров", "田中太郎", "😀", "é" * 127])
def test_user_ids_of_any_alphabet_are_valid(text: str) -> None:
    assert identifiers.user_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "a\tb", "a\x00", "a\x7f", "a\u0085", "a\u2028", "a\u200b", "a\u202e", "\ud800"),
        *("a" * 256, "é" * 128, "田" * 86),
    ],
)
def test_invalid_user_ids(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"^userId: must be"):
        identifiers.user_id(text)


CHARACTERS = st.characters(exclude_categories=["C", "Z"]) | st.just(" ")


# 63 characters of four bytes each are the most.
@given(st.text(CHARACTERS, min_size=1, max_size=63))
def test_an_encoded_user_id_can_be_decoded_and_has_no_separator(text: str) -> None:
    user = identifiers.user_id(text)
    encoded = encode_user_id(user)
    assert decode_user_id(encoded) == user
    assert re.fullmatch(r"[A-Za-z0-9._:@%-]+", encoded)
    passed_on = user_id_in_ascii(user)
    assert decode_user_id(passed_on) == user
    assert passed_on.isascii()
    assert passed_on.isprintable()
