"""The WebSocket functions: their calls to AWS and their answers."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given
from hypothesis import settings as examined
from hypothesis import strategies as st

from lambdas.adapters import items
from lambdas.domain.model import Pause
from lambdas.handlers import websocket
from lambdas.handlers.entry_point import EntryPoint
from tests.builders import NOW, business, real, settings
from tests.events import DEVICE, socket_event
from tests.unit.handlers.conftest import Deployed

API_GATEWAY_TAKES = 128 * 1024
"""Largest WebSocket message, in bytes.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
"""


def _answer(deployed: Deployed, handler: EntryPoint, body: str | None) -> Any:
    return json.loads(deployed.invoke(handler, socket_event(body))["body"])


def _alive(deployed: Deployed) -> None:
    deployed.seed(business(real(DEVICE), declared=settings()))


def test_connect_costs_one_read_and_one_write(deployed: Deployed) -> None:
    assert deployed.invoke(websocket.on_connect, socket_event(event_type="CONNECT")) == {
        "statusCode": 200
    }
    assert deployed.operations == ["Query", "PutItem"]
    (item,) = deployed.items()
    assert item["pk"] == {"S": "BUSINESS#b1"}
    assert item["sk"] == {"S": f"CONNECTION#{DEVICE}"}
    assert item["isVirtualConnection"] == {"BOOL": False}
    assert item.keys() == {
        "pk", "sk", "connectionId", "userId", "isVirtualConnection",
        "connectedAt", "lastSeenAt", "pingInterval", "ttl",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["User-Agent", "user-agent", "USER-AGENT"])
def test_the_user_agent_of_the_handshake_is_stored_and_logged_and_nothing_else_of_it(
    deployed: Deployed, name: str
) -> None:
    headers = {
        "Authorization": "Bearer secret-token",
        "Host": "secret-host",
        name: " Till/4.2 (Gerät) ",
        "X-Forwarded-For": "secret-address",
    }
    handshake = socket_event(event_type="CONNECT", headers=headers)
    handshake["queryStringParameters"] = {"ticket": "secret-ticket"}
    deployed.invoke(websocket.on_connect, handshake)
    assert deployed.operations == ["Query", "PutItem"]
    (item,) = deployed.items()
    assert item["userAgent"] == {"S": "Till/4.2 (Ger?t)"}
    (line,) = deployed.log_lines
    assert (line["message"], line["userAgent"]) == ("connected", "Till/4.2 (Ger?t)")
    assert "secret" not in json.dumps([item, line])


@pytest.mark.parametrize("headers", [None, {}, {"Host": "h"}, {"User-Agent": ""}])
def test_a_client_that_does_not_say_what_it_is_may_connect(
    deployed: Deployed, headers: dict[str, str] | None
) -> None:
    connect = socket_event(event_type="CONNECT", headers=headers)
    assert deployed.invoke(websocket.on_connect, connect) == {"statusCode": 200}
    (item,) = deployed.items()
    assert "userAgent" not in item


def test_a_device_that_names_itself_is_stored_and_logged_with_its_name(deployed: Deployed) -> None:
    query = {"businessId": ["b1"], "deviceId": ["till-1"]}
    connect = socket_event(event_type="CONNECT", query=query)
    assert deployed.invoke(websocket.on_connect, connect) == {"statusCode": 200}
    (item,) = deployed.items()
    assert item["deviceId"] == {"S": "till-1"}
    (line,) = deployed.log_lines
    assert (line["deviceId"], line["replaced"]) == ("till-1", "")


@pytest.mark.parametrize(
    "given", [[""], ["a#b"], ["-a"], ["x" * 65], ["é"], ["till-1\n"], ["till-1", "till-1"]]
)
def test_a_device_id_that_is_not_valid_is_refused_with_400_and_says_why(
    deployed: Deployed, given: list[str]
) -> None:
    connect = socket_event(event_type="CONNECT", query={"businessId": ["b1"], "deviceId": given})
    answer = deployed.invoke(websocket.on_connect, connect)
    assert answer["statusCode"] == 400
    assert answer["body"].startswith("deviceId: must ")
    assert deployed.operations == []


def test_at_the_limit_a_device_that_missed_a_ping_is_claimed_closed_and_removed(
    deployed: Deployed,
) -> None:
    deployed.seed(business(real("c1", seen=301), real("c2")))
    connect = socket_event(event_type="CONNECT")
    assert deployed.invoke(websocket.on_connect, connect) == {"statusCode": 200}
    assert deployed.operations == [
        *("Query", "UpdateItem", "DeleteConnection", "DeleteItem", "PutItem")
    ]
    (line,) = deployed.log_lines
    assert line["replaced"] == "c1"


def test_connect_beyond_the_limit_is_refused_with_429(deployed: Deployed) -> None:
    deployed.seed(business(real("c1"), real("c2")))
    assert (
        deployed.invoke(websocket.on_connect, socket_event(event_type="CONNECT"))["statusCode"]
        == 429
    )
    assert deployed.operations == ["Query"]


def test_disconnect_costs_one_write(deployed: Deployed) -> None:
    _alive(deployed)
    assert deployed.invoke(websocket.on_disconnect, socket_event(event_type="DISCONNECT")) == {
        "statusCode": 200
    }
    assert deployed.operations == ["DeleteItem"]
    assert [item["sk"]["S"] for item in deployed.items()] == ["BUSINESS"]


@pytest.mark.parametrize("user_agent", ["Till/4.2", None])
def test_disconnect_logs_which_client_it_was_without_another_read(
    deployed: Deployed, user_agent: str | None
) -> None:
    deployed.seed(business(real(DEVICE, user_agent=user_agent)))
    for _ in range(2):
        deployed.invoke(websocket.on_disconnect, socket_event(event_type="DISCONNECT"))
    assert deployed.operations == ["DeleteItem"] * 2
    first, repeated = deployed.log_lines
    assert (first["wasRegistered"], first.get("userAgent")) == (True, user_agent)
    assert (repeated["wasRegistered"], repeated.get("userAgent")) == (False, None)


def test_disconnect_without_authorizer_context_asks_the_index(deployed: Deployed) -> None:
    _alive(deployed)
    deployed.invoke(websocket.on_disconnect, socket_event(authorizer={}, event_type="DISCONNECT"))
    assert deployed.operations == ["Query", "DeleteItem"]
    assert deployed.calls[0][1]["IndexName"] == "ConnectionIndex"
    assert [item["sk"]["S"] for item in deployed.items()] == ["BUSINESS"]


@pytest.mark.parametrize("route", ["connect", "disconnect"])
def test_a_message_named_like_a_lifecycle_event_closes_its_socket_and_writes_nothing(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], route: str
) -> None:
    _alive(deployed)
    before = deployed.items()
    message = socket_event(json.dumps({"action": f"${route}", "id": "1"}))
    assert deployed.invoke(getattr(websocket, f"on_{route}"), message) == {"statusCode": 200}
    assert deployed.operations == ["PostToConnection", "DeleteConnection"]
    error = json.loads(deployed.calls[0][1]["Data"])
    assert (error["type"], error["code"], error["id"]) == ("error", "reserved_action", "1")
    assert deployed.items() == before
    assert capsys.readouterr().out == "", "it counts as no connection that came or went"


def test_ping_costs_one_write_and_is_answered(deployed: Deployed) -> None:
    deployed.seed(business(real(DEVICE, user_agent="Till/4.2"), declared=settings()))
    pong = _answer(deployed, websocket.on_ping, '{"action":"ping","id":"1"}')
    assert deployed.operations == ["UpdateItem"]
    assert pong.keys() == {"type", "id", "serverTime", "pingEvery", "reconnectAfter"}
    assert (pong["type"], pong["id"]) == ("pong", "1")
    assert pong["pingEvery"] == 300
    assert 0 < pong["reconnectAfter"] < 7200


def test_a_ping_that_is_answered_writes_no_log_and_no_metric(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most calls are pings, and each line is paid for."""
    _alive(deployed)
    _answer(deployed, websocket.on_ping, '{"action":"ping"}')
    assert deployed.log_lines == []
    assert capsys.readouterr().out == ""


