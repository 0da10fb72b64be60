"""A business that is available accepts orders within its opening hours only."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.harness import Business, System, assert_problem, eventually
from tests.e2e.test_operators import in_attention
from tests.e2e.test_telemetry import logged

WEEKDAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")
ALWAYS = {"timeZone": "UTC", "weekly": {day: [["00:00", "24:00"]] for day in WEEKDAYS}}
NEVER = {"timeZone": "UTC"}
WEEK = timedelta(days=7)

GRACE = 30


def set_hours(business: Business, hours: Any, *, token: str | None = None) -> dict[str, Any]:
    answer = business.call("PUT", "opening-hours", token=token, body=hours)
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def reason_codes(status: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in status["reasons"]}


def test_a_closed_shop_pages_nobody_until_it_has_opened(
    system: System, operator: str, business: Business
) -> None:
    """No device of it is connected. That it closes by the clock is a story of the feed."""

    def is_listed() -> bool:
        listed = in_attention(system, operator, "virtual-only")
        return business.id in {entry["businessId"] for entry in listed}

    def counted() -> dict[str, int]:
        """What a cleanup that runs now would count of this business."""
        run = business.call("POST", "cleanup", token=operator, body={"dryRun": True})
        assert run.status == 200, run
        names = ("online", "virtualOnly", "unreachable", "attentionEntered")
        return {name: run.body[name] for name in names if run.body[name]}

    def told() -> list[int]:
        """How long it had needed attention, in seconds, each time when on call was told."""
        lines = [json.loads(e["message"]) for e in logged(system, containing=business.id)]
        return [line["seconds"] for line in lines if "AttentionEntered" in line]

    # It is still open, and a cleanup finds that its device is off.
    business.set_available(True)
    system.clean_up()
    assert business.settings()["attention"] == "virtual-only"
    eventually("it is listed", is_listed)

    # It closes. From then on, no cleanup finds anything.
    set_hours(business, NEVER)
    closed = business.settings()
    assert not closed.keys() & {"attention", "attentionSince"}
    system.clean_up()
    assert counted() == {}
    status = business.status()
    assert (status["overallStatus"], status["online"]) == ("OFFLINE", False)
    assert status["needsAttention"] is status["attentionSince"] is None
    assert "outside_opening_hours" in reason_codes(status)
    assert business.call("GET", "online").body["online"] is False
    assert not is_listed()
    assert business.settings() == closed

    # It opens, and a cleanup finds that it needs attention. That begins anew.
    opened_at = int(time.time())
    set_hours(business, ALWAYS)
    status = business.status()
    assert (status["overallStatus"], status["online"]) == ("VIRTUAL_ONLY", True)
    assert status["needsAttention"] == "virtual-only"
    assert "accepting_orders" in reason_codes(status)
    system.clean_up()
    since = datetime.fromisoformat(business.status()["attentionSince"])
    assert opened_at <= since.timestamp()
    assert told() == []
    assert counted() == {"online": 1}
    eventually("it is listed", is_listed)

    # After the grace period, a cleanup tells on call, and later ones do not tell it again.
    # (Two cleanups that run at the same time may both tell.)
    business.age_attention(GRACE + 1)
    system.clean_up()
    eventually("on call is told", told)
    assert counted() == {"online": 1, "virtualOnly": 1}
    system.clean_up()
    seconds = told()
    assert min(seconds) >= GRACE
    assert max(seconds) - min(seconds) <= 1
    business.set_available(False)


def test_hours_are_answered_as_they_are_stored_until_they_are_removed(business: Business) -> None:
    business.set_available(False)
    put = set_hours(
        business,
        {
            "timeZone": "Europe/Berlin",
            "weekly": {"fr": [["17:00", "02:00"], ["11:00", "14:00"]], "mo": []},
            "exceptions": {"2099-12-31": [["18:00", "00:00"]], "2099-12-24": [], "2020-01-01": []},
        },
    )
    assert put["businessId"] == business.id
    assert put["openingHours"] == {
        "timeZone": "Europe/Berlin",
        "weekly": {"fr": [["11:00", "14:00"], ["17:00", "02:00"]]},
        "exceptions": {"2099-12-24": [], "2099-12-31": [["18:00", "24:00"]]},
    }
    get = business.call("GET", "opening-hours")
    assert get.status == 200, get
    assert get.body.keys() == put.keys()
    assert get.body["openingHours"] == put["openingHours"]

    for _ in range(2):
        removed = business.call("DELETE", "opening-hours")
        assert (removed.status, removed.body["nextChangeAt"]) == (200, None), removed
        assert removed.body["overallStatus"] == "OFFLINE"
    assert_problem(business.call("GET", "opening-hours"), 404, "not-found")


def test_the_answer_says_what_the_hours_mean_in_the_coming_week(business: Business) -> None:
    business.set_available(False)
    answer = set_hours(business, ALWAYS)
    as_of = datetime.fromisoformat(answer["asOf"])
    assert (answer["openNow"], answer["nextChangeAt"]) == (True, None)
    assert answer["open"] == [{"opensAt": text(as_of), "closesAt": text(as_of + WEEK)}]

    # Closed today and tomorrow. Midnight may pass during this test.
    opens = datetime.now(UTC).replace(hour=0, minute=0, second=0) + timedelta(days=2)
    closed: dict[str, list[Any]] = {
        f"{opens - timedelta(days=days):%Y-%m-%d}": [] for days in (1, 2)
    }
    answer = set_hours(business, {**ALWAYS, "exceptions": closed})
    end = datetime.fromisoformat(answer["asOf"]) + WEEK
    assert (answer["openNow"], answer["nextChangeAt"]) == (False, text(opens))
    assert answer["open"] == [{"opensAt": text(opens), "closesAt": text(end)}]

    answer = set_hours(business, NEVER)
    assert (answer["openNow"], answer["nextChangeAt"], answer["open"]) == (False, None, [])


def test_devices_stay_connected_and_a_declaration_is_kept_while_a_business_is_closed(
    business: Business,
) -> None:
    business.set_available(False)
    with business.socket() as device:
        set_hours(business, NEVER)
        status = business.set_available(True)
        assert (status["overallStatus"], status["online"]) == ("CONNECTED_NOT_ACCEPTING", False)
        assert status["isAvailableForOrders"] is False
        assert "outside_opening_hours" in reason_codes(status)
        assert len(business.virtual()) == 1
        assert device.ask({"action": "status", "id": "1"})["status"]["online"] is False

        set_hours(business, ALWAYS)
        assert business.status()["overallStatus"] == "ONLINE"
        set_hours(business, NEVER)
        removed = business.call("DELETE", "opening-hours")
        assert (removed.status, removed.body["overallStatus"]) == (200, "ONLINE")
        assert device.ask({"action": "ping", "id": "2"})["type"] == "pong"
        business.set_available(False)


def test_an_operator_may_set_hours(operator: str, business: Business) -> None:
    business.set_available(False)
    set_hours(business, ALWAYS, token=operator)
    assert business.settings()["updatedBy"] == "e2e-operator"
    assert business.call("GET", "opening-hours", token=operator).status == 200
    assert business.call("DELETE", "opening-hours", token=operator).status == 200
