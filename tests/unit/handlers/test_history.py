"""The route of the history: who may read it, its windows, and its pages."""

import base64
import json
from typing import Any, Final

import pytest

from lambdas.bootstrap import Service
from lambdas.domain.model import Attention, Cause, OverallStatus
from lambdas.domain.status import ReasonCode
from lambdas.handlers import cursors, rest
from lambdas.use_cases.history import MAX_WINDOW
from lambdas.use_cases.ports import AttentionEntry
from tests.builders import B1, NOW, U1, transition
from tests.events import rest_event
from tests.unit.handlers.conftest import Deployed

HISTORY: Final = "/businesses/{businessId}/history"
MOMENT: Final = "must be a moment in RFC 3339, for example 2026-01-31T12:00:00Z"
CURSOR: Final = "must be the `next` of an earlier answer, unchanged"


def _call(deployed: Deployed, query: dict[str, str] | None = None, **caller: Any) -> Any:
    answer = deployed.invoke(rest.handler, rest_event("GET", HISTORY, query=query, **caller))
    return answer["statusCode"], json.loads(answer["body"])


def _history(deployed: Deployed, **query: str) -> Any:
    status, document = _call(deployed, {name.rstrip("_"): text for name, text in query.items()})
    assert status == 200, document
    return document


def _refusal(deployed: Deployed, query: dict[str, str]) -> list[tuple[str, str]]:
    status, problem = _call(deployed, query)
    assert status == 400, problem
    return [(error["field"], error["problem"]) for error in problem["errors"]]


def _sequences(document: Any) -> list[int]:
    return [each["sequence"] for each in document["transitions"]]


def _record(deployed: Deployed, *moments: int) -> None:
    """Record a transition at each moment."""
    assert deployed.service.history is not None
    for sequence, at in enumerate(moments, start=1):
        deployed.service.history.commit(transition(sequence=sequence, at=at), settings_version=1)


def test_it_tells_what_happened_newest_first(deployed: Deployed) -> None:
    history = deployed.service.history
    assert history is not None
    history.commit(transition(at=NOW - 60), settings_version=1)
    history.commit(
        transition(
            sequence=2,
            at=NOW - 20,
            before=OverallStatus.ONLINE,
            after=OverallStatus.UNREACHABLE,
            attention=Attention.UNREACHABLE,
            cause=Cause.OPERATOR,
            by=U1,
            reasons=(ReasonCode.ACCEPTING_ORDERS,),
            since=NOW - 60,
            seconds={OverallStatus.ONLINE: 40},
        ),
        settings_version=1,
    )
    status, document = _call(deployed)
    assert status == 200
    assert document == {
        "businessId": "b1",
        "from": "2027-01-14T08:00:00Z",
        "to": "2027-01-15T08:00:00Z",
        "transitions": [
            {
                "sequence": 2,
                "at": "2027-01-15T07:59:40Z",
                "from": "ONLINE",
                "to": "UNREACHABLE",
                "online": False,
                "attention": "unreachable",
                "cause": "operator",
                "by": "u1",
                "reasons": ["accepting_orders"],
            },
            {
                "sequence": 1,
                "at": "2027-01-15T07:59:00Z",
                "from": "UNKNOWN",
                "to": "ONLINE",
                "online": True,
                "attention": None,
                "cause": "unknown",
                "by": None,
                "reasons": [],
            },
        ],
        "seconds": {"UNKNOWN": 86_400 - 60, "ONLINE": 40, "UNREACHABLE": 20},
        "next": None,
    }


def test_a_business_without_a_transition_is_unknown_throughout(deployed: Deployed) -> None:
    document = _history(deployed)
    assert (document["transitions"], document["next"]) == ([], None)
    assert document["seconds"] == {"UNKNOWN": 86_400}


@pytest.mark.parametrize(
    ("businesses", "roles", "expected"),
    [
        (("b1",), (), 200),
        ((), ("operator",), 200),
        (("b2",), ("operator",), 200),
        (("b2",), (), 403),
        ((), (), 403),
        ((), ("backend",), 403),
    ],
)
def test_members_and_operators_may_read_it(
    deployed: Deployed, businesses: tuple[str, ...], roles: tuple[str, ...], expected: int
) -> None:
    status, _ = _call(deployed, businesses=businesses, roles=roles)
    assert status == expected
    assert bool(deployed.operations) == (expected == 200)


