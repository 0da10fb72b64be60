"""A paused business gets no orders for a while, and keeps its connections."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.harness import USER, Business, System, assert_problem, eventually
from tests.e2e.test_operators import in_attention

DAY = 86_400


def moment(seconds_ahead: float) -> str:
    return datetime.fromtimestamp(time.time() + seconds_ahead, UTC).isoformat(timespec="seconds")


def pause(business: Business, seconds: float, **more: str) -> dict[str, Any]:
    answer = business.call("PUT", "pause", body={"until": moment(seconds), **more})
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


def test_strangers_may_not_pause(system: System, business: Business) -> None:
    business.set_available(False)
    before = business.items()
    body = {"until": moment(600)}
    stranger = system.token()
    assert_problem(business.call("PUT", "pause", token=stranger, body=body), 403, "forbidden")
    assert_problem(business.call("DELETE", "pause", token=stranger), 403, "forbidden")
    assert business.items() == before


def test_a_back_end_may_pause_and_a_member_may_end_that(system: System, business: Business) -> None:
    backend = system.token("backend")
    business.set_available(True)
    available = {"available": True}
    for method, resource, token, body in (
        ("DELETE", "pause", backend, None),
        ("DELETE", "pause", business.token, None),
        ("PUT", "availability", business.token, available),
    ):
        answer = business.call("PUT", "pause", token=backend, body={"until": moment(600)})
        assert (answer.status, answer.body["online"]) == (200, False), answer
        assert answer.body["pausedBy"] == "e2e-backend"
        ended = business.call(method, resource, token=token, body=body)
        assert (ended.status, ended.body["online"]) == (200, True), ended
        assert ended.body["pausedUntil"] is ended.body["pausedBy"] is None
    business.set_available(False)


class TestPausesByOperators:
    REASON = "nobody answers the phone"

    @pytest.fixture
    def operator(self, system: System) -> str:
        return system.token("operator")

    def pause(self, business: Business, operator: str) -> dict[str, Any]:
        body = {"until": moment(1200), "reason": self.REASON}
        answer = business.call("PUT", "pause", token=operator, body=body)
        assert answer.status == 200, answer
        status: dict[str, Any] = answer.body
        return status

    def assert_shows_the_pause(self, status: dict[str, Any], until: str) -> None:
        assert status["isAvailableForOrders"] is status["online"] is False
        assert (status["pausedUntil"], status["pausedBy"]) == (until, "e2e-operator")
        (reason,) = [r for r in status["reasons"] if r["code"] == "paused"]
        assert "by e2e-operator, an operator" in reason["detail"]
        assert reason["detail"].endswith(self.REASON)

    def test_a_business_in_trouble_leaves_the_list_and_the_next_census(
        self, system: System, operator: str, business: Business
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

        status = self.pause(business, operator)
        self.assert_shows_the_pause(status, status["pausedUntil"])
        assert (status["overallStatus"], status["needsAttention"]) == ("OFFLINE", None)
        assert not is_listed()
        assert counted() == 0
        system.clean_up()
        assert "attention" not in business.settings()
        assert len(business.virtual()) == 1

        # When the operator ends the pause, the business needs attention, and that begins anew.
        ended = business.call("DELETE", "pause", token=operator)
        assert (ended.status, ended.body["overallStatus"]) == (200, "VIRTUAL_ONLY"), ended
        assert ended.body["needsAttention"] == "virtual-only"
        assert ended.body["pausedUntil"] is ended.body["pausedBy"] is None
        assert ended.body["attentionSince"] is None
        business.set_available(False)

    def test_what_a_member_declares_is_kept_and_does_not_end_the_pause(
        self, operator: str, business: Business
    ) -> None:
        business.set_available(False)
        until = self.pause(business, operator)["pausedUntil"]
        status = business.set_available(True)
        self.assert_shows_the_pause(status, until)
        assert status["declaredBy"] == USER
        assert status["leaseUntil"] == status["virtualUntil"] is not None
        self.assert_shows_the_pause(business.status(), until)

        ended = business.call("DELETE", "pause", token=operator)
        assert (ended.status, ended.body["isAvailableForOrders"]) == (200, True), ended
        business.set_available(False)

    def test_only_an_operator_can_change_or_end_the_pause(
        self, system: System, operator: str, business: Business
    ) -> None:
        business.set_available(True)
        until = self.pause(business, operator)["pausedUntil"]
        before = business.items()
        for token in (business.token, system.token("backend")):
            for answer in (
                business.call("DELETE", "pause", token=token),
                business.call("PUT", "pause", token=token, body={"until": moment(5)}),
            ):
                assert_problem(answer, 403, "forbidden")
                assert answer.body["detail"] == (
                    f"an operator (e2e-operator) paused this business until {until}:"
                    f" {self.REASON}. Only an operator can change or end this pause"
                )
        assert business.items() == before
        assert business.call("DELETE", "pause", token=operator).body["online"] is True
        business.set_available(False)

    def test_an_operator_must_give_a_reason(self, operator: str, business: Business) -> None:
        business.set_available(False)
        before = business.items()
        answer = business.call("PUT", "pause", token=operator, body={"until": moment(600)})
        assert_problem(answer, 400, "invalid-request")
        assert [error["field"] for error in answer.body["errors"]] == ["reason"]
        assert business.items() == before
