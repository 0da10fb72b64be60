"""The REST function: its calls to AWS and its answers to valid and invalid requests."""

import json
import re
import time
from typing import Any, Final

import pytest
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyItemAlreadyExistsError
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

from lambdas import protocol
from lambdas.adapters.sockets import ManagementApi
from lambdas.adapters.table import Table
from lambdas.domain.errors import DomainError, TooManyCalls, Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention, Episode, Pause
from lambdas.handlers import rest
from lambdas.use_cases.ports import SocketAnswer
from local.cloudwatch.embedded_metrics import metric_data
from tests.builders import B1, CLOSED, NOW, OPEN, business, hours, real, settings, virtual
from tests.events import rest_event
from tests.fakes import raising
from tests.unit.handlers.conftest import Deployed

STATUS = "/businesses/{businessId}/status"
ONLINE = "/businesses/{businessId}/online"
AVAILABILITY = "/businesses/{businessId}/availability"
CONNECTIONS = "/businesses/{businessId}/connections"
CONNECTION = "/businesses/{businessId}/connections/{connectionId}"
BATCH = "/businesses/online"
PAUSE = "/businesses/{businessId}/pause"
OPENING_HOURS = "/businesses/{businessId}/opening-hours"
SETTINGS = "/businesses/{businessId}/settings"
TICKETS = "/businesses/{businessId}/tickets"
MESSAGES = "/businesses/{businessId}/messages"
CLEANUP = "/businesses/{businessId}/cleanup"
BUSINESSES = "/businesses"


def _call(deployed: Deployed, *args: Any, **kwargs: Any) -> tuple[int, dict[str, Any]]:
    answer = deployed.invoke(rest.handler, rest_event(*args, **kwargs))
    return answer["statusCode"], json.loads(answer["body"])


AS_BACKEND: Final[dict[str, Any]] = {"businesses": (), "roles": ("backend",), "user_id": "k1"}
AS_OPERATOR: Final[dict[str, Any]] = {"businesses": (), "roles": ("operator",), "user_id": "o1"}
AS_OPERATOR_AND_MEMBER: Final[dict[str, Any]] = {"roles": ("operator",), "user_id": "om1"}


def _push(deployed: Deployed, body: str | None = "[1]", **request: Any) -> tuple[int, Any]:
    return _call(deployed, "POST", MESSAGES, body=body, **AS_BACKEND, **request)


def _content_type(answer: dict[str, Any]) -> str:
    (value,) = answer["multiValueHeaders"]["Content-Type"]
    return str(value)


def test_status_costs_one_consistent_query(deployed: Deployed) -> None:
    deployed.seed(business(real("c1"), virtual(), declared=settings()))
    status, body = _call(deployed, "GET", STATUS)
    assert deployed.operations == ["Query"]
    assert deployed.calls[0][1]["ConsistentRead"] is True
    assert status == 200
    assert body["overallStatus"] == "ONLINE"
    assert body["hasRealTimeConnection"] is True
    assert body["hasVirtualStatus"] is True
    assert body["isAvailableForOrders"] is True
    assert body["counts"] == {"real": 1, "virtual": 1}
    assert [reason["code"] for reason in body["reasons"]] == [
        "accepting_orders",
        "real_connection_active",
        "virtual_connection_active",
    ]


def test_online_costs_one_eventually_consistent_query(deployed: Deployed) -> None:
    deployed.seed(business(virtual(), declared=settings()))
    status, body = _call(deployed, "GET", ONLINE, businesses=())
    assert deployed.operations == ["Query"]
    assert deployed.calls[0][1]["ConsistentRead"] is False
    assert (status, body["online"]) == (200, True)


def test_an_undeclared_business_is_unknown_not_an_error(deployed: Deployed) -> None:
    assert _call(deployed, "GET", ONLINE)[1]["online"] is None
    status, body = _call(deployed, "GET", STATUS)
    assert (status, body["overallStatus"], body["online"]) == (200, "UNKNOWN", None)


def test_declaring_a_business_available_and_unavailable(deployed: Deployed) -> None:
    status, body = _call(deployed, "PUT", AVAILABILITY, body='{"available": true}')
    assert (status, body["overallStatus"]) == (200, "VIRTUAL_ONLY")
    assert body["leaseUntil"] > body["asOf"]
    assert deployed.operations == ["Query", "TransactWriteItems"]
    status, body = _call(deployed, "PUT", AVAILABILITY, body='{"available": false}')
    assert (status, body["overallStatus"]) == (200, "OFFLINE")
    assert (body["leaseUntil"], body["socketsRemaining"]) == (None, 0)
    assert [item["sk"]["S"] for item in deployed.items()] == ["BUSINESS", "TRANSITION"]


def test_what_the_time_changed_is_recorded_before_the_settings_are_written(
    deployed: Deployed,
) -> None:
    deployed.seed(business(real("c1", seen=700), virtual(left=-1), declared=settings()))
    _call(deployed, "PUT", AVAILABILITY, body='{"available": true}')
    assert deployed.operations.index("TransactWriteItems") < len(deployed.operations) - 1
    (last,) = [item for item in deployed.items() if item["sk"]["S"] == "TRANSITION"]
    assert last["to"] == {"S": "UNREACHABLE"}


@pytest.mark.parametrize("error", [Unavailable("no answer"), KeyError("poison")])
def test_a_transition_that_cannot_be_recorded_stops_no_declaration_and_is_logged(
    deployed: Deployed, error: Exception
) -> None:
    deployed.seed(business(virtual(), declared=settings()))
    recorder = deployed.service.recorder
    assert recorder is not None
    recorder.history.commit = raising(error)  # type: ignore[method-assign]
    status, _ = _call(deployed, "PUT", AVAILABILITY, body='{"available": false}')
    assert status == 200
    assert "transitions could not be recorded" in deployed.log.getvalue()


def test_real_and_virtual_connections_are_listed_separately(deployed: Deployed) -> None:
    deployed.seed(
        business(
            real("c1"), real("c2", seen=700), virtual(),
            declared=settings(),
        )
    )  # fmt: skip
    _, body = _call(deployed, "GET", CONNECTIONS)
    assert [(c["connectionId"], c["active"]) for c in body["real"]] == [("c1", True), ("c2", False)]
    assert [(c["userId"], c["active"]) for c in body["virtual"]] == [("u1", True)]


def test_a_batch_keeps_order_and_duplicates_and_reads_each_once(deployed: Deployed) -> None:
    deployed.seed(business(virtual(), declared=settings()))
    body = json.dumps({"businessIds": ["b9", "b1", "b9", "b1"]})
    status, answer = _call(deployed, "POST", BATCH, body=body, businesses=())
    assert status == 200
    assert answer["businesses"] == [
        {"businessId": "b9", "online": None},
        {"businessId": "b1", "online": True},
        {"businessId": "b9", "online": None},
        {"businessId": "b1", "online": True},
    ]
    assert deployed.operations == ["Query", "Query"]