def test_an_environment_without_a_feed_has_none(deployed: Deployed) -> None:
    environ = {k: v for k, v in deployed.environ.items() if not k.startswith("HISTORY_")}
    deployed.service = Service(environ, clock=deployed.clock)
    status, problem = _call(deployed, {"from": "2027-01-15T00:00:00Z"})
    assert (status, problem["type"].rpartition(":")[2]) == (404, "not-found")
    assert problem["detail"] == "this environment keeps no history"
    assert _call(deployed, businesses=())[0] == 403


class TestWindow:
    @pytest.mark.parametrize(
        ("query", "start", "end"),
        [
            ({}, "2027-01-14T08:00:00Z", "2027-01-15T08:00:00Z"),
            ({"from_": "2027-01-15T07:00:00Z"}, "2027-01-15T07:00:00Z", "2027-01-15T08:00:00Z"),
            ({"to": "2027-01-10T07:00:00Z"}, "2027-01-09T07:00:00Z", "2027-01-10T07:00:00Z"),
            ({"to": "2027-01-15T08:00:01Z"}, "2027-01-14T08:00:00Z", "2027-01-15T08:00:00Z"),
            ({"to": "9999-12-31T23:59:59-23:59"}, "2027-01-14T08:00:00Z", "2027-01-15T08:00:00Z"),
            (
                {"from_": "2027-01-15t09:30:00.999+02:30", "to": "2027-01-15T02:15:00-05:00"},
                "2027-01-15T07:00:00Z",
                "2027-01-15T07:15:00Z",
            ),
            ({"to": "1970-01-01T00:00:01Z"}, "1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"),
        ],
    )
    def test_is_what_was_asked_for_up_to_now(
        self, deployed: Deployed, query: dict[str, str], start: str, end: str
    ) -> None:
        document = _history(deployed, **query)
        assert (document["from"], document["to"]) == (start, end)

    def test_includes_both_ends(self, deployed: Deployed) -> None:
        _record(deployed, NOW - 61, NOW - 60, NOW - 30, NOW - 29)
        window = {"from_": "2027-01-15T07:59:00Z", "to": "2027-01-15T07:59:30Z"}
        assert _sequences(_history(deployed, **window)) == [3, 2]

    @pytest.mark.parametrize(
        "moment",
        [
            "",
            "yesterday",
            "1800000000",
            "2027-01-15",
            "2027-01-15T07:00:00",
            "2027-01-15 07:00:00Z",
            "2027-01-15T07:00:00 01:00",  # a + that was not encoded
            "2027-01-15T07:00Z",
            "2027-01-15T24:00:00Z",
            "2027-02-29T07:00:00Z",
            "2026-12-31T23:59:60Z",
            "0000-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "2027-01-15T07:00:00+24:00",
            "2027-01-15T07:00:00+01:60",
            "2027-01-15T07:00:00Z\n",
            "٢٠٢٧-01-15T07:00:00Z",
        ],
    )
    def test_has_moments_in_rfc_3339(self, deployed: Deployed, moment: str) -> None:
        for name in ("from", "to"):
            assert _refusal(deployed, {name: moment}) == [(name, MOMENT)]
        assert deployed.operations == []

    @pytest.mark.parametrize(
        "moment", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59Z"]
    )
    def test_is_not_before_1970(self, deployed: Deployed, moment: str) -> None:
        refusal = "must be in 1970 or later"
        assert _refusal(deployed, {"to": moment}) == [("to", refusal)]
        assert _refusal(deployed, {"from": moment, "to": moment}) == [("from", refusal)]
        assert deployed.operations == []

    @pytest.mark.parametrize(
        "query",
        [
            {"from": "2027-01-15T07:00:00Z", "to": "2027-01-15T07:00:00Z"},
            {"from": "2027-01-15T07:00:00Z", "to": "2027-01-15T06:00:00Z"},
            {"from": "2027-01-15T08:00:00Z"},
            {"from": "2027-01-15T08:00:01Z", "to": "2027-01-15T09:00:00Z"},
            {"from": "9999-12-31T23:59:59-23:59"},
        ],
    )
    def test_is_not_empty_or_in_the_future(self, deployed: Deployed, query: dict[str, str]) -> None:
        assert _refusal(deployed, query) == [("from", "must be before `to`, and in the past")]
        assert deployed.operations == []

    def test_has_at_most_31_days(self, deployed: Deployed) -> None:
        _record(deployed, NOW - MAX_WINDOW)
        document = _history(deployed, from_="2026-12-15T08:00:00Z")
        assert sum(document["seconds"].values()) == MAX_WINDOW
        assert _sequences(document) == [1]
        for query in ({"from": "2026-12-15T07:59:59Z"}, {"from": "1970-01-01T00:00:00Z"}):
            assert _refusal(deployed, query) == [("from", "must be at most 31 days before `to`")]

    @pytest.mark.parametrize("name", ["from", "to", "cursor"])
    def test_has_each_parameter_once(self, deployed: Deployed, name: str) -> None:
        moment = "2027-01-15T07:00:00Z"
        request = rest_event("GET", HISTORY, query={name: moment})
        request["multiValueQueryStringParameters"][name] = [moment, moment]
        answer = deployed.invoke(rest.handler, request)
        problem = json.loads(answer["body"])
        assert (answer["statusCode"], problem["errors"]) == (
            400, [{"field": name, "problem": "must come at most once"}],
        )  # fmt: skip

    @pytest.mark.parametrize("name", ["From", "from_", "limit"])
    def test_has_no_other_parameter(self, deployed: Deployed, name: str) -> None:
        refusal = [(name, "is not a query parameter of this request")]
        assert _refusal(deployed, {name: "2027-01-15T07:00:00Z"}) == refusal


