"""Bad requests get a problem document with the right status, and change nothing.

What is wrong with each field is tabled in `tests/unit/handlers`, and who may do what in
`tests/unit/domain`: here, each route has one case of either.
"""

from typing import Any

import pytest

from tests.e2e.harness import Business, System, assert_problem

AVAILABLE = {"available": True}


@pytest.mark.parametrize(
    ("role", "method", "path", "request_body", "field"),
    [
        (None, "PUT", "/businesses/{id}/availability", {"body": {"available": 1}}, "available"),
        (None, "PUT", "/businesses/{id}/availability", {"raw": b"\xff\xfe"}, "body"),
        (None, "PUT", "/businesses/{id}/pause", {"body": {"until": "in 20 minutes"}}, "until"),
        (None, "PUT", "/businesses/{id}/opening-hours", {"body": {"timeZone": "UTC", "weekly": {
            "mo": [["9:00", "14:00"]]}}}, "weekly.mo.0"),
        (None, "PUT", "/businesses/a%23b/availability", {"body": AVAILABLE}, "businessId"),
        (None, "GET", "/businesses/{id}/history?from=yesterday", {}, "from"),
        (None, "POST", "/businesses/online", {"body": {"businessIds": ["b1", 7]}}, "businessIds.1"),
        ("backend", "POST", "/businesses/{id}/messages", {"raw": b"{not json"}, "body"),
        ("operator", "PUT", "/businesses/{id}/settings", {"body": {"expectsSocket": 0}},
            "expectsSocket"),
        ("operator", "POST", "/businesses/{id}/cleanup", {"body": {"dryRun": "yes"}}, "dryRun"),
        ("operator", "DELETE", "/businesses/{id}/connections/a%23b", {}, "connectionId"),
        ("operator", "GET", "/businesses?attention=none", {}, "attention"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_by_the_name_of_its_field(
    system: System,
    business: Business,
    role: str | None,
    method: str,
    path: str,
    request_body: dict[str, Any],
    field: str,
) -> None:
    business.set_available(False)
    before = business.items()
    token = system.token(role) if role else business.token
    answer = system.call(method, path.format(id=business.id), token=token, **request_body)
    assert_problem(answer, 400, "invalid-request")
    assert [error["field"] for error in answer.body["errors"]] == [field]
    assert business.items() == before


@pytest.mark.parametrize(
    ("role", "method", "resource", "body"),
    [
        ("member", "PUT", "settings", {"expectsSocket": False}),
        ("member", "DELETE", "connections/any", None),
        ("member", "POST", "cleanup", None),
        ("member", "POST", "messages", "hello"),
        ("backend", "GET", "opening-hours", None),
        ("backend", "PUT", "opening-hours", {"timeZone": "UTC"}),
        ("backend", "DELETE", "opening-hours", None),
        ("backend", "GET", "history", None),
        ("operator", "PUT", "availability", AVAILABLE),
        ("operator", "POST", "tickets", None),
        ("stranger", "GET", "status", None),
        ("stranger", "GET", "connections", None),
        ("stranger", "PUT", "pause", {"until": "2099-01-01T00:00:00Z"}),
        ("stranger", "DELETE", "pause", None),
    ],
)
def test_who_may_not_do_something_is_refused(
    system: System, business: Business, role: str, method: str, resource: str, body: Any
) -> None:
    tokens = {"member": lambda: business.token, "stranger": system.token}
    token = tokens.get(role, lambda: system.token(role))()
    assert_problem(business.call(method, resource, token=token, body=body), 403, "forbidden")
    assert business.items() == []


def test_a_body_of_200_kb_is_refused(business: Business) -> None:
    padded = b'{"available": true' + b" " * 200_000 + b"}"
    answer = business.call("PUT", "availability", raw=padded)
    assert_problem(answer, 413, "payload-too-large")
    assert business.items() == []


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_method_that_a_path_does_not_have_is_refused(business: Business, method: str) -> None:
    answer = business.call(method, "availability", body=AVAILABLE)
    assert_problem(answer, 405, "method-not-allowed")
    assert business.items() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/weather"), ("POST", "/businesses/b1/weather"), ("GET", "/health/more")],
)
def test_an_unknown_path_is_not_found_with_and_without_a_token(
    system: System, business: Business, method: str, path: str
) -> None:
    raw = b'{"statusCode": 200}' if method == "POST" else None
    for token in (business.token, None):
        for content_type in ("application/json", "text/plain"):
            headers = {"Content-Type": content_type}
            answer = system.call(method, path, token=token, raw=raw, headers=headers)
            assert_problem(answer, 404, "not-found")


def test_a_request_without_a_valid_token_is_refused(business: Business, system: System) -> None:
    path = f"/businesses/{business.id}/availability"
    assert_problem(system.call("PUT", path, body=AVAILABLE), 401, "unauthorized")
    answer = system.call("PUT", path, token="nonsense", body=AVAILABLE)
    assert answer.status in {401, 403}, answer
    assert business.items() == []


def test_health_needs_no_token(system: System) -> None:
    answer = system.call("GET", "/health")
    assert (answer.status, answer.body["status"]) == (200, "ok")
