import json

import pytest

from lambdas.domain.errors import InvalidValue
from lambdas.handlers import json_bodies
from lambdas.handlers.json_bodies import MAX_DEPTH

DEEPEST = "[" * MAX_DEPTH + "]" * MAX_DEPTH


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "7",
        '"text"',
        " [ ] ",
        '{"a": [1, {"b": null}]}',
        pytest.param(DEEPEST, id="deepest"),
    ],
)
def test_valid_json_is_parsed(text: str) -> None:
    assert json_bodies.parse(text) == json.loads(text)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 500, 900, 10_000, 60_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused_and_the_limit_is_named(
    levels: int, opening: str, closing: str
) -> None:
    inner = "1" if opening != "[" else ""
    with pytest.raises(InvalidValue, match=r"^body: must be nested at most 100 levels deep$"):
        json_bodies.parse(opening * levels + inner + closing * levels)


def test_deep_nesting_is_found_anywhere() -> None:
    with pytest.raises(InvalidValue, match="levels deep"):
        json_bodies.parse(f'[1, {{"a": [], "b": {DEEPEST}}}]')


def test_brackets_in_strings_or_side_by_side_are_not_nesting() -> None:
    value = ["[" * 5_000, '{"a": ' * 5_000, '"\\[', *([] for _ in range(5_000))]
    assert json_bodies.parse(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["", " ", "no json", "[", "{'a': 1}", "NaN", "-Infinity"])
def test_invalid_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"^body: must be JSON$"):
        json_bodies.parse(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"a": 1, "b": 2, "a": 3}]', "has the name 'a' twice in one object"),
        ("1e999", "has the number '1e999', which is too large for a double"),
        ("9" * 309, f"has the number '{'9' * 40}...', which is too large for a double"),
        ("9" * 5_000, f"has the number '{'9' * 40}...', which is too large for a double"),
    ],
    ids=["name", "decimal number", "whole number", "longer than Python parses"],
)
def test_values_that_a_reader_could_lose_are_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        json_bodies.parse(text)
    assert (refused.value.field, refused.value.problem) == ("body", problem)
