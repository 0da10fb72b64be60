"""Bad requests get a problem document with the right status, and change nothing."""

import json
from typing import Any

import pytest
import urllib3

from local.rest import Answer, call
from local.token import access_token
from tests.e2e.harness import Business, System


def assert_problem(answer: Answer, status: int) -> None:
    assert answer.status == status, answer
    assert answer.content_type == "application/problem+json", answer
    assert answer.body["status"] == status
    assert answer.body["title"]
    assert answer.body["type"].startswith("urn:problem-type:business-connections:")


@pytest.mark.parametrize(
    "request_body",
    [
        pytest.param({"raw": b"{not json"}, id="not JSON"),
        pytest.param({"raw": b""}, id="empty"),
        pytest.param({"raw": b"\xff\xfe"}, id="not UTF-8"),
        pytest.param({"body": {"available": "yes"}}, id="text instead of true"),
        pytest.param({"body": {"available": 1}}, id="number instead of true"),
        pytest.param({"body": {"available": None}}, id="null instead of true"),
        pytest.param({"body": {}}, id="missing field"),
        pytest.param({"body": {"available": True, "until": 5}}, id="unknown field"),
        pytest.param({"body": [True]}, id="not an object"),
    ],
)
def test_a_wrong_body_is_refused(business: Business, request_body: dict[str, Any]) -> None:
    assert_problem(business.call("PUT", "availability", **request_body), 400)
    assert business.items() == []


def test_a_body_of_200_kb_is_refused(business: Business) -> None:
    padded = b'{"available": true' + b" " * 200_000 + b"}"
    assert_problem(business.call("PUT", "availability", raw=padded), 413)
    assert business.items() == []


@pytest.mark.parametrize("bad_id", ["a%23b", "a%20b", "%2Ea", "b" * 65])
def test_an_invalid_business_id_is_refused(system: System, bad_id: str) -> None:
    token = access_token(system.endpoints, user="e2e-bad-id", businesses=["a", "a#b"])
    url = f"{system.endpoints.restUrl}/businesses/{bad_id}/availability"
    assert_problem(call("PUT", url, token=token, body={"available": True}), 400)
    scanned = system.client("dynamodb").scan(
        TableName=system.endpoints.tableName,
        FilterExpression="contains(pk, :id)",
        ExpressionAttributeValues={":id": {"S": "a#b"}},
    )
    assert scanned["Count"] == 0


@pytest.mark.parametrize(
    ("method", "resource"),
    [
        ("DELETE", "status"),
        ("POST", "status"),
        ("GET", "availability"),
        ("PATCH", "availability"),
        ("PUT", "connections"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_refused(
    business: Business, method: str, resource: str
) -> None:
    answer = business.call(method, resource, body={"available": True})
    assert_problem(answer, 405)
    assert business.items() == []


@pytest.mark.parametrize("with_token", [True, False], ids=["token", "no token"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/"),
        ("GET", "/weather"),
        ("POST", "/weather/in/berlin"),
        ("GET", "/businesses/b1"),
        ("PUT", "/businesses/b1/weather"),
        ("GET", "/businesses/b1/status/more"),
        ("GET", "/health/more"),
    ],
)
def test_an_unknown_path_is_not_found(
    system: System, business: Business, method: str, path: str, with_token: bool
) -> None:
    token = business.token if with_token else None
    url = f"{system.endpoints.restUrl}{path}"
    body = {"statusCode": 200} if method != "GET" else None
    assert_problem(call(method, url, token=token, body=body), 404)


def test_an_unknown_path_is_not_found_whatever_the_type_of_the_body(
    system: System, business: Business
) -> None:
    answer = urllib3.request(
        "POST",
        f"{system.endpoints.restUrl}/weather",
        headers={"Authorization": f"Bearer {business.token}", "Content-Type": "text/plain"},
        body=b'{"statusCode": 200}',
        retries=False,
    )
    assert answer.status == 404
    assert json.loads(answer.data)["type"].endswith(":not-found")


def test_a_request_without_a_token_is_refused(system: System, business: Business) -> None:
    url = f"{system.endpoints.restUrl}/businesses/{business.id}/availability"
    assert_problem(call("PUT", url, body={"available": True}), 401)
    assert business.items() == []


def test_a_request_with_an_invalid_token_is_refused(business: Business) -> None:
    answer = business.call("PUT", "availability", token="nonsense", body={"available": True})
    assert answer.status in {401, 403}, answer
    assert business.items() == []


@pytest.mark.parametrize(
    ("method", "resource", "roles"),
    [
        ("GET", "status", []),
        ("GET", "connections", []),
        ("PUT", "availability", []),
        ("PUT", "availability", ["operator"]),
    ],
)
def test_acting_for_another_business_is_forbidden(
    system: System, business: Business, method: str, resource: str, roles: list[str]
) -> None:
    foreign = access_token(
        system.endpoints, user="e2e-foreign", businesses=["e2e-foreign"], roles=roles
    )
    body = {"available": True} if method == "PUT" else None
    assert_problem(business.call(method, resource, token=foreign, body=body), 403)
    assert business.items() == []


def test_an_operator_may_look_at_any_business(system: System, business: Business) -> None:
    operator = access_token(system.endpoints, user="e2e-operator", roles=["operator"])
    assert business.call("GET", "status", token=operator).status == 200
    assert business.call("GET", "connections", token=operator).status == 200


def test_anybody_with_a_token_may_ask_whether_a_business_is_online(
    system: System, business: Business
) -> None:
    stranger = access_token(system.endpoints, user="e2e-stranger")
    business.set_available(True)
    answer = business.call("GET", "online", token=stranger)
    assert (answer.status, answer.body["online"]) == (200, True)


def test_health_needs_no_token(system: System) -> None:
    answer = call("GET", f"{system.endpoints.restUrl}/health")
    assert (answer.status, answer.body["status"]) == (200, "ok")