class TestPages:
    @pytest.fixture(autouse=True)
    def pages_of_ten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lambdas.use_cases.history.PAGE", 10)

    def test_follow_each_other_without_a_gap(self, deployed: Deployed) -> None:
        count = 21
        # Five in each second: a page ends within one.
        _record(deployed, *[NOW - 100 + n // 5 for n in range(count)])
        first = _history(deployed)
        window = {"from_": first["from"], "to": first["to"]}
        second = _history(deployed, **window, cursor=first["next"])
        third = _history(deployed, **window, cursor=second["next"])
        pages = [_sequences(page) for page in (first, second, third)]
        assert [len(page) for page in pages] == [10, 10, 1]
        assert [n for page in pages for n in page] == list(range(count, 0, -1))
        assert third["next"] is None
        assert first["seconds"] == second["seconds"] == third["seconds"]

    def test_a_full_page_can_be_the_last(self, deployed: Deployed) -> None:
        _record(deployed, *range(NOW - 10, NOW))
        document = _history(deployed)
        assert (len(document["transitions"]), document["next"]) == (10, None)

    def test_a_cursor_from_outside_of_the_window_does_not_leave_it(
        self, deployed: Deployed
    ) -> None:
        _record(deployed, NOW - 90, NOW - 60, NOW - 30)
        window = {"from_": "2027-01-15T07:58:50Z", "to": "2027-01-15T07:59:10Z"}
        later, earlier = ((NOW - 10, 9), (NOW - 80, 1))
        assert _sequences(_history(deployed, **window, cursor=_cursor(*later))) == [2]
        assert _sequences(_history(deployed, **window, cursor=_cursor(*earlier))) == []
        assert _sequences(_history(deployed, **window, cursor=_cursor(0, 1))) == []

    @pytest.mark.parametrize(
        "cursor",
        [
            "",
            "x",
            "é",
            cursors.encode(AttentionEntry(B1, NOW)),
            *(
                base64.urlsafe_b64encode(text.encode()).decode()
                for text in (
                    "",
                    "no json",
                    "null",
                    "{}",
                    "[1]",
                    "[1, 2, 3]",
                    "[-1, 1]",
                    "[1, 0]",
                    "[1.0, 1]",
                    "[true, 1]",
                    "[253402300800, 1]",
                    f"[1, 1{'0' * 12}]",
                    f"[{'9' * 5000}, 1]",
                    "[" * 5000,
                )
            ),
        ],
    )
    def test_a_cursor_of_something_else_is_refused(self, deployed: Deployed, cursor: str) -> None:
        assert _refusal(deployed, {"cursor": cursor}) == [("cursor", CURSOR)]
        assert deployed.operations == []

    def test_a_cursor_of_the_history_is_none_of_another_list(self, deployed: Deployed) -> None:
        query = {"attention": "unreachable", "cursor": _cursor(NOW, 1)}
        request = rest_event("GET", "/businesses", query=query, roles=("operator",))
        answer = deployed.invoke(rest.handler, request)
        assert json.loads(answer["body"])["errors"] == [{"field": "cursor", "problem": CURSOR}]


def _cursor(at: int, sequence: int) -> str:
    return cursors.encode_position((at, sequence))