def test_status_is_the_same_document_as_in_rest(deployed: Deployed) -> None:
    _alive(deployed)
    message = _answer(deployed, websocket.on_status, '{"action":"status","id":"2"}')
    assert deployed.operations == ["UpdateItem", "Query"]
    assert (message["type"], message["id"]) == ("status", "2")
    assert message["status"]["overallStatus"] == "ONLINE"


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        (None, "bad_request", "JSON"),
        ("", "bad_request", "JSON"),
        ("no json", "bad_request", "JSON"),
        pytest.param("[" * 100_000, "bad_request", "100 levels", id="bottomless"),
        pytest.param("[" * 101 + "]" * 101, "bad_request", "100 levels", id="101 levels"),
        pytest.param("[" * 100 + "]" * 100, "bad_request", "object", id="100 levels"),
        ('{"action":"ping","id":NaN}', "bad_request", "JSON"),
        ('{"action":"ping","id":-Infinity}', "bad_request", "JSON"),
        ('{"action":"ping","id":1e999}', "bad_request", "too large"),
        ("[1]", "bad_request", "object"),
        ('"ping"', "bad_request", "object"),
        ("{}", "bad_request", "action"),
        ('{"action":7}', "bad_request", "action"),
        ('{"action":"dance"}', "unknown_action", "ping, status"),
        ('{"action":"PING"}', "unknown_action", "ping, status"),
    ],
)
def test_an_invalid_message_is_explained_and_the_socket_stays_open(
    deployed: Deployed, body: str | None, code: str, names: str
) -> None:
    _alive(deployed)
    error = _answer(deployed, websocket.on_default, body)
    assert (error["type"], error["code"]) == ("error", code)
    assert names in error["detail"]
    assert deployed.operations == ["UpdateItem"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"id": 7}, "id: must be a string"),
        ({"id": "x" * 129}, "128"),
        ({"id": None, "extra": 1}, "not: extra"),
        ({"businessId": "b2"}, "not: businessId"),
    ],
)
@pytest.mark.parametrize("action", ["ping", "status"])
def test_a_message_with_a_wrong_field_is_explained(
    deployed: Deployed, action: str, fields: dict[str, Any], names: str
) -> None:
    _alive(deployed)
    body = json.dumps({"action": action, **fields})
    route = {"ping": websocket.on_ping, "status": websocket.on_status}[action]
    error = _answer(deployed, route, body)
    assert (error["type"], error["code"]) == ("error", "bad_request")
    assert names in error["detail"]


