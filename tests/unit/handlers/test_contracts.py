"""The functions accept and answer what the contracts say."""

import json
from typing import Any

import pytest

from contracts import asyncapi, events, openapi
from lambdas import protocol
from lambdas.adapters.items import transition_item
from lambdas.domain.model import Attention, Cause, OverallStatus
from lambdas.domain.status import ReasonCode
from lambdas.domain.transitions import Transition
from lambdas.handlers import publisher, rest, websocket
from tests.builders import B1, NOW, OPEN, U1, business, real, settings, transition, virtual
from tests.events import DEVICE, rest_event, socket_event
from tests.json_schema import component, problems
from tests.unit.handlers.conftest import Deployed

REST = openapi.document()
SOCKET = asyncapi.document()
EVENTS = events.document()
OPERATIONS = [
    (path, method, operation)
    for path, methods in REST["paths"].items()
    for method, operation in methods.items()
]
WITH_A_BODY = [
    (path, method, operation)
    for path, method, operation in OPERATIONS
    if "requestBody" in operation
]


def _name(parameter: Any) -> str:
    return str(parameter["operationId"]) if isinstance(parameter, dict) else ""


QUERY = {"getBusinesses": {"attention": "unreachable", "limit": "1"}}


def _reachable_business(deployed: Deployed) -> None:
    connections = real(DEVICE), virtual()
    deployed.seed(business(*connections, declared=settings(opening_hours=OPEN)))


def _call(
    deployed: Deployed, path: str, method: str, body: str | None, operation: dict[str, Any]
) -> Any:
    request = rest_event(
        method.upper(),
        path,
        connection_id=DEVICE.replace("=", "%3D"),
        body=body,
        query=QUERY.get(operation["operationId"]),
        roles=("operator",),
    )
    return deployed.invoke(rest.handler, request)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=_name)
def test_the_example_request_of_the_contract_gets_the_response_of_the_contract(
    deployed: Deployed, path: str, method: str, operation: dict[str, Any]
) -> None:
    _reachable_business(deployed)
    assert deployed.service.recorder is not None
    assert deployed.service.recorder.record(B1), "the history has a transition"
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    example = content.get("example")
    if operation["operationId"] == "putPause":
        example = {**example, "until": protocol.timestamp(NOW + 60)}
    body = None if example is None else json.dumps(example)
    answer = _call(deployed, path, method, body, operation)
    good = operation["responses"].get(str(answer["statusCode"]))
    assert answer["statusCode"] < 300, answer
    assert good is not None, answer
    if "content" in good:
        schema = good["content"]["application/json"]["schema"]
        assert problems(REST, schema, json.loads(answer["body"])) == []
    else:
        assert not answer.get("body")


@pytest.mark.parametrize(("path", "method", "operation"), WITH_A_BODY, ids=_name)
def test_a_request_that_the_contract_forbids_gets_a_problem_of_the_contract(
    deployed: Deployed, path: str, method: str, operation: dict[str, Any]
) -> None:
    takes_any_json = operation["operationId"] == "postMessage"
    body = "null" if takes_any_json else '{"surprise": 1}'
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert problems(REST, schema, json.loads(body))
    answer = _call(deployed, path, method, body, operation)
    problem = component(REST, operation["responses"][str(answer["statusCode"])]["$ref"])
    (content,) = problem["content"].values()
    assert problems(REST, content["schema"], json.loads(answer["body"])) == []
    assert answer["statusCode"] == 400
    assert deployed.operations == []


CLIENT_MESSAGES: list[Any] = [
    {"action": "ping"},
    {"action": "ping", "id": None},
    {"action": "ping", "id": ""},
    {"action": "ping", "id": "x" * 128},
    {"action": "ping", "id": "é" * 128},
    {"action": "ping", "id": "x" * 129},
    {"action": "ping", "id": 7},
    {"action": "ping", "id": ["1"]},
    {"action": "ping", "extra": 1},
    {"action": "ping", "id": "1", "businessId": "b1"},
]


@pytest.mark.parametrize("message", CLIENT_MESSAGES, ids=lambda message: str(message)[:40])
@pytest.mark.parametrize("action", websocket.ACTIONS)
def test_a_client_message_is_accepted_only_if_the_contract_accepts_it(
    deployed: Deployed, action: str, message: dict[str, Any]
) -> None:
    _reachable_business(deployed)
    message = {**message, "action": action}
    route = {"ping": websocket.on_ping, "status": websocket.on_status}[action]
    answer = json.loads(deployed.invoke(route, socket_event(json.dumps(message)))["body"])
    expected = {"ping": "pong", "status": "statusAnswer"}[action]
    forbidden = problems(SOCKET, asyncapi.client_message(action), message)
    name = "error" if forbidden else expected
    told = SOCKET["components"]["messages"][name]
    assert answer["type"] == told["name"]
    assert problems(SOCKET, told["payload"], answer) == []


@pytest.mark.parametrize("body", ["no json", "[]", "{}", '{"action": "dance"}'])
def test_an_invalid_message_gets_the_error_of_the_contract(deployed: Deployed, body: str) -> None:
    _reachable_business(deployed)
    answer = json.loads(deployed.invoke(websocket.on_default, socket_event(body))["body"])
    payload = SOCKET["components"]["messages"]["error"]["payload"]
    assert problems(SOCKET, payload, answer) == []


@pytest.mark.parametrize("pushed", ["message", "availabilityChanged"])
def test_pushed_messages_match_the_contract(deployed: Deployed, pushed: str) -> None:
    _reachable_business(deployed)
    if pushed == "message":
        request = rest_event(
            "POST", "/businesses/{businessId}/messages", body='{"order": 1}', roles=("backend",)
        )
    else:
        request = rest_event(
            "PUT", "/businesses/{businessId}/availability", body='{"available": false}'
        )
    assert deployed.invoke(rest.handler, request)["statusCode"] == 200
    (document,) = deployed.sent()
    told = SOCKET["components"]["messages"][pushed]
    assert document["type"] == told["name"]
    assert problems(SOCKET, told["payload"], document) == []


TRANSITIONS = {
    "first": transition(),
    "everything": transition(
        before=OverallStatus.ONLINE,
        after=OverallStatus.VIRTUAL_ONLY,
        attention=Attention.VIRTUAL_ONLY,
        cause=Cause.OPERATOR,
        by=U1,
        reasons=(ReasonCode.ACCEPTING_ORDERS, ReasonCode.NO_REAL_CONNECTION),
    ),
    "unknown": transition(before=OverallStatus.ONLINE, after=OverallStatus.UNKNOWN),
}


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize("recorded", TRANSITIONS.values(), ids=TRANSITIONS)
def test_a_published_event_matches_the_contract(deployed: Deployed, recorded: Transition) -> None:
    image = {"Keys": {}, "NewImage": transition_item(recorded, 90)}
    deployed.invoke(publisher.handler, {"Records": [{"eventName": "INSERT", "dynamodb": image}]})
    ((_, sent),) = deployed.calls
    (entry,) = sent["Entries"]
    detail = json.loads(entry["Detail"])
    event = {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": detail}
    payload = EVENTS["components"]["messages"]["statusChanged"]["payload"]
    assert problems(EVENTS, payload, event) == []
    assert problems(EVENTS, {"$ref": "#/components/schemas/EventDetail"}, detail) == []
