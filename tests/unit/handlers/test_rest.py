"""The REST function: what it asks of AWS, and what it answers to good and to bad requests."""

import json
from typing import Any

import pytest

from lambdas import bootstrap
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.handlers import rest
from tests.builders import business, real, settings, virtual
from tests.unit.handlers.conftest import Context, Deployed

STATUS = "/businesses/{businessId}/status"
ONLINE = "/businesses/{businessId}/online"
AVAILABILITY = "/businesses/{businessId}/availability"
CONNECTIONS = "/businesses/{businessId}/connections"


def event(
    method: str,
    resource: str,
    *,
    business_id: str = "b1",
    body: str | None = None,
    businesses: tuple[str, ...] = ("b1",),
    roles: tuple[str, ...] = (),
) -> dict[str, Any]:
    return {
        "httpMethod": method,
        "resource": resource,
        "path": resource.replace("{businessId}", business_id),
        "pathParameters": {"businessId": business_id} if "{" in resource else None,
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "body": body,
        "isBase64Encoded": False,
        "requestContext": {
            "requestId": "r1",
            "stage": "test",
            "authorizer": {
                "userId": "u1",
                "businesses": json.dumps(businesses),
                "roles": json.dumps(roles),
            },
        },
    }


def _call(context: Context, *args: Any, **kwargs: Any) -> tuple[int, dict[str, Any]]:
    answer = rest.handler(event(*args, **kwargs), context)
    return answer["statusCode"], json.loads(answer["body"])


def _content_type(answer: dict[str, Any]) -> str:
    (value,) = answer["multiValueHeaders"]["Content-Type"]
    return str(value)


def test_status_costs_one_consistent_query(deployed: Deployed, context: Context) -> None:
    now = bootstrap.now()
    deployed.seed(business(real("c1", now=now), virtual(now=now), declared=settings()))
    status, body = _call(context, "GET", STATUS)
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


def test_online_costs_one_query_of_the_cheap_kind(deployed: Deployed, context: Context) -> None:
    deployed.seed(business(virtual(now=bootstrap.now()), declared=settings()))
    status, body = _call(context, "GET", ONLINE, businesses=())
    assert deployed.operations == ["Query"]
    assert deployed.calls[0][1]["ConsistentRead"] is False
    assert (status, body["online"]) == (200, True)


def test_a_business_that_nobody_declared_is_unknown_and_no_error(
    deployed: Deployed, context: Context
) -> None:
    assert _call(context, "GET", ONLINE)[1]["online"] is None
    status, body = _call(context, "GET", STATUS)
    assert (status, body["overallStatus"], body["online"]) == (200, "UNKNOWN", None)


def test_availability_on_and_off(deployed: Deployed, context: Context) -> None:
    status, body = _call(context, "PUT", AVAILABILITY, body='{"available": true}')
    assert (status, body["overallStatus"]) == (200, "VIRTUAL_ONLY")
    assert body["leaseUntil"] > body["asOf"]
    assert deployed.operations == ["Query", "TransactWriteItems"]
    status, body = _call(context, "PUT", AVAILABILITY, body='{"available": false}')
    assert (status, body["overallStatus"]) == (200, "OFFLINE")
    assert (body["leaseUntil"], body["socketsRemaining"]) == (None, 0)
    assert [item["sk"]["S"] for item in deployed.items()] == ["BUSINESS"]


def test_connections_are_listed_each_type_for_itself(deployed: Deployed, context: Context) -> None:
    now = bootstrap.now()
    deployed.seed(
        business(
            real("c1", now=now), real("c2", now=now, seen=700), virtual(now=now),
            declared=settings(),
        )
    )  # fmt: skip
    _, body = _call(context, "GET", CONNECTIONS)
    assert [(c["connectionId"], c["active"]) for c in body["real"]] == [("c1", True), ("c2", False)]
    assert [(c["userId"], c["active"]) for c in body["virtual"]] == [("u1", True)]


