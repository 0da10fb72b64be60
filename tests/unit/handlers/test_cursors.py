"""Cursors."""

import base64

import pytest

from lambdas.domain.errors import InvalidValue
from lambdas.handlers import cursors
from lambdas.use_cases.ports import AttentionEntry
from tests.builders import B1, NOW


def test_a_decoded_cursor_is_the_entry_that_was_encoded() -> None:
    entry = AttentionEntry(B1, NOW)
    assert cursors.decode(cursors.encode(entry)) == entry
    odd = AttentionEntry(B1, 1, position="1.5")
    assert cursors.decode(cursors.encode(odd)).position == "1.5"


def _packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "not base64!",
        _packed("no json"),
        _packed("{}"),
        _packed("[1]"),
        _packed('["one", "b1"]'),
        _packed('["1E+400", "b1"]'),
        _packed(f'["{"9" * 39}", "b1"]'),
        _packed(f'["{"9" * 9999}", "b1"]'),
        _packed('["1E+126", "b1"]'),
        _packed('["1E-131", "b1"]'),
        _packed('["1E+99999", "b1"]'),
        _packed("[1, 2]"),
        _packed('[true, "b1"]'),
        _packed('[-1, "b1"]'),
        _packed('[1e400, "b1"]'),
        _packed('[1, "b#1"]'),
        _packed("[" * 5000),
    ],
)
def test_an_invalid_cursor_is_refused_by_name(cursor: str) -> None:
    with pytest.raises(InvalidValue, match=r"^cursor: "):
        cursors.decode(cursor)