@pytest.mark.parametrize(
    ("ids", "detail"),
    [
        ([], "businessIds: must have 1 or more entries"),
        (["b1"] * 101, "businessIds: must have at most 100 entries, but has 101"),
        (["b1", "b#2"], "businessIds.1: must be 1 to 64 characters of"),
        (["b1", 2], "businessIds.1: must be a string"),
        ("b1", "businessIds: must be a list"),
        (None, "businessIds: must be a list"),
    ],
)
def test_a_bad_batch_is_refused_by_name(deployed: Deployed, ids: object, detail: str) -> None:
    status, problem = _call(deployed, "POST", BATCH, body=json.dumps({"businessIds": ids}))
    assert status == 400
    assert problem["detail"].startswith(detail)
    assert deployed.operations == []


def _record(deployed: Deployed) -> None:
    """Let the change feed catch up."""
    recorder = deployed.service.recorder
    assert recorder is not None
    recorder.record(B1)
    deployed.calls.clear()


def test_pausing_and_resuming(deployed: Deployed) -> None:
    deployed.seed(business(real("c1"), declared=settings()))
    _record(deployed)
    until = protocol.timestamp(NOW + 1200)
    body = json.dumps({"until": until, "reason": "busy"})
    status, answer = _call(deployed, "PUT", PAUSE, body=body)
    assert (status, answer["overallStatus"]) == (200, "CONNECTED_NOT_ACCEPTING")
    assert answer["pausedUntil"] == until
    assert "busy" in answer["reasons"][0]["detail"]
    _record(deployed)
    status, answer = _call(deployed, "DELETE", PAUSE)
    assert (status, answer["overallStatus"], answer["pausedUntil"]) == (200, "ONLINE", None)
    assert deployed.operations == ["Query", "UpdateItem"]


@pytest.mark.parametrize("moment", ["2099-01-01T00:00:00+02:00", "2099-01-01t00:00:00.5z"])
def test_a_pause_takes_any_rfc_3339_moment(deployed: Deployed, moment: str) -> None:
    deployed.seed(business(declared=settings()))
    status, problem = _call(deployed, "PUT", PAUSE, body=json.dumps({"until": moment}))
    assert (status, problem["detail"]) == (400, "until: must be at most 7 days ahead")


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({}, "until: is required"),
        ({"until": None}, "until: must be a string"),
        ({"until": 1_900_000_000}, "until: must be a string"),
        ({"until": "tomorrow"}, "until: must be a moment in RFC 3339"),
        ({"until": "2026-02-30T00:00:00Z"}, "until: must be a moment in RFC 3339"),
        ({"until": "2026-01-01"}, "until: must be a moment in RFC 3339"),
        ({"until": "2026-01-01T00:00:00"}, "until: must be a moment in RFC 3339"),
        ({"until": "0001-01-01T00:00:00+23:59"}, "until: must be in the future"),
        ({"until": "2020-01-01T00:00:00Z"}, "until: must be in the future"),
        ({"until": "2020-01-01T00:00:00Z", "reason": ""}, "reason: must have 1 or more characters"),
        (
            {"until": "2020-01-01T00:00:00Z", "reason": "x" * 201},
            "reason: must have at most 200 characters",
        ),
        ({"until": "2020-01-01T00:00:00Z", "reason": 7}, "reason: must be a string"),
        (
            {"until": "2020-01-01T00:00:00Z", "reason": "\ud800"},
            "reason: must be valid Unicode, without lone surrogates such as \\ud800",
        ),
        (
            {"until": "2020-01-01T00:00:00Z", "minutes": 20},
            "minutes: is not a field of this request",
        ),
    ],
)
def test_a_bad_pause_is_refused_by_name(
    deployed: Deployed, fields: dict[str, Any], detail: str
) -> None:
    deployed.seed(business(declared=settings()))
    status, problem = _call(deployed, "PUT", PAUSE, body=json.dumps(fields))
    assert status == 400
    assert problem["detail"].startswith(detail)
    assert "UpdateItem" not in deployed.operations


UNTIL: Final = protocol.timestamp(NOW + 1200)


def _pause(deployed: Deployed, reason: str | None, **caller: Any) -> tuple[int, dict[str, Any]]:
    fields = {"until": UNTIL} if reason is None else {"until": UNTIL, "reason": reason}
    return _call(deployed, "PUT", PAUSE, body=json.dumps(fields), **caller)


class TestPausesByRole:
    @pytest.fixture(autouse=True)
    def _open(self, deployed: Deployed) -> None:
        deployed.seed(business(real("c1"), declared=settings()))

    @pytest.mark.parametrize("caller", [AS_OPERATOR, AS_OPERATOR_AND_MEMBER])
    @pytest.mark.parametrize("reason", [None, " "])
    def test_an_operator_must_give_a_reason(
        self, deployed: Deployed, caller: dict[str, Any], reason: str | None
    ) -> None:
        status, problem = _pause(deployed, reason, **caller)
        assert (status, problem["type"].rpartition(":")[2]) == (400, "invalid-request")
        assert problem["errors"] == [{"field": "reason", "problem": "is required of an operator"}]
        assert deployed.operations == []

    @pytest.mark.parametrize("caller", [{}, AS_BACKEND])
    def test_a_member_and_a_back_end_need_no_reason_and_may_end_each_others_pause(
        self, deployed: Deployed, caller: dict[str, Any]
    ) -> None:
        status, answer = _pause(deployed, None, **caller)
        assert (status, answer["pausedBy"]) == (200, caller.get("user_id", "u1"))
        other = AS_BACKEND if not caller else {}
        status, answer = _pause(deployed, "busy", **other)
        assert (status, answer["pausedBy"]) == (200, other.get("user_id", "u1"))
        status, answer = _call(deployed, "DELETE", PAUSE, **caller)
        assert (status, answer["pausedBy"], answer["pausedUntil"]) == (200, None, None)

    def test_a_back_end_that_may_not_read_the_status_gets_none_as_answer(
        self, deployed: Deployed
    ) -> None:
        assert _call(deployed, "GET", STATUS, **AS_BACKEND)[0] == 403
        paused = _pause(deployed, "busy", **AS_BACKEND)[1]
        assert paused == {
            "businessId": "b1",
            "online": False,
            "pausedUntil": UNTIL,
            "pausedBy": "k1",
            "asOf": protocol.timestamp(NOW),
        }
        ended = _call(deployed, "DELETE", PAUSE, **AS_BACKEND)[1]
        assert ended == {**paused, "online": True, "pausedUntil": None, "pausedBy": None}
        as_member_too = {"roles": ("backend",), "user_id": "k1"}
        for answer in (
            _pause(deployed, None, **as_member_too)[1],
            _call(deployed, "DELETE", PAUSE, **as_member_too)[1],
        ):
            assert answer.keys() >= {"overallStatus", "reasons", "counts"}

    def test_a_declaration_ends_a_back_ends_pause(self, deployed: Deployed) -> None:
        _pause(deployed, None, **AS_BACKEND)
        _, answer = _call(deployed, "PUT", AVAILABILITY, body='{"available": true}')
        assert (answer["overallStatus"], answer["pausedBy"]) == ("ONLINE", None)

    @pytest.mark.parametrize("operator", [AS_OPERATOR, AS_OPERATOR_AND_MEMBER])
    @pytest.mark.parametrize("other", [{}, AS_BACKEND])
    def test_only_an_operator_changes_an_operators_pause_until_it_is_over(
        self, deployed: Deployed, operator: dict[str, Any], other: dict[str, Any]
    ) -> None:
        status, answer = _pause(deployed, "no device since noon", **operator)
        assert (status, answer["overallStatus"]) == (200, "CONNECTED_NOT_ACCEPTING")
        assert (answer["pausedBy"], answer["pausedUntil"]) == (operator["user_id"], UNTIL)
        before = deployed.items()
        for refused in (
            _pause(deployed, None, **other),
            _call(deployed, "DELETE", PAUSE, **other),
        ):
            status, problem = refused
            assert (status, problem["type"].rpartition(":")[2]) == (403, "forbidden")
            for told in (operator["user_id"], UNTIL, "no device since noon"):
                assert told in problem["detail"]
        assert deployed.items() == before
        deployed.clock.advance(1200)
        assert _call(deployed, "DELETE", PAUSE, **other)[0] == 200

    def test_another_operator_ends_it(self, deployed: Deployed) -> None:
        _pause(deployed, "no device since noon", **AS_OPERATOR)
        status, answer = _call(deployed, "DELETE", PAUSE, **AS_OPERATOR_AND_MEMBER)
        assert (status, answer["overallStatus"], answer["pausedBy"]) == (200, "ONLINE", None)

    @pytest.mark.parametrize("available", ["true", "false"])
    @pytest.mark.parametrize("caller", [{}, AS_OPERATOR_AND_MEMBER])
    def test_a_declaration_does_not_end_it_and_the_answer_says_who_until_when_and_why(
        self, deployed: Deployed, available: str, caller: dict[str, Any]
    ) -> None:
        _pause(deployed, "no device since noon", **AS_OPERATOR)
        body = f'{{"available": {available}}}'
        status, answer = _call(deployed, "PUT", AVAILABILITY, body=body, **caller)
        assert (status, answer["isAvailableForOrders"]) == (200, False)
        assert (answer["pausedBy"], answer["pausedUntil"]) == ("o1", UNTIL)
        (detail,) = [r["detail"] for r in answer["reasons"] if r["code"] == "paused"]
        assert detail == f"paused by o1, an operator, until {UNTIL}: no device since noon"
        # What was declared is kept for afterwards.
        deployed.clock.advance(1200)
        answer = _call(deployed, "GET", STATUS)[1]
        assert answer["isAvailableForOrders"] is (available == "true")
        assert answer["declaredBy"] == caller.get("user_id", "u1")