def test_health_is_open_and_asks_nobody(deployed: Deployed, context: Context) -> None:
    request = event("GET", "/health")
    del request["requestContext"]["authorizer"]
    answer = rest.handler(request, context)
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
    ],
)
def test_a_bad_body_is_refused_by_name_and_nothing_is_written(
    deployed: Deployed, context: Context, body: str | None, names: str
) -> None:
    answer = rest.handler(event("PUT", AVAILABILITY, body=body), context)
    problem = json.loads(answer["body"])
    assert answer["statusCode"] == problem["status"] == 400
    assert _content_type(answer) == "application/problem+json"
    assert problem["type"].endswith(":invalid-request")
    assert names in problem["detail"]
    assert deployed.operations == []


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "application/x-www-form-urlencoded"}, {}, None]
)
def test_a_body_is_json_whatever_its_header_says(
    deployed: Deployed, context: Context, headers: dict[str, str] | None
) -> None:
    request = event("PUT", AVAILABILITY, body='{"available": true}')
    assert rest.handler({**request, "headers": headers}, context)["statusCode"] == 200


@pytest.mark.parametrize("business_id", ["a#b", "a%23b", "-a", "é", "a b", "x" * 65, "a/b"])
@pytest.mark.parametrize("resource", [STATUS, ONLINE, AVAILABILITY, CONNECTIONS])
def test_what_no_business_id_is_gets_400_everywhere(
    deployed: Deployed, context: Context, business_id: str, resource: str
) -> None:
    method, body = ("PUT", '{"available": true}') if resource == AVAILABILITY else ("GET", None)
    status, problem = _call(context, method, resource, business_id=business_id, body=body)
    assert status == 400
    assert problem["errors"][0]["field"] == "businessId"
    assert deployed.operations == []


def test_a_percent_encoded_business_id_is_that_business(
    deployed: Deployed, context: Context
) -> None:
    deployed.seed(business(declared=settings(), business_id=BusinessId("a@b")))
    status, body = _call(context, "GET", STATUS, business_id="a%40b", businesses=("a@b",))
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
def test_a_wrong_method_gets_405_and_what_would_be_right(
    deployed: Deployed, context: Context, method: str, resource: str, allow: str
) -> None:
    answer = rest.handler(event(method, resource), context)
    assert answer["statusCode"] == 405
    assert answer["multiValueHeaders"]["Allow"] == [allow]
    assert json.loads(answer["body"])["type"].endswith(":method-not-allowed")


def test_a_resource_that_is_not_there_gets_404(deployed: Deployed, context: Context) -> None:
    assert _call(context, "GET", "/businesses/{businessId}/weather")[0] == 404


def test_a_body_that_is_too_large_gets_413_with_the_limit(
    deployed: Deployed, context: Context
) -> None:
    body = json.dumps({"available": True, "padding": "x" * 200_000})
    status, problem = _call(context, "PUT", AVAILABILITY, body=body)
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
    ],
)
def test_who_is_no_member_of_the_business(
    deployed: Deployed,
    context: Context,
    method: str,
    resource: str,
    roles: tuple[str, ...],
    expected: int,
) -> None:
    body = '{"available": true}' if method == "PUT" else None
    status, _ = _call(context, method, resource, businesses=("b2",), roles=roles, body=body)
    assert status == expected
    if expected == 403:
        assert deployed.operations == []


def test_a_table_that_does_not_answer_gets_503_and_when_to_try_again(
    deployed: Deployed, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Unavailable("the table did not answer")

    monkeypatch.setattr("lambdas.adapters.table.Table.load", fail)
    answer = rest.handler(event("GET", STATUS), context)
    assert answer["statusCode"] == 503
    assert answer["multiValueHeaders"]["Retry-After"] == ["1"]


def test_a_defect_gets_500_and_its_text_goes_to_the_log_alone(
    deployed: Deployed,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr("lambdas.adapters.table.Table.load", fail)
    answer = rest.handler(event("GET", STATUS), context)
    assert answer["statusCode"] == 500
    assert "secret" not in answer["body"]
    assert _content_type(answer) == "application/problem+json"
    assert "the secret inside" in deployed.log_lines[-1]["exception"]
