"""A paused business gets no orders for a while, and keeps its connections."""

import time
from datetime import UTC, datetime
from typing import Any

from tests.e2e.harness import Business, System, assert_problem, eventually
from tests.e2e.test_operators import in_attention


def moment(seconds_ahead: float) -> str:
    return datetime.fromtimestamp(time.time() + seconds_ahead, UTC).isoformat(timespec="seconds")


def pause(
    business: Business, seconds: float, *, token: str | None = None, **more: str
) -> dict[str, Any]:
    body = {"until": moment(seconds), **more}
    answer = business.call("PUT", "pause", token=token, body=body)
    assert answer.status == 200, answer
    status: dict[str, Any] = answer.body
    return status


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


def test_a_business_that_nobody_declared_cannot_be_paused(business: Business) -> None:
    body = {"until": moment(600)}
    assert_problem(business.call("PUT", "pause", body=body), 409, "not-declared")
    assert_problem(business.call("DELETE", "pause"), 409, "not-declared")
    assert business.items() == []


def test_a_business_that_an_operator_paused_leaves_the_list_and_the_next_census(
    system: System, operator: str, business: Business
) -> None:

    def counted() -> int:
        run = business.call("POST", "cleanup", token=operator, body={"dryRun": True})
        assert run.status == 200, run
        count: int = run.body["virtualOnly"]
        return count

    def is_listed() -> bool:
        listed = in_attention(system, operator, "virtual-only")
        return business.id in {entry["businessId"] for entry in listed}

    business.set_available(True)
    system.clean_up()
    business.age_attention(60)
    eventually("it is listed", is_listed)
    assert counted() == 1

    status = pause(business, 1200, token=operator, reason="nobody answers the phone")
    assert (status["overallStatus"], status["needsAttention"]) == ("OFFLINE", None)
    assert status["pausedBy"] == "e2e-operator"
    (reason,) = [r for r in status["reasons"] if r["code"] == "paused"]
    assert "by e2e-operator, an operator" in reason["detail"]
    assert reason["detail"].endswith("nobody answers the phone")
    assert not is_listed()
    assert counted() == 0
    system.clean_up()
    assert "attention" not in business.settings()

    # What a member declares is kept, and ends nothing. Only an operator ends the pause.
    assert business.set_available(True)["pausedBy"] == "e2e-operator"
    assert_problem(business.call("DELETE", "pause"), 403, "forbidden")

    # Then the business needs attention, and that begins anew.
    ended = business.call("DELETE", "pause", token=operator)
    assert (ended.status, ended.body["overallStatus"]) == (200, "VIRTUAL_ONLY"), ended
    assert ended.body["needsAttention"] == "virtual-only"
    assert ended.body["pausedUntil"] is ended.body["attentionSince"] is None
    business.set_available(False)