HOURS: Final[dict[str, Any]] = {
    "timeZone": "Europe/Berlin",
    "weekly": {"fr": [["18:00", "02:00"], ["11:00", "14:00"]], "mo": [["11:00", "24:00"]]},
    "exceptions": {"2027-01-22": [], "2027-01-01": []},
}
"""Fridays and Mondays. It is Friday, 15 January 2027, 09:00 in Berlin."""


class TestOpeningHours:
    @pytest.mark.parametrize("caller", [{}, AS_OPERATOR], ids=["member", "operator"])
    def test_are_set_read_and_removed(self, deployed: Deployed, caller: dict[str, Any]) -> None:
        deployed.seed(business(real("c1"), virtual(), declared=settings()))
        expected = {
            "businessId": "b1",
            "openingHours": {
                "timeZone": "Europe/Berlin",
                "weekly": {
                    "mo": [["11:00", "24:00"]],
                    "fr": [["11:00", "14:00"], ["18:00", "02:00"]],
                },
                "exceptions": {"2027-01-22": []},
            },
            "openNow": False,
            "nextChangeAt": "2027-01-15T10:00:00Z",
            "open": [
                {"opensAt": "2027-01-15T10:00:00Z", "closesAt": "2027-01-15T13:00:00Z"},
                {"opensAt": "2027-01-15T17:00:00Z", "closesAt": "2027-01-16T01:00:00Z"},
                {"opensAt": "2027-01-18T10:00:00Z", "closesAt": "2027-01-18T23:00:00Z"},
            ],
            "asOf": "2027-01-15T08:00:00Z",
        }
        body = json.dumps(HOURS)
        _record(deployed)
        assert _call(deployed, "PUT", OPENING_HOURS, body=body, **caller) == (200, expected)
        assert deployed.operations == ["Query", "UpdateItem"]
        assert _call(deployed, "GET", OPENING_HOURS, **caller) == (200, expected)

        answer = _call(deployed, "GET", STATUS)[1]
        assert (answer["overallStatus"], answer["online"]) == ("CONNECTED_NOT_ACCEPTING", False)
        assert answer["nextChangeAt"] == "2027-01-15T10:00:00Z"
        assert answer["reasons"][0] == {
            "code": "outside_opening_hours",
            "detail": "outside its opening hours until 2027-01-15T10:00:00Z (Europe/Berlin)",
        }
        assert _call(deployed, "GET", ONLINE)[1]["online"] is False

        status, answer = _call(deployed, "DELETE", OPENING_HOURS, **caller)
        assert (status, answer["overallStatus"], answer["nextChangeAt"]) == (200, "ONLINE", None)
        status, answer = _call(deployed, "DELETE", OPENING_HOURS, **caller)
        assert (status, answer["overallStatus"]) == (200, "ONLINE")
        assert _call(deployed, "GET", OPENING_HOURS, **caller)[0] == 404

    def test_are_replaced_as_a_whole(self, deployed: Deployed) -> None:
        deployed.seed(business(declared=settings()))
        _call(deployed, "PUT", OPENING_HOURS, body=json.dumps(HOURS))
        _, answer = _call(deployed, "PUT", OPENING_HOURS, body='{"timeZone": "UTC"}')
        assert answer["openingHours"] == {"timeZone": "UTC", "weekly": {}, "exceptions": {}}
        assert (answer["openNow"], answer["nextChangeAt"], answer["open"]) == (False, None, [])

    def test_that_never_end_are_open_throughout_the_seven_days(self, deployed: Deployed) -> None:
        deployed.seed(business(declared=settings(opening_hours=OPEN)))
        _, answer = _call(deployed, "GET", OPENING_HOURS)
        assert (answer["openNow"], answer["nextChangeAt"]) == (True, None)
        assert answer["open"] == [
            {"opensAt": "2027-01-15T08:00:00Z", "closesAt": "2027-01-22T08:00:00Z"}
        ]

    def test_open_and_close_without_any_call(self, deployed: Deployed) -> None:
        daily = hours(("09:00", "22:00"))
        deployed.seed(business(real("c1"), declared=settings(opening_hours=daily)))
        seen = []
        for _ in range(2):
            status = _call(deployed, "GET", STATUS)[1]
            answer = _call(deployed, "GET", OPENING_HOURS)[1]
            seen.append((status["isAvailableForOrders"], answer["openNow"]))
            assert status["nextChangeAt"] == answer["nextChangeAt"]
            deployed.clock.advance(3600)
        assert seen == [(False, False), (True, True)]

    @pytest.mark.parametrize("declared", [None, settings()])
    def test_that_do_not_exist_get_404(self, deployed: Deployed, declared: Any) -> None:
        deployed.seed(business(declared=declared))
        status, problem = _call(deployed, "GET", OPENING_HOURS)
        assert (status, problem["type"].rpartition(":")[2]) == (404, "not-found")

    @pytest.mark.parametrize(("method", "body"), [("PUT", json.dumps(HOURS)), ("DELETE", None)])
    def test_of_a_business_that_nobody_declared_get_409(
        self, deployed: Deployed, method: str, body: str | None
    ) -> None:
        status, problem = _call(deployed, method, OPENING_HOURS, body=body)
        assert (status, problem["type"].rpartition(":")[2]) == (409, "not-declared")
        assert deployed.items() == []

    @pytest.mark.parametrize("available", [True, False])
    def test_are_not_overridden_by_a_declaration(self, deployed: Deployed, available: bool) -> None:
        deployed.seed(business(declared=settings(opening_hours=CLOSED)))
        body = json.dumps({"available": available})
        status, answer = _call(deployed, "PUT", AVAILABILITY, body=body)
        assert (status, answer["overallStatus"]) == (200, "OFFLINE")
        assert (answer["leaseUntil"] is not None) is available
        codes = [reason["code"] for reason in answer["reasons"]]
        assert "outside_opening_hours" in codes
        assert ("not_accepting_orders" in codes) is (not available)

    def test_that_are_wrong_are_refused_with_the_field_and_the_value(
        self, deployed: Deployed
    ) -> None:
        """What is wrong is tabled in `tests/unit/domain`."""
        body = json.dumps({**HOURS, "weekly": {"mo": [["11:00", "14:00"], ["15:00", "25:00"]]}})
        status, problem = _call(deployed, "PUT", OPENING_HOURS, body=body)
        assert (status, problem["type"].rpartition(":")[2]) == (400, "invalid-request")
        (error,) = problem["errors"]
        assert error["field"] == "weekly.mo.1"
        assert '"25:00"' in error["problem"]
        assert deployed.operations == []

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (None, "body"),
            ("", "body"),
            ("null", "body: must not be null"),
            ("[]", "openingHours: [] is not an object"),
            ('"UTC"', 'openingHours: "UTC" is not an object'),
            ('{"timeZone": "UTC", "timeZone": "UTC"}', "timeZone"),
            ('{"timeZone": "\\ud800"}', 'timeZone: "\\ud800" is not a time zone'),
        ],
    )
    def test_whose_body_is_wrong_are_refused(
        self, deployed: Deployed, body: str | None, told: str
    ) -> None:
        status, problem = _call(deployed, "PUT", OPENING_HOURS, body=body)
        assert status == 400
        assert told in problem["detail"]
        assert deployed.operations == []

    def test_with_as_many_dates_and_intervals_as_allowed_are_kept(self, deployed: Deployed) -> None:
        deployed.seed(business(declared=settings()))
        day = [[f"{n:02}:00", f"{n:02}:30"] for n in range(10)]
        written = {
            "timeZone": "America/Argentina/ComodRivadavia",
            "weekly": dict.fromkeys(("mo", "tu", "we", "th", "fr", "sa", "su"), day),
            "exceptions": {f"2027-0{2 + n // 28}-{n % 28 + 1:02}": day for n in range(100)},
        }
        status, answer = _call(deployed, "PUT", OPENING_HOURS, body=json.dumps(written))
        assert (status, answer["openingHours"]) == (200, written)
        assert _call(deployed, "GET", OPENING_HOURS)[1] == answer


