"""A business that is available accepts orders within its opening hours only."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.harness import Business, System, assert_problem, eventually, wait_until
from tests.e2e.test_operators import in_attention
from tests.e2e.test_telemetry import logged

WEEKDAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")
ALWAYS = {"timeZone": "UTC", "weekly": {day: [["00:00", "24:00"]] for day in WEEKDAYS}}
NEVER = {"timeZone": "UTC"}
WEEK = timedelta(days=7)

GRACE = 30
LEAD = 20
"""The seconds, at least, that are left for what must happen before the shop opens."""


def set_hours(business: Business, hours: Any, *, token: str | None = None) -> dict[str, Any]:
    answer = business.call("PUT", "opening-hours", token=token, body=hours)
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def reason_codes(status: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in status["reasons"]}


@pytest.fixture(scope="session", autouse=True)
def story(request: pytest.FixtureRequest, system: System) -> Iterator[Future[None]]:
    """Plays the story in the background, if it is asked for. It waits for the next minute and for
    the grace period, so other tests run meanwhile.
    """
    with ThreadPoolExecutor(max_workers=1) as background:
        asked_for = any("story" in item.name for item in request.session.items)
        yield background.submit(play, system) if asked_for else Future()


@pytest.mark.last
def test_the_story_of_a_closed_shop_that_pages_nobody_until_it_has_opened(
    story: Future[None],
) -> None:
    story.result(timeout=180)


def play(system: System) -> None:
    """A shop closes while none of its devices is connected, and nobody is paged. It opens, and
    somebody is.
    """
    business = Business(system)
    try:
        play_with(system, business, system.token("operator"))
    finally:
        business.set_available(False)
        business.delete_items()


def play_with(system: System, business: Business, operator: str) -> None:
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

    # It closes.
    opens = datetime.fromtimestamp((time.time() + LEAD) // 60 * 60 + 60, UTC)
    closes = opens + timedelta(minutes=30)
    interval = [f"{opens:%H:%M}", f"{closes:%H:%M}"]
    hours = {"timeZone": "UTC", "weekly": {WEEKDAYS[opens.weekday()]: [interval]}}
    answer = set_hours(business, hours)
    assert (answer["openNow"], answer["nextChangeAt"]) == (False, text(opens))
    assert answer["open"][0] == {"opensAt": text(opens), "closesAt": text(closes)}
    closed = business.settings()
    assert not closed.keys() & {"attention", "attentionSince"}

    # For as long as it is closed, no cleanup finds anything.
    cleanups = 0
    while cleanups < 2 or time.time() < opens.timestamp() - LEAD:
        system.clean_up()
        cleanups += 1
        counts = counted()
        status = business.status()
        online = business.call("GET", "online").body
        listed = is_listed()
        assert time.time() < opens.timestamp(), "too slow: the shop opened meanwhile"
        assert counts == {}
        assert (status["overallStatus"], status["online"]) == ("OFFLINE", False)
        assert status["needsAttention"] is status["attentionSince"] is None
        assert status["nextChangeAt"] == text(opens)
        (reason,) = [r for r in status["reasons"] if r["code"] == "outside_opening_hours"]
        assert text(opens) in reason["detail"]
        assert online["online"] is False
        assert not listed
        assert business.settings() == closed
        wait_until(min(time.time() + 10, opens.timestamp() - LEAD / 2))
    wait_until(opens.timestamp())

    # It opens by itself: nothing is written.
    status = business.status()
    assert (status["overallStatus"], status["online"]) == ("VIRTUAL_ONLY", True)
    assert status["needsAttention"] == "virtual-only"
    assert status["nextChangeAt"] == text(closes)
    assert "accepting_orders" in reason_codes(status)
    assert business.settings()["version"] == closed["version"]

    # A cleanup finds that it needs attention. That counts from the opening.
    system.clean_up()
    since = datetime.fromisoformat(business.status()["attentionSince"])
    assert opens <= since
    assert told() == []
    assert counted() == {"online": 1}
    eventually("it is listed", is_listed)

    # After the grace period, a cleanup tells on call, and later ones do not tell it again.
    # (Two cleanups that run at the same time may both tell.)
    wait_until(since.timestamp() + GRACE + 1)
    system.clean_up()
    eventually("on call is told", told)
    assert counted() == {"online": 1, "virtualOnly": 1}
    wait_until(time.time() + 3)
    system.clean_up()
    seconds = told()
    assert min(seconds) >= GRACE
    assert max(seconds) - min(seconds) <= 1
    assert business.status()["attentionSince"] == text(since)


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


@pytest.mark.parametrize(
    ("hours", "field"),
    [
        ({}, "timeZone"),
        ({"timeZone": "Mars/Olympus"}, "timeZone"),
        ({"timeZone": None}, "timeZone"),
        ({"weekly": {"monday": []}}, "weekly"),
        ({"weekly": []}, "weekly"),
        ({"weekly": {"mo": "11:00-14:00"}}, "weekly.mo"),
        ({"weekly": {"mo": [["11:00", "14:00"], ["13:00", "15:00"]]}}, "weekly.mo"),
        ({"weekly": {"mo": [["10:00", "11:00"], ["11:00", "25:00"]]}}, "weekly.mo.1"),
        ({"weekly": {"mo": [["9:00", "14:00"]]}}, "weekly.mo.0"),
        ({"weekly": {"mo": [["09:00"]]}}, "weekly.mo.0"),
        ({"exceptions": {"24.12.2099": []}}, "exceptions"),
        ({"exceptions": {"2099-02-29": []}}, "exceptions"),
        ({"exceptions": {"2099-12-24": [[11, 14]]}}, "exceptions.2099-12-24.0"),
        ({"open": True}, "open"),
        ([], "openingHours"),
        ("24/7", "openingHours"),
    ],
)
def test_wrong_hours_are_refused_by_the_name_of_their_field(
    business: Business, hours: Any, field: str
) -> None:
    business.set_available(False)
    before = business.items()
    if isinstance(hours, dict) and hours:
        hours = {"timeZone": "UTC", **hours}
    answer = business.call("PUT", "opening-hours", body=hours)
    assert_problem(answer, 400, "invalid-request")
    assert [error["field"] for error in answer.body["errors"]] == [field]
    assert business.items() == before


@pytest.mark.parametrize("raw", [b"", b"null", b"{"])
def test_a_body_that_is_no_document_is_refused(business: Business, raw: bytes) -> None:
    business.set_available(False)
    before = business.items()
    assert_problem(business.call("PUT", "opening-hours", raw=raw), 400, "invalid-request")
    assert business.items() == before


def test_a_business_that_nobody_declared_cannot_have_hours(business: Business) -> None:
    assert_problem(business.call("PUT", "opening-hours", body=ALWAYS), 409, "not-declared")
    assert_problem(business.call("DELETE", "opening-hours"), 409, "not-declared")
    assert_problem(business.call("GET", "opening-hours"), 404, "not-found")
    assert business.items() == []


def test_only_members_and_operators_read_and_set_hours(system: System, business: Business) -> None:
    business.set_available(False)
    operator = system.token("operator")
    set_hours(business, ALWAYS, token=operator)
    assert business.settings()["updatedBy"] == "e2e-operator"
    assert business.call("GET", "opening-hours", token=operator).status == 200
    before = business.items()
    for token in (system.token(), system.token("backend")):
        for method, body in (("GET", None), ("PUT", NEVER), ("DELETE", None)):
            answer = business.call(method, "opening-hours", token=token, body=body)
            assert_problem(answer, 403, "forbidden")
    assert business.items() == before
    assert business.call("DELETE", "opening-hours", token=operator).status == 200
