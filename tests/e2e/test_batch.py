"""`POST /businesses/online`: whether each of many businesses is online."""

from typing import Any

import pytest

from local.rest import Answer
from tests.e2e.harness import Business, System

PATH = "/businesses/online"


@pytest.fixture(scope="module")
def stranger(system: System) -> str:
    return system.token()


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