def test_an_error_names_a_few_unknown_fields_and_counts_the_others(deployed: Deployed) -> None:
    _alive(deployed)
    body = json.dumps({"action": "ping", "a" * 41: 1, **{f"b{n}": 1 for n in range(11)}})
    error = _answer(deployed, websocket.on_ping, body)
    assert error["detail"].endswith(f"not: {'a' * 40}…, b0, b1, b10, b2 and 7 more")


@given(
    character=st.characters(codec="utf-8"),
    fields=st.integers(1, 50),
    message_id=st.text(max_size=128),
    action=st.sampled_from(["ping", "status", "dance", None]),
)
@example(character="é", fields=1, message_id="", action="ping")
@examined(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_answer_is_too_large_for_api_gateway(
    deployed: Deployed, character: str, fields: int, message_id: str, action: str | None
) -> None:
    names = [character * (32_000 // fields) + str(number) for number in range(fields)]
    message = {"action": action, "id": message_id} | dict.fromkeys(names)
    body = json.dumps(message, ensure_ascii=False)
    assume(len(body.encode()) <= API_GATEWAY_TAKES)
    deployed.seed(business(real(DEVICE)))
    routes = {"ping": websocket.on_ping, "status": websocket.on_status}
    answer = deployed.invoke(routes.get(action or "", websocket.on_default), socket_event(body))[
        "body"
    ]
    assert len(answer.encode()) <= API_GATEWAY_TAKES
    assert json.loads(answer)["id"] == message_id


def test_the_longest_status_is_not_too_large_for_api_gateway(deployed: Deployed) -> None:
    paused = settings(updated_by="u" * 255, pause=Pause(NOW + 9, "\U0001f355" * 200))
    deployed.seed(business(real(DEVICE), declared=paused))
    body = json.dumps({"action": "status", "id": "\U0001f355" * 128})
    answer = deployed.invoke(websocket.on_status, socket_event(body))["body"]
    assert "paused" in answer
    assert len(answer.encode()) <= API_GATEWAY_TAKES


@pytest.mark.parametrize("route", ["on_ping", "on_status", "on_default"])
def test_a_socket_whose_connection_was_removed_gets_an_error_and_is_closed(
    deployed: Deployed, route: str
) -> None:
    body = json.dumps({"action": route.removeprefix("on_"), "id": "7"})
    assert deployed.invoke(getattr(websocket, route), socket_event(body)) == {"statusCode": 200}
    assert deployed.operations == ["UpdateItem", "PostToConnection", "DeleteConnection"]
    (told,) = deployed.sent()
    assert (told["type"], told["code"], told["id"]) == ("error", "not_registered", "7")
    assert deployed.items() == []


@pytest.mark.parametrize("route", ["on_ping", "on_status", "on_default"])
def test_a_client_that_sends_too_much_gets_an_error_and_is_closed(
    deployed: Deployed, route: str
) -> None:
    _alive(deployed)
    counter, start = items.message_counter(deployed.clock.now)
    (stored,) = [item for item in deployed.items() if "connectionId" in item]
    stored[counter] = {"N": str(start + 59)}
    deployed.client.put_item(TableName=deployed.table_name, Item=stored)
    message = socket_event(json.dumps({"action": route.removeprefix("on_"), "id": "7"}))
    assert "body" in deployed.invoke(getattr(websocket, route), message), "the 60th is answered"
    for _ in ("61st", "62nd"):
        deployed.calls.clear()
        assert deployed.invoke(getattr(websocket, route), message) == {"statusCode": 200}
        assert deployed.operations == ["UpdateItem", "PostToConnection", "DeleteConnection"]
        (told,) = deployed.sent()
        assert (told["type"], told["code"], told["id"]) == ("error", "too_many_messages", "7")
        assert "60 messages within a minute" in told["detail"]
    assert len(deployed.items()) == 2, "the item is left to $disconnect and the cleanup"


def test_an_item_has_one_message_counter_however_long_its_client_pings(deployed: Deployed) -> None:
    deployed.invoke(websocket.on_connect, socket_event(event_type="CONNECT"))
    (fresh,) = deployed.items()
    for _ in range(25):
        deployed.invoke(websocket.on_ping, socket_event('{"action":"ping"}'))
        (item,) = deployed.items()
        assert len(item) == len(fresh) + 1
        deployed.clock.advance(60)


def test_no_log_line_holds_a_token(deployed: Deployed) -> None:
    secret = "eyJhbGciOi.secret.token"
    with_token = {"headers": {"Authorization": f"Bearer {secret}"}}
    deployed.invoke(websocket.on_connect, {**socket_event(event_type="CONNECT"), **with_token})
    deployed.invoke(
        websocket.on_disconnect, {**socket_event(event_type="DISCONNECT"), **with_token}
    )
    assert [line["message"] for line in deployed.log_lines] == ["connected", "disconnected"]
    assert secret not in deployed.log.getvalue()


def test_log_lines_name_the_business_the_connection_and_the_request(deployed: Deployed) -> None:
    deployed.invoke(websocket.on_connect, socket_event(event_type="CONNECT"))
    (line,) = deployed.log_lines
    assert (line["businessId"], line["connectionId"]) == ("b1", DEVICE)
    assert (line["requestId"], line["function_request_id"]) == ("r1", "request-1")


@pytest.mark.parametrize(
    ("route", "metric"), [("connect", "Connected"), ("disconnect", "Disconnected")]
)
def test_the_only_dimension_of_metrics_is_the_environment(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], route: str, metric: str
) -> None:
    deployed.invoke(getattr(websocket, f"on_{route}"), socket_event(event_type=route.upper()))
    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "BusinessConnections"
    assert directive["Dimensions"] == [["environment"]]
    assert directive["Metrics"] == [{"Name": metric, "Unit": "Count"}]
    assert (line["environment"], line[metric]) == ("test", [1])