def test_an_entry_of_the_attention_list_has_the_whole_status(deployed: Deployed) -> None:
    declared = settings(declared_by="pos-7", opening_hours=OPEN)
    deployed.seed(business(real("c1", seen=4000), virtual(), declared=declared))
    read = deployed.store.load(BusinessId("b1"))
    deployed.store.mark_episode(read, Episode(Attention.VIRTUAL_ONLY, NOW - 9))
    query = {"attention": "virtual-only"}
    (entry,) = _call(deployed, "GET", BUSINESSES, query=query, **AS_OPERATOR)[1]["businesses"]
    assert entry["status"] == _call(deployed, "GET", STATUS)[1]
    shown = entry["status"]
    assert shown["declaredBy"] == "pos-7"
    assert shown["lastSeenAt"] == protocol.timestamp(NOW - 4000)
    assert shown["virtualUntil"] == protocol.timestamp(NOW + 3600)
    assert shown["attentionSince"] == entry["since"]
    assert [reason["code"] for reason in shown["reasons"]] == [
        "accepting_orders",
        "real_connection_silent",
        "virtual_connection_active",
    ]


def test_an_undeclared_business_cannot_be_paused(deployed: Deployed) -> None:
    until = protocol.timestamp(NOW + 60)
    status, problem = _call(deployed, "PUT", PAUSE, body=json.dumps({"until": until}))
    assert (status, problem["type"].rpartition(":")[2]) == (409, "not-declared")


def test_an_operator_can_stop_expecting_a_socket(deployed: Deployed) -> None:
    deployed.seed(business(virtual(), declared=settings()))
    before = _call(deployed, "GET", STATUS, **AS_OPERATOR)[1]
    assert before["needsAttention"] == "virtual-only"
    body = '{"expectsSocket": false}'
    status, after = _call(deployed, "PUT", SETTINGS, body=body, **AS_OPERATOR)
    assert (status, after["needsAttention"]) == (200, None)


def test_a_ticket_must_not_be_cached(deployed: Deployed) -> None:
    answer = deployed.invoke(rest.handler, rest_event("POST", TICKETS))
    assert answer["multiValueHeaders"]["Cache-Control"] == ["no-store"]
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]


def test_only_the_digest_of_a_ticket_is_stored(deployed: Deployed) -> None:
    status, answer = _call(deployed, "POST", TICKETS)
    assert status == 200
    assert answer["expiresAt"] > protocol.timestamp(NOW)
    (item,) = deployed.items()
    assert item.keys() == {"pk", "sk", "businessId", "userId", "ttl"}
    assert item["pk"]["S"].startswith("TICKET#")
    assert answer["ticket"] not in str(item)
    assert answer["ticket"] not in deployed.log.getvalue()


