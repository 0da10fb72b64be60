"""`POST /businesses/online`: whether each of many businesses is online."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from local.rest import Answer
from tests.e2e.harness import Business, System

PATH = "/businesses/online"


@pytest.fixture(scope="module")
def stranger(system: System) -> str:
    return system.token()


@pytest.fixture
def other(system: System) -> Iterator[Business]:
    with ExitStack() as stack:
        other = Business(system)
        stack.callback(other.delete_items)
        yield other


def ask(system: System, token: str, ids: Any) -> Answer:
    return system.call("POST", PATH, token=token, body={"businessIds": ids})


def test_the_answer_has_the_ids_of_the_request_in_its_order_duplicates_included(
    system: System, stranger: str, business: Business, other: Business
) -> None:
    unknown = f"{business.id}-unknown"
    other.set_available(False)
    with business.socket():
        business.set_available(True)
        asked = [other.id, business.id, unknown, business.id, other.id]
        answer = ask(system, stranger, asked)
        business.set_available(False)
    assert answer.status == 200, answer
    assert answer.body["businesses"] == [
        {"businessId": other.id, "online": False},
        {"businessId": business.id, "online": True},
        {"businessId": unknown, "online": None},
        {"businessId": business.id, "online": True},
        {"businessId": other.id, "online": False},
    ]
    assert answer.body["asOf"].endswith("Z")


def test_a_request_can_name_100_businesses(
    system: System, stranger: str, business: Business
) -> None:
    business.set_available(False)
    asked = [f"{business.id}-{number}" for number in range(99)] + [business.id]
    answer = ask(system, stranger, asked)
    assert answer.status == 200, answer
    assert [entry["businessId"] for entry in answer.body["businesses"]] == asked
    assert [entry["online"] for entry in answer.body["businesses"]] == [None] * 99 + [False]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"businessIds": ["b"] * 101}, "businessIds", id="101"),
        pytest.param({"businessIds": []}, "businessIds", id="none"),
        pytest.param({"businessIds": "b1"}, "businessIds", id="not a list"),
        pytest.param({"businessIds": ["b1", 7]}, "businessIds.1", id="a number"),
        pytest.param({"businessIds": ["b1", "b2", "a#b"]}, "businessIds.2", id="a bad id"),
        pytest.param({"businessIds": ["b1", ""]}, "businessIds.1", id="an empty id"),
        pytest.param({}, "businessIds", id="empty object"),
        pytest.param({"businessIds": ["b1"], "fast": True}, "fast", id="unknown field"),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_its_field(
    system: System, stranger: str, body: Any, field: str
) -> None:
    answer = system.call("POST", PATH, token=stranger, body=body)
    assert (answer.status, answer.content_type) == (400, "application/problem+json"), answer
    (error,) = answer.body["errors"]
    assert error["field"] == field
    assert error["problem"]


def test_a_request_without_a_token_is_refused(system: System) -> None:
    assert system.call("POST", PATH, body={"businessIds": ["b1"]}).status == 401
