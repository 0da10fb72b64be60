"""JSON from outside: what is taken, and what is not."""

import pytest

from lambdas.handlers import strict_json

DEEPEST = strict_json.MAX_DEPTH


@pytest.mark.parametrize(
    ("text", "value"), [("null", None), ("1.5", 1.5), ('{"a":[{}]}', {"a": [{}]}), ('"["', "[")]
)
def test_json_is_parsed(text: str, value: object) -> None:
    assert strict_json.parse(text) == value


@pytest.mark.parametrize("innermost", ["1", "[]", "{}"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_one_level_too_many_is_refused(opening: str, closing: str, innermost: str) -> None:
    def nested(levels: int) -> str:
        outer = levels if innermost == "1" else levels - 1
        return opening * outer + innermost + closing * outer

    strict_json.parse(nested(DEEPEST))
    with pytest.raises(ValueError, match="levels"):
        strict_json.parse(nested(DEEPEST + 1))
    with pytest.raises(ValueError, match="levels"):
        strict_json.parse(nested(20_000))


def test_a_wide_document_is_not_a_deep_one() -> None:
    assert len(strict_json.parse("[" + "[],{}," * 20_000 + "1]")) == 40_001


@pytest.mark.parametrize("text", ["", "{", "NaN", "[-Infinity]", "Infinity", "1e999", "1" * 5000])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        strict_json.parse(text)