def test_a_message_reaches_every_device(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(business(real("c1"), real("c2"), declared=settings()))
    body = '{"order": [1, 2.5, null, "é"]}'
    status, answer = _push(deployed, body)
    assert status == 200
    assert (answer["reached"], answer["sent"], answer["gone"], answer["failed"]) == (True, 2, 0, 0)
    posts = [params for operation, params in deployed.calls if operation == "PostToConnection"]
    assert sorted(post["ConnectionId"] for post in posts) == ["c1", "c2"]
    message = {"type": "message", "id": answer["messageId"], "body": json.loads(body)}
    assert deployed.sent() == [message, message]
    metrics = json.loads(capsys.readouterr().out)
    assert (metrics["MessagesSent"], metrics["MessagesGone"]) == ([2], [0])


def test_a_message_that_reaches_nobody_says_so(deployed: Deployed) -> None:
    deployed.seed(business(virtual(), declared=settings()))
    status, answer = _push(deployed, "{}")
    assert (status, answer["reached"], answer["sent"]) == (200, False, 0)


@pytest.mark.parametrize("body", ['"text"', "7", "[1]", "true", "{}"])
def test_any_json_can_be_a_message(deployed: Deployed, body: str) -> None:
    deployed.seed(business(real("c1"), declared=settings()))
    assert _push(deployed, body)[0] == 200
    (message,) = deployed.sent()
    assert message["body"] == json.loads(body)


@pytest.mark.parametrize("body", [None, "", "no json", "NaN", "1e999", "null", "[" * 100_000])
def test_a_missing_or_invalid_message_is_refused(deployed: Deployed, body: str | None) -> None:
    assert _push(deployed, body)[0] == 400
    assert deployed.operations == []


def _nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("levels", [101, 500, 950])
def test_a_message_that_is_nested_too_deeply_is_refused(
    deployed: Deployed, levels: int, key: str | None
) -> None:
    status, problem = _push(deployed, _nested(levels), idempotency_key=key)
    assert (status, problem["detail"]) == (400, "body: must be nested at most 100 levels deep")
    assert deployed.operations == []


@pytest.mark.parametrize("key", [None, "k"])
def test_a_message_may_be_nested_100_levels_deep(deployed: Deployed, key: str | None) -> None:
    deployed.seed(business(real("c1"), declared=settings()))
    body = _nested(100)
    assert _push(deployed, body, idempotency_key=key)[0] == 200
    (message,) = deployed.sent()
    assert message["body"] == json.loads(body)


def test_a_message_that_is_too_large_for_a_socket_is_refused_with_the_limit(
    deployed: Deployed,
) -> None:
    body = json.dumps("x" * (rest.MAX_BODY - 10))
    status, problem = _push(deployed, body)
    assert status == 413
    assert str(rest.MAX_BODY) in problem["detail"]
    assert deployed.operations == []


def _let_the_first_call_time_out(deployed: Deployed) -> None:
    (record,) = [i for i in deployed.items() if i["pk"]["S"].startswith("IDEMPOTENCY#")]
    record["in_progress_expiration"] = {"N": "1"}
    deployed.client.put_item(TableName=deployed.table_name, Item=record)


class TestIdempotency:
    """A call that is repeated with its key gets the first answer and does nothing."""

    @pytest.fixture(autouse=True)
    def _device(self, deployed: Deployed) -> None:
        deployed.seed(business(real("c1"), declared=settings()))

    def test_a_repeated_call_gets_the_first_answer(self, deployed: Deployed) -> None:
        first = _push(deployed, idempotency_key="k")
        again = _push(deployed, idempotency_key="k")
        assert first[0] == 200
        assert again == first
        assert deployed.operations.count("PostToConnection") == 1

    def test_another_body_with_the_same_key_is_refused(self, deployed: Deployed) -> None:
        _push(deployed, idempotency_key="k")
        status, problem = _push(deployed, "[2]", idempotency_key="k")
        assert (status, problem["type"].rpartition(":")[2]) == (422, "idempotency-key-reused")
        assert deployed.operations.count("PostToConnection") == 1

    def test_a_call_that_failed_is_forgotten(
        self, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Table, "load", raising(Unavailable("the table did not answer")))
            failed, _ = _push(deployed, idempotency_key="k")
        again, _ = _push(deployed, idempotency_key="k")
        assert (failed, again) == (503, 200)

    def test_a_push_that_failed_for_every_socket_is_sent_again(
        self, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(deployed.context, "milliseconds_left", 10_000)  # too few to try
            status, failed = _push(deployed, idempotency_key="k")
        assert (status, failed["reached"], failed["failed"]) == (200, False, 1)
        status, sent = _push(deployed, idempotency_key="k")
        assert (status, sent["sent"], sent["messageId"]) == (200, 1, failed["messageId"])
        assert _push(deployed, idempotency_key="k") == (200, sent)
        assert [message["id"] for message in deployed.sent()] == [sent["messageId"]]

    @pytest.mark.parametrize(
        ("first", "second"),
        [(SocketAnswer.GONE, SocketAnswer.GONE), (SocketAnswer.OK, SocketAnswer.UNKNOWN)],
    )
    def test_a_push_that_was_delivered_or_could_not_be_is_remembered(
        self,
        deployed: Deployed,
        monkeypatch: pytest.MonkeyPatch,
        first: SocketAnswer,
        second: SocketAnswer,
    ) -> None:
        deployed.seed(business(real("c2")))
        answers = {"c1": first, "c2": second}
        with monkeypatch.context() as patch:
            patch.setattr(ManagementApi, "post", lambda _, connection, __: answers[connection])
            before = _push(deployed, idempotency_key="k")
        assert _push(deployed, idempotency_key="k") == before
        assert deployed.sent() == []

    def test_a_message_that_is_sent_again_has_the_same_id(
        self, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first call sent the message and then failed to write its record."""
        with monkeypatch.context() as patch:
            patch.setattr(DynamoDBPersistenceLayer, "_update_record", raising(TimeoutError()))
            assert _push(deployed, idempotency_key="k")[0] == 503
        assert _push(deployed, idempotency_key="k")[0] == 409
        _let_the_first_call_time_out(deployed)
        status, answer = _push(deployed, idempotency_key="k")
        assert status == 200
        assert [message["id"] for message in deployed.sent()] == [answer["messageId"]] * 2

    def test_a_message_id_belongs_to_one_business_caller_and_key(self, deployed: Deployed) -> None:
        def push(key: str | None, business_id: str = "b1", user_id: str = "u1") -> str:
            request = rest_event(
                "POST", MESSAGES, business_id=business_id, body="[1]", idempotency_key=key,
                **AS_BACKEND,
            )  # fmt: skip
            request["requestContext"]["authorizer"]["userId"] = user_id
            message_id = json.loads(deployed.invoke(rest.handler, request)["body"])["messageId"]
            assert re.fullmatch("[0-9a-f]{32}", message_id)
            return str(message_id)

        ids = [
            push("k"), push("l"), push("k", "b2"), push("k", user_id="u2"),
            push('k", "l'), push("k", user_id='u1", "k'), push(None), push(None),
        ]  # fmt: skip
        assert len(set(ids)) == len(ids)
        assert push("k") == ids[0]

    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(TimeoutError(), id="the table does not answer"),
            pytest.param(
                IdempotencyItemAlreadyExistsError(
                    old_data_record=DataRecord(
                        "k",
                        status="INPROGRESS",
                        expiry_timestamp=2**32,
                        in_progress_expiry_timestamp=1,
                    )
                ),
                id="the record times out while it is read",
            ),
        ],
    )
    def test_a_call_whose_record_cannot_be_written_gets_503(
        self, deployed: Deployed, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        monkeypatch.setattr(DynamoDBPersistenceLayer, "_put_record", raising(error))
        request = rest_event("POST", MESSAGES, body="[1]", idempotency_key="k", **AS_BACKEND)
        answer = deployed.invoke(rest.handler, request)
        assert answer["statusCode"] == 503
        assert json.loads(answer["body"])["type"].endswith(":unavailable")
        assert answer["multiValueHeaders"]["Retry-After"] == ["1"]
        assert "PostToConnection" not in deployed.operations

    def test_records_expire_and_the_cleanup_ignores_them(self, deployed: Deployed) -> None:
        _push(deployed, idempotency_key="k")
        (record,) = [i for i in deployed.items() if i["pk"]["S"].startswith("IDEMPOTENCY#")]
        assert int(record["ttl"]["N"]) > time.time() + 80_000
        assert [found.business_id for found in deployed.store.walk(0, 1)] == ["b1"]

    @pytest.mark.parametrize("other", ["Idempotency-Key", "idempotency-key"])
    def test_two_keys_in_one_request_are_refused(self, deployed: Deployed, other: str) -> None:
        request = rest_event("POST", MESSAGES, body="[1]", idempotency_key="k", **AS_BACKEND)
        request["multiValueHeaders"].setdefault(other, []).append("l")
        answer = deployed.invoke(rest.handler, request)
        assert answer["statusCode"] == 400
        (error,) = json.loads(answer["body"])["errors"]
        assert error["field"].lower() == "idempotency-key"
        assert error["problem"] == "must come at most once"
        assert deployed.operations == []

    @pytest.mark.parametrize("key", ["", "x" * 129])
    def test_a_bad_key_is_refused(self, deployed: Deployed, key: str) -> None:
        status, problem = _push(deployed, idempotency_key=key)
        assert status == 400
        assert "idempotency-key" in problem["errors"][0]["field"].lower()
        assert deployed.operations == []


def test_each_real_connection_shows_which_client_it_is(deployed: Deployed) -> None:
    deployed.seed(business(real("c1", user_agent="Till/4.2"), real("c2")))
    status, listed = _call(deployed, "GET", CONNECTIONS, **AS_OPERATOR)
    assert status == 200
    assert [c["userAgent"] for c in listed["real"]] == ["Till/4.2", None]


def test_an_operator_closes_one_connection(deployed: Deployed) -> None:
    deployed.seed(business(real("a/b="), real("c2"), declared=settings()))
    request = rest_event("DELETE", CONNECTION, connection_id="a%2Fb%3D", **AS_OPERATOR)
    answer = deployed.invoke(rest.handler, request)
    assert (answer["statusCode"], answer.get("body") or "") == (204, "")
    assert deployed.operations == ["Query", "DeleteConnection", "DeleteItem"]
    left = {item["sk"]["S"] for item in deployed.items()}
    assert left == {"BUSINESS", "CONNECTION#c2"}


@pytest.mark.parametrize(("connection_id", "expected"), [("nobody", 404), ("b#d", 400)])
def test_closing_an_unknown_connection_is_refused(
    deployed: Deployed, connection_id: str, expected: int
) -> None:
    status, _ = _call(deployed, "DELETE", CONNECTION, connection_id=connection_id, **AS_OPERATOR)
    assert status == expected


@pytest.mark.parametrize("body", [None, "", "{}", '{"dryRun": false}'])
def test_an_operator_cleans_up_one_business(deployed: Deployed, body: str | None) -> None:
    deployed.seed(business(real("c1", seen=700), virtual(left=-1), declared=settings()))
    status, report = _call(deployed, "POST", CLEANUP, body=body, **AS_OPERATOR)
    assert status == 200
    assert (report["silent"], report["expired"], report["dryRun"]) == (1, 1, False)
    assert report["recorded"] == 1
    assert [item["sk"]["S"] for item in deployed.items()] == ["BUSINESS", "TRANSITION"]


DUE = settings(episode=Episode(Attention.UNREACHABLE, NOW - 900))
"""Of a business that is to be reported."""


def test_a_cleanup_of_one_business_reports_its_need_for_attention(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(business(declared=DUE))
    _, report = _call(deployed, "POST", CLEANUP, **AS_OPERATOR)
    assert report["attentionEntered"] == 1
    attention, recorded = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (attention["AttentionEntered"], attention["businessId"]) == ([1], "b1")
    assert recorded["Transitions"] == [1]


def test_a_cleanup_of_one_business_reports_attention_before_a_defect_gets_500(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.seed(business(declared=DUE))
    monkeypatch.setattr(Table, "mark_episode", raising(RuntimeError("a defect")))
    assert _call(deployed, "POST", CLEANUP, **AS_OPERATOR)[0] == 500
    assert '"AttentionEntered"' in capsys.readouterr().out


def test_a_dry_run_of_one_business_changes_nothing(deployed: Deployed) -> None:
    deployed.seed(business(real("c1", seen=700), declared=settings()))
    before = deployed.items()
    _, report = _call(deployed, "POST", CLEANUP, body='{"dryRun": true}', **AS_OPERATOR)
    assert (report["silent"], report["dryRun"]) == (1, True)
    assert deployed.items() == before


@pytest.mark.parametrize(
    "body", ["null", " null ", "[]", '{"dryRun": 1}', '{"dryRun": null}', '{"dry_run": true}', "no"]
)
def test_a_bad_cleanup_is_refused(deployed: Deployed, body: str) -> None:
    assert _call(deployed, "POST", CLEANUP, body=body, **AS_OPERATOR)[0] == 400
    assert deployed.operations == []


def test_businesses_that_need_attention_are_listed_page_by_page(deployed: Deployed) -> None:
    for number in range(3):
        marked = settings(episode=Episode(Attention.UNREACHABLE, NOW - number))
        deployed.seed(business(declared=marked, business_id=BusinessId(f"b{number}")))
    query = {"attention": "unreachable", "limit": "2"}
    status, page = _call(deployed, "GET", BUSINESSES, query=query, **AS_OPERATOR)
    assert status == 200
    assert [entry["businessId"] for entry in page["businesses"]] == ["b2", "b1"]
    assert page["businesses"][0]["seconds"] == 2
    assert page["businesses"][0]["status"]["overallStatus"] == "UNREACHABLE"
    query["cursor"] = page["next"]
    _, page = _call(deployed, "GET", BUSINESSES, query=query, **AS_OPERATOR)
    assert [entry["businessId"] for entry in page["businesses"]] == ["b0"]
    assert page["next"] is None


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({}, "attention: is required"),
        ({"attention": "bored"}, "attention: must be 'virtual-only' or 'unreachable'"),
        ({"attention": " unreachable"}, "attention: must be 'virtual-only' or 'unreachable'"),
        ({"cursor": "x"}, "cursor: must be the `next` of an earlier answer, unchanged"),
        ({"Limit": "5"}, "Limit: is not a query parameter of this request"),
        ({"": "5"}, ": is not a query parameter of this request"),
        ({"limit": "0"}, "limit: must be at least 1"),
        ({"limit": "101"}, "limit: must be at most 100"),
        ({"limit": "9" * 5_000}, "limit: must be a smaller number"),
        *(
            ({"limit": limit}, "limit: must be a whole number")
            for limit in ("many", "", "+5", "-5", " 5", "5\n", "5.0", "05", "1_0", "٥")
        ),
    ],
)
def test_a_bad_list_request_is_refused_by_name(
    deployed: Deployed, query: dict[str, str], detail: str
) -> None:
    if query and "attention" not in query:
        query = {"attention": "unreachable", **query}
    status, problem = _call(deployed, "GET", BUSINESSES, query=query or None, **AS_OPERATOR)
    assert (status, problem["detail"]) == (400, detail)
    assert problem["errors"][0]["field"] == detail.partition(":")[0]
    assert deployed.operations == []


@pytest.mark.parametrize(
    ("name", "value"), [("attention", "unreachable"), ("limit", "5"), ("cursor", "x")]
)
def test_a_repeated_query_parameter_is_refused_by_name(
    deployed: Deployed, name: str, value: str
) -> None:
    query = {"attention": "unreachable", "limit": "5"}
    request = rest_event("GET", BUSINESSES, query=query, **AS_OPERATOR)
    request["multiValueQueryStringParameters"][name] = [value, value]
    answer = deployed.invoke(rest.handler, request)
    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["errors"]) == (
        400, [{"field": name, "problem": "must come at most once"}],
    )  # fmt: skip
    assert deployed.operations == []


@pytest.mark.parametrize(
    ("method", "resource"), [("GET", STATUS), ("POST", CLEANUP), ("GET", "/health")]
)
def test_an_unknown_query_parameter_is_refused_by_name(
    deployed: Deployed, method: str, resource: str
) -> None:
    status, problem = _call(deployed, method, resource, query={"dryRun": "true"}, **AS_OPERATOR)
    assert status == 400
    assert problem["errors"] == [
        {"field": "dryRun", "problem": "is not a query parameter of this request"}
    ]
    assert deployed.operations == []


def test_health_needs_no_token_and_calls_no_aws_service(deployed: Deployed) -> None:
    request = rest_event("GET", "/health")
    del request["requestContext"]["authorizer"]
    answer = deployed.invoke(rest.handler, request)
    assert json.loads(answer["body"]) == {"status": "ok", "environment": "test"}
    assert deployed.operations == []


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (None, "body"),
        ("", "body"),
        ("no json", "JSON"),
        ("[]", "body"),
        ("7", "body"),
        ("null", "body"),
        ("{}", "available"),
        ('{"available": "yes"}', "available"),
        ('{"available": 1}', "available"),
        ('{"available": null}', "available"),
        ('{"available": true, "until": 7}', "until"),
        ('{"\\ud800": true}', "body: must be valid Unicode"),
        ('[{"available": true}]', "body"),
        pytest.param('{"available": ' + "[" * 500 + "]" * 500 + "}", "levels deep", id="deep"),
        pytest.param("[" * 100_000, "levels deep", id="deeper"),
        ("9" * 5_000, "too large for a double"),
        ("1e999", "too large"),
        ("NaN", "JSON"),
    ],
)
def test_a_bad_body_is_refused_by_name_and_nothing_is_written(
    deployed: Deployed, body: str | None, names: str
) -> None:
    answer = deployed.invoke(rest.handler, rest_event("PUT", AVAILABILITY, body=body))
    problem = json.loads(answer["body"])
    assert answer["statusCode"] == problem["status"] == 400
    assert _content_type(answer) == "application/problem+json"
    assert problem["type"].endswith(":invalid-request")
    assert names in problem["detail"]
    assert deployed.operations == []


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "application/x-www-form-urlencoded"}, {}, None]
)
def test_a_body_is_read_as_json_whatever_its_content_type(
    deployed: Deployed, headers: dict[str, str] | None
) -> None:
    request = rest_event("PUT", AVAILABILITY, body='{"available": true}')
    assert deployed.invoke(rest.handler, {**request, "headers": headers})["statusCode"] == 200


@pytest.mark.parametrize(
    ("business_id", "resource"),
    [
        *((each, STATUS) for each in ("a#b", "a%23b", "-a", "é", "a b", "x" * 65, "a/b")),
        *(("a#b", each) for each in (ONLINE, CONNECTIONS)),
    ],
)
def test_an_invalid_business_id_gets_400(
    deployed: Deployed, business_id: str, resource: str
) -> None:
    status, problem = _call(deployed, "GET", resource, business_id=business_id)
    assert status == 400
    assert problem["errors"][0]["field"] == "businessId"
    assert deployed.operations == []


def test_a_percent_encoded_business_id_is_decoded(deployed: Deployed) -> None:
    deployed.seed(business(declared=settings(), business_id=BusinessId("a@b")))
    status, body = _call(deployed, "GET", STATUS, business_id="a%40b", businesses=("a@b",))
    assert (status, body["businessId"], body["overallStatus"]) == (200, "a@b", "UNREACHABLE")


@pytest.mark.parametrize(
    ("method", "resource", "allow"),
    [
        ("DELETE", STATUS, "GET"),
        ("POST", AVAILABILITY, "PUT"),
        ("GET", AVAILABILITY, "PUT"),
        ("PATCH", "/health", "GET"),
    ],
)
def test_a_wrong_method_gets_405_with_the_allowed_methods(
    deployed: Deployed, method: str, resource: str, allow: str
) -> None:
    answer = deployed.invoke(rest.handler, rest_event(method, resource))
    assert answer["statusCode"] == 405
    assert answer["multiValueHeaders"]["Allow"] == [allow]
    assert json.loads(answer["body"])["type"].endswith(":method-not-allowed")


def test_an_unknown_resource_gets_404(deployed: Deployed) -> None:
    assert _call(deployed, "GET", "/businesses/{businessId}/weather")[0] == 404


def test_a_body_that_is_too_large_gets_413_with_the_limit(deployed: Deployed) -> None:
    body = json.dumps({"available": True, "padding": "x" * 200_000})
    status, problem = _call(deployed, "PUT", AVAILABILITY, body=body)
    assert status == 413
    assert "131072" in problem["detail"]
    assert deployed.operations == []


@pytest.mark.parametrize(
    ("method", "resource", "roles", "expected"),
    [
        ("GET", STATUS, (), 403),
        ("GET", STATUS, ("backend",), 403),
        ("GET", STATUS, ("operator",), 200),
        ("GET", CONNECTIONS, (), 403),
        ("GET", CONNECTIONS, ("operator",), 200),
        ("PUT", AVAILABILITY, (), 403),
        ("PUT", AVAILABILITY, ("operator", "backend"), 403),
        ("GET", ONLINE, (), 200),
        ("PUT", PAUSE, (), 403),
        ("DELETE", PAUSE, (), 403),
        ("DELETE", PAUSE, ("operator",), 409),
        ("DELETE", PAUSE, ("backend",), 409),
        ("GET", OPENING_HOURS, (), 403),
        ("GET", OPENING_HOURS, ("backend",), 403),
        ("GET", OPENING_HOURS, ("operator",), 404),
        ("PUT", OPENING_HOURS, (), 403),
        ("PUT", OPENING_HOURS, ("backend",), 403),
        ("PUT", OPENING_HOURS, ("operator",), 409),
        ("DELETE", OPENING_HOURS, (), 403),
        ("DELETE", OPENING_HOURS, ("backend",), 403),
        ("DELETE", OPENING_HOURS, ("operator",), 409),
        ("PUT", SETTINGS, ("backend",), 403),
        ("POST", TICKETS, ("operator", "backend"), 403),
        ("POST", MESSAGES, (), 403),
        ("POST", MESSAGES, ("backend",), 200),
        ("POST", MESSAGES, ("operator",), 200),
        ("DELETE", CONNECTION, ("backend",), 403),
        ("POST", CLEANUP, ("backend",), 403),
        ("GET", BUSINESSES, ("backend",), 403),
    ],
)
def test_a_caller_who_is_not_a_member_needs_a_role(
    deployed: Deployed, method: str, resource: str, roles: tuple[str, ...], expected: int
) -> None:
    bodies = {
        AVAILABILITY: '{"available": true}',
        SETTINGS: '{"expectsSocket": true}',
        OPENING_HOURS: '{"timeZone": "UTC"}',
        PAUSE: '{"until": "2027-01-15T08:20:00Z"}',
    }
    body = bodies.get(resource, "{}" if method == "POST" else None)
    query = {"attention": "unreachable"} if resource == BUSINESSES else None
    status, _ = _call(
        deployed, method, resource, businesses=("b2",), roles=roles, body=body, query=query
    )
    assert status == expected
    if expected == 403:
        assert deployed.operations == []


def test_a_caller_with_too_many_businesses_is_told_the_limit(deployed: Deployed) -> None:
    def call(method: str, resource: str, *roles: str) -> tuple[int, str]:
        request = rest_event(method, resource, businesses=(), roles=roles)
        request["requestContext"]["authorizer"]["businessesLeftOut"] = "900 731"
        answer = deployed.invoke(rest.handler, request)
        return answer["statusCode"], json.loads(answer["body"]).get("detail", "")

    status, detail = call("GET", STATUS)
    assert status == 403
    assert "names 900 businesses" in detail
    assert "at most 731" in detail
    assert call("POST", TICKETS, "operator") == (403, detail)
    assert call("GET", STATUS, "operator") == (200, "")
    assert call("GET", ONLINE) == (200, "")
    status, detail = call("POST", CLEANUP)
    assert status == 403
    assert "900" not in detail


def test_a_client_that_races_with_itself_is_told_to_slow_down(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 would count as a failure of ours, and page."""
    monkeypatch.setattr(Table, "write_settings", raising(TooManyCalls("at the same time")))
    request = rest_event("PUT", AVAILABILITY, body='{"available": true}')
    answer = deployed.invoke(rest.handler, request)
    assert answer["statusCode"] == 429
    assert json.loads(answer["body"])["type"].endswith(":too-many-requests")
    assert answer["multiValueHeaders"]["Retry-After"] == ["1"]


def test_an_unavailable_table_gets_503_with_retry_after(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Table, "load", raising(Unavailable("the table did not answer")))
    answer = deployed.invoke(rest.handler, rest_event("GET", STATUS))
    assert answer["statusCode"] == 503
    assert answer["multiValueHeaders"]["Retry-After"] == ["1"]
    assert capsys.readouterr().out == ""  # counted as a defect, it would roll a new version back


def test_a_defect_gets_500_and_its_text_is_only_logged(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Table, "load", raising(RuntimeError("the secret inside")))
    answer = deployed.invoke(rest.handler, rest_event("GET", STATUS))
    assert answer["statusCode"] == 500
    assert "secret" not in answer["body"]
    assert _content_type(answer) == "application/problem+json"
    assert "the secret inside" in deployed.log_lines[-1]["exception"]


@pytest.mark.parametrize("error", [RuntimeError, DomainError])  # the latter without a status
def test_a_defect_is_counted_for_the_version_that_has_it(
    deployed: Deployed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[Exception],
) -> None:
    monkeypatch.setattr(Table, "load", raising(error("a defect")))
    assert deployed.invoke(rest.handler, rest_event("GET", STATUS))["statusCode"] == 500
    ((namespace, datum),) = metric_data(capsys.readouterr().out)
    assert (namespace, datum["MetricName"]) == ("BusinessConnections", "InternalErrors")
    assert datum["Values"] == [1]
    assert {each["Name"]: each["Value"] for each in datum["Dimensions"]} == {
        "environment": "test",
        "version": deployed.context.function_version,
    }


@pytest.mark.parametrize("method", ["get", "Get"])
def test_no_spelling_of_the_method_gets_around_the_check_of_rights(
    deployed: Deployed, method: str
) -> None:
    """Powertools finds the route whatever the case is."""
    deployed.seed(business(declared=settings()))
    stranger = rest_event(method, STATUS, businesses=())
    assert deployed.invoke(rest.handler, stranger)["statusCode"] == 403


SECRET: Final = "Zaphod"
"""A text of a client that no log may have."""

_LATER: Final = protocol.timestamp(NOW + 60)


@pytest.mark.parametrize(
    ("request_", "logged"),
    [
        (("GET", STATUS, {"query": {SECRET: "1"}}), ("invalid-request", "other")),
        (
            ("GET", "/businesses/{businessId}/history", {"query": {"cursor": SECRET}}),
            ("invalid-request", "cursor"),
        ),
        (
            ("GET", "/businesses/{businessId}/history", {"query": {"from": SECRET}}),
            ("invalid-request", "from"),
        ),
        (
            ("GET", BUSINESSES, {"query": {"attention": SECRET}, **AS_OPERATOR}),
            ("invalid-request", "attention"),
        ),
        (
            ("PUT", AVAILABILITY, {"body": f'{{"{SECRET}": 1}}'}),
            ("invalid-request", "available other"),
        ),
        (
            ("PUT", AVAILABILITY, {"body": f'{{"available": "{SECRET}"}}'}),
            ("invalid-request", "available"),
        ),
        (("PUT", AVAILABILITY, {"body": SECRET}), ("invalid-request", "body")),
        (
            ("PUT", AVAILABILITY, {"body": f'{{"{SECRET}": 1, "{SECRET}": 2}}'}),
            ("invalid-request", "body"),
        ),
        (
            ("POST", BATCH, {"body": f'{{"businessIds": ["#{SECRET}"]}}'}),
            ("invalid-request", "businessIds"),
        ),
        (
            ("PUT", PAUSE, {"body": f'{{"until": "{_LATER}", "reason": ["{SECRET}"]}}'}),
            ("invalid-request", "reason"),
        ),
        (("PUT", PAUSE, {"body": f'{{"until": "{SECRET}"}}'}), ("invalid-request", "until")),
        (("PUT", PAUSE, {"body": f'{{"until": "{_LATER}"}}'}), ("forbidden", None)),
        (("DELETE", PAUSE, {}), ("forbidden", None)),
        (("PUT", OPENING_HOURS, {"body": f'{{"{SECRET}": 1}}'}), ("invalid-request", "other")),
        (
            ("PUT", OPENING_HOURS, {"body": f'{{"timeZone": "{SECRET}"}}'}),
            ("invalid-request", "timeZone"),
        ),
        (
            (
                "PUT",
                OPENING_HOURS,
                {"body": f'{{"timeZone": "UTC", "exceptions": {{"{SECRET}": 1}}}}'},
            ),
            ("invalid-request", "exceptions"),
        ),
        (
            ("PUT", OPENING_HOURS, {"body": f'{{"timeZone": "UTC", "weekly": {{"{SECRET}": 1}}}}'}),
            ("invalid-request", "weekly"),
        ),
        (
            ("POST", MESSAGES, {"body": "1", "idempotency_key": SECRET * 99, **AS_BACKEND}),
            ("invalid-request", "idempotency-key"),
        ),
        (("GET", STATUS, {"business_id": f"#{SECRET}"}), ("invalid-request", "businessId")),
        (
            ("DELETE", CONNECTION, {"connection_id": f"#{SECRET}", **AS_OPERATOR}),
            ("invalid-request", "connectionId"),
        ),
    ],
)
def test_a_refusal_is_logged_with_its_kind_and_field_and_no_text_of_anybody(
    deployed: Deployed, request_: tuple[str, str, dict[str, Any]], logged: tuple[str, str | None]
) -> None:
    paused = settings(pause=Pause(NOW + 60, SECRET, by_operator=True))
    deployed.seed(business(declared=paused))
    method, path, options = request_
    assert _call(deployed, method, path, **options)[0] >= 400
    (line,) = [each for each in deployed.log_lines if each["message"] == "refused"]
    assert (line["problem"], line.get("field")) == logged
    assert SECRET not in deployed.log.getvalue()
