"""A paused business gets no orders for a while, and keeps its connections."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from local.rest import Answer
from tests.e2e.harness import Business, System, eventually

DAY = 86_400


def moment(seconds_ahead: float) -> str:
    return datetime.fromtimestamp(time.time() + seconds_ahead, UTC).isoformat(timespec="seconds")


def pause(business: Business, seconds: float, **more: str) -> dict[str, Any]:
    answer = business.call("PUT", "pause", body={"until": moment(seconds), **more})
    assert answer.status == 200, answer
    status: dict[str, Any] = answer.body
    return status


def assert_problem(answer: Answer, status: int, kind: str) -> None:
    assert (answer.status, answer.content_type) == (status, "application/problem+json"), answer
    assert answer.body["type"].endswith(f":{kind}"), answer


def test_a_pause_stops_orders_and_keeps_the_connections_until_it_is_ended(
    business: Business,
) -> None:
    with business.socket() as device:
        business.set_available(True)
        until = moment(1200)
        answer = business.call("PUT", "pause", body={"until": until, "reason": "busy"})
        assert answer.status == 200, answer
        assert answer.body["overallStatus"] == "CONNECTED_NOT_ACCEPTING"
        assert answer.body["isAvailableForOrders"] is False
        assert answer.body["online"] is False
        assert datetime.fromisoformat(answer.body["pausedUntil"]) == datetime.fromisoformat(until)
        assert business.status()["overallStatus"] == "CONNECTED_NOT_ACCEPTING"
        (reason,) = [r for r in answer.body["reasons"] if r["code"] == "paused"]
        assert "busy" in reason["detail"]
        assert device.ask({"action": "ping", "id": "1"})["type"] == "pong"
        assert len(business.virtual()) == 1

        ended = business.call("DELETE", "pause")
        assert (ended.status, ended.body["overallStatus"]) == (200, "ONLINE")
        assert ended.body["pausedUntil"] is None
        assert device.ask({"action": "ping", "id": "2"})["type"] == "pong"
        business.set_available(False)


def test_a_pause_ends_by_itself(business: Business) -> None:
    with business.socket():
        business.set_available(True)
        assert pause(business, 2)["online"] is False
        eventually("it is over", lambda: business.status()["overallStatus"] == "ONLINE", seconds=5)
        assert business.status()["pausedUntil"] is None
        business.set_available(False)


def test_declaring_availability_ends_a_pause(business: Business) -> None:
    with business.socket():
        business.set_available(True)
        pause(business, 600)
        assert business.set_available(True)["overallStatus"] == "ONLINE"
        business.set_available(False)


def test_a_paused_business_needs_no_attention(business: Business) -> None:
    business.set_available(True)
    assert pause(business, 600)["needsAttention"] is None
    business.set_available(False)


def test_ending_a_pause_succeeds_without_one(business: Business) -> None:
    business.set_available(False)
    assert business.call("DELETE", "pause").status == 200


@pytest.mark.parametrize(
    "until",
    [
        pytest.param(lambda: moment(-1), id="past"),
        pytest.param(lambda: moment(8 * DAY), id="8 days ahead"),
        pytest.param(lambda: moment(600).replace("+00:00", ""), id="without an offset"),
        pytest.param(lambda: "in 20 minutes", id="words"),
        pytest.param(lambda: "2099-13-01T00:00:00Z", id="month 13"),
        pytest.param(lambda: "9999-12-31T23:59:59-23:59", id="after the year 9999 in UTC"),
        pytest.param(lambda: "٢٠٩٩-01-01T00:00:00Z", id="Arabic digits"),
        pytest.param(lambda: int(time.time()) + 600, id="a number"),
        pytest.param(lambda: None, id="null"),
    ],
)
def test_an_invalid_end_is_refused_by_the_name_of_its_field(business: Business, until: Any) -> None:
    business.set_available(False)
    before = business.items()
    answer = business.call("PUT", "pause", body={"until": until()})
    assert_problem(answer, 400, "invalid-request")
    assert [error["field"] for error in answer.body["errors"]] == ["until"]
    assert business.items() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "x" * 201}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": 7}, "reason"),
        ({"for": 20}, "for"),
    ],
)
def test_any_other_wrong_field_is_refused_by_its_name(
    business: Business, body: dict[str, Any], field: str
) -> None:
    business.set_available(False)
    before = business.items()
    answer = business.call("PUT", "pause", body={"until": moment(600), **body})
    assert_problem(answer, 400, "invalid-request")
    assert [error["field"] for error in answer.body["errors"]] == [field]
    assert business.items() == before


def test_a_business_that_nobody_declared_cannot_be_paused(business: Business) -> None:
    body = {"until": moment(600)}
    assert_problem(business.call("PUT", "pause", body=body), 409, "not-declared")
    assert_problem(business.call("DELETE", "pause"), 409, "not-declared")
    assert business.items() == []


def test_only_members_may_pause(system: System, business: Business) -> None:
    business.set_available(False)
    before = business.items()
    for token in (system.token(), system.token("operator"), system.token("backend")):
        body = {"until": moment(600)}
        assert_problem(business.call("PUT", "pause", token=token, body=body), 403, "forbidden")
        assert_problem(business.call("DELETE", "pause", token=token), 403, "forbidden")
    assert business.items() == before
