"""Each handler makes every AWS call it can make, and the calls are compared with its role: actions,
resources and, in the tables, partition keys.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from infra.environments import PROD
from infra.service.functions import TABLE_OPERATIONS
from lambdas import protocol
from lambdas.adapters.items import settings_key
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.handlers import (
    authorizer,
    canary,
    cleanup,
    preflight,
    publisher,
    recorder,
    rest,
    websocket,
)
from lambdas.handlers.entry_point import EntryPoint
from lambdas.routes import ROUTES
from lambdas.table_schema import (
    BUSINESS_PREFIX,
    CENSUS_KEY,
    IDEMPOTENCY_PREFIX,
    TICKET_PREFIX,
)
from tests.builders import B1, NOW, U1, business, real, settings, transition, virtual
from tests.events import (
    DEVICE,
    changed_record,
    rest_event,
    socket_event,
    transition_record,
)
from tests.fakes import raising
from tests.infra.every_option import EVERY_OPTION
from tests.infra.permissions import LOGS, RUNTIME, Permissions, Request, allowed, refused
from tests.infra.synthesis import Templates
from tests.infra.template import Template
from tests.unit.handlers.conftest import (
    HOOK_STATUS,
    Calls,
    Deployed,
    account,
    apis,
    deployed,
    feed,
    playing,
    pool_user,
    put_secret,
    recording,
    unrecorded,
)

__all__ = ["account", "apis", "deployed", "feed", "playing", "pool_user", "recording", "unrecorded"]

ALLOWED_BUT_NOT_CALLED: dict[str, Permissions] = {
    # Powertools reads the record of the first call if DynamoDB did not return it with a refused
    # write. DynamoDB and the fakes do return it.
    "Rest": {("dynamodb:GetItem", "table IDEMPOTENCY#*")},
}

READS_STREAM: dict[str, Permissions] = {
    function: {
        ("dynamodb:ListStreams", "*"),
        *(
            (f"dynamodb:{operation}", f"stream of {table}")
            for operation in ("DescribeStream", "GetRecords", "GetShardIterator")
        ),
    }
    for function, table in (("Recorder", "table"), ("Publisher", "history"))
}
"""What Lambda needs to call these functions with the records of a stream."""

BUSINESS = "/businesses/{businessId}"
OPERATOR: dict[str, Any] = {"roles": ("operator",), "businesses": ()}
BACKEND: dict[str, Any] = {"roles": ("backend",), "businesses": ()}


def _authorize(deployed: Deployed) -> None:
    secret, _ = deployed.service.tickets.issue(B1, U1)
    deployed.calls.clear()
    handshake: dict[str, Any] = {
        "methodArn": "arn:aws:execute-api:us-east-1:123456789012:ws1/v1/$connect",
        "multiValueHeaders": {},
        "multiValueQueryStringParameters": {"ticket": [secret]},
        "requestContext": {"eventType": "CONNECT", "requestId": "r1"},
    }
    deployed.invoke(authorizer.handler, handshake)


def _connect(deployed: Deployed) -> None:
    deployed.invoke(websocket.on_connect, socket_event(event_type="CONNECT"))
    # The limit is 2: these make room.
    deployed.seed(business(real("c1", seen=400), real("c2", seen=400)))
    deployed.invoke(websocket.on_connect, socket_event(event_type="CONNECT"))
    deployed.invoke(websocket.on_connect, socket_event('{"action":"$connect"}'))


def _disconnect(deployed: Deployed) -> None:
    deployed.invoke(websocket.on_disconnect, socket_event('{"action":"$disconnect"}'))
    _a_device(deployed)
    deployed.invoke(websocket.on_disconnect, socket_event(authorizer={}, event_type="DISCONNECT"))


def _message(handler: EntryPoint, body: str) -> Callable[[Deployed], None]:
    def call(deployed: Deployed) -> None:
        deployed.invoke(handler, socket_event(body))  # not registered, so it is closed
        _a_device(deployed)
        deployed.invoke(handler, socket_event(body))
        deployed.invoke(handler, socket_event(body, authorizer={}))

    return call


REST_REQUESTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", f"{BUSINESS}/status", {}),
    ("GET", f"{BUSINESS}/online", {}),
    ("POST", "/businesses/online", {"body": '{"businessIds": ["b1", "b2"]}'}),
    ("GET", f"{BUSINESS}/connections", {}),
    ("GET", f"{BUSINESS}/history", {}),
    ("PUT", f"{BUSINESS}/settings", {"body": '{"expectsSocket": true}', **OPERATOR}),
    ("PUT", f"{BUSINESS}/pause", {"body": json.dumps({"until": protocol.timestamp(NOW + 60)})}),
    ("DELETE", f"{BUSINESS}/pause", {}),
    ("PUT", f"{BUSINESS}/opening-hours", {"body": '{"timeZone": "UTC"}'}),
    ("GET", f"{BUSINESS}/opening-hours", {}),
    ("DELETE", f"{BUSINESS}/opening-hours", {}),
    ("POST", f"{BUSINESS}/tickets", {}),
    ("POST", f"{BUSINESS}/messages", {"body": "[1]", "idempotency_key": "k", **BACKEND}),
    ("POST", f"{BUSINESS}/messages", {"body": "[1]", "idempotency_key": "k", **BACKEND}),
    ("POST", f"{BUSINESS}/cleanup", {"body": "{}", **OPERATOR}),
    ("GET", "/businesses", {"query": {"attention": "virtual-only"}, **OPERATOR}),
    ("DELETE", f"{BUSINESS}/connections/{{connectionId}}", OPERATOR),
    ("PUT", f"{BUSINESS}/availability", {"body": '{"available": true}'}),
    ("PUT", f"{BUSINESS}/availability", {"body": '{"available": false}'}),
    ("GET", "/health", {}),
)
"""At least one request for each route of the REST API."""


def _rest(deployed: Deployed) -> None:
    deployed.seed(
        business(
            real("c1"),
            real("silent", seen=400),
            real("gone", seen=700),
            virtual(),
            declared=settings(),
        )
    )
    for method, path, options in REST_REQUESTS:
        answer = deployed.invoke(rest.handler, rest_event(method, path, **options))
        assert answer["statusCode"] < 300, (method, path, answer)
    # The record of a push that fails is deleted.
    deployed.service.store.load = raising(Unavailable("no answer"))  # type: ignore[method-assign]
    push = rest_event("POST", f"{BUSINESS}/messages", body="[1]", idempotency_key="k2", **BACKEND)
    assert deployed.invoke(rest.handler, push)["statusCode"] == 503


def _cleanup(deployed: Deployed) -> None:
    deployed.seed(
        business(
            real("silent", seen=400),
            real("gone", seen=700),
            virtual(left=-1),
            virtual("u2"),
            declared=settings(),
        )
    )
    trouble = BusinessId("b2")
    deployed.seed(business(virtual(business_id=trouble), declared=settings(), business_id=trouble))
    deployed.invoke(cleanup.handler, {})


def _record(deployed: Deployed) -> None:
    deployed.seed(business(declared=settings()))
    batch = {"Records": [changed_record(settings_key(B1))]}
    deployed.invoke(recorder.handler, batch)
    deployed.service.store.load = raising(KeyError("poison"))  # type: ignore[method-assign]
    deployed.invoke(recorder.handler, batch)


def _publish(deployed: Deployed) -> None:
    poisoned = transition_record(transition(sequence=2))
    del poisoned["dynamodb"]["NewImage"]["from"]
    deployed.invoke(publisher.handler, {"Records": [transition_record(transition()), poisoned]})


CALLS: dict[str, Callable[[Deployed], None]] = {
    "Authorizer": _authorize,
    "Connect": _connect,
    "Disconnect": _disconnect,
    "Ping": _message(websocket.on_ping, '{"action":"ping"}'),
    "Status": _message(websocket.on_status, '{"action":"status"}'),
    "DefaultRoute": _message(websocket.on_default, '{"action":"other"}'),
    "Rest": _rest,
    "Cleanup": _cleanup,
    "Recorder": _record,
    "Publisher": _publish,
}


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize("function", CALLS)
def test_a_function_makes_exactly_the_calls_that_its_role_allows(
    templates: Templates, deployed: Deployed, function: str
) -> None:
    CALLS[function](deployed)
    requests = _requests(deployed.calls)
    called = _needed(deployed.calls)
    for environment, stacks in templates.items():
        assert refused(stacks["Service"], function, requests) == set(), environment
        permitted = allowed(stacks["Service"], function)
        runtime = LOGS if function == "Ping" else RUNTIME
        needed = runtime | READS_STREAM.get(function, set())
        assert permitted >= needed
        permitted -= needed
        assert called - permitted == set(), f"called, but not allowed in {environment}"
        assert permitted - called == ALLOWED_BUT_NOT_CALLED.get(function, set()), (
            f"allowed in {environment}, but never called"
        )
    table_operations = set(deployed.operations) - {*_SOCKET_METHODS, "PutEvents", "SendMessage"}
    assert table_operations <= set(TABLE_OPERATIONS), "no alarm watches this operation"


def test_every_route_is_called_here() -> None:
    called = {(method, path) for method, path, _ in REST_REQUESTS}
    assert called == {(route.method, route.path) for route in ROUTES.values()}


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize("function", CALLS)
def test_a_function_may_do_nothing_with_other_items(
    templates: Templates, deployed: Deployed, function: str
) -> None:
    """`UpdateItem` creates items too: with a right to update any item, a ticket can be forged."""
    CALLS[function](deployed)
    needed = _needed(deployed.calls) | ALLOWED_BUT_NOT_CALLED.get(function, set())
    forged = {
        request
        for operation in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")
        for table in ("table", "history")
        for key in (*(f"{kind.removesuffix('*')}forged" for kind in KINDS), None)
        for request in [Request(f"dynamodb:{operation}", table, key)]
        if _permission(request) not in needed
    }
    for environment, stacks in templates.items():
        allowed_too = forged - refused(stacks["Service"], function, forged)
        # A Scan has no condition.
        assert {each for each in allowed_too if each.action != "dynamodb:Scan"} == set(), (
            environment
        )


@pytest.mark.parametrize(
    ("function", "operation", "key"),
    [
        ("Ping", "UpdateItem", "TICKET#forged"),
        ("Connect", "PutItem", "CENSUS"),
        ("Connect", "PutItem", "TICKET#forged"),
        ("Disconnect", "DeleteItem", "TICKET#t1"),
        ("Disconnect", "DeleteItem", "IDEMPOTENCY#b1"),
        ("Rest", "DeleteItem", "CENSUS"),
        ("Rest", "UpdateItem", "TICKET#forged"),
        ("Cleanup", "PutItem", "BUSINESS#b1"),
        ("Recorder", "UpdateItem", "TICKET#forged"),
    ],
)
def test_an_item_of_another_kind_is_refused(
    templates: Templates, function: str, operation: str, key: str
) -> None:
    request = Request(f"dynamodb:{operation}", "table", key)
    for stacks in templates.values():
        assert refused(stacks["Service"], function, {request}) == {request}


def test_the_preflight_makes_exactly_the_calls_that_its_role_allows(
    every_option: dict[str, Template], deployed: Deployed
) -> None:
    event = {"DeploymentId": "d", "LifecycleEventHookExecutionId": "h"}
    assert deployed.invoke(preflight.handler, event) == {"status": "Succeeded"}
    called = _needed([each for each in deployed.calls if each[0] != HOOK_STATUS])
    assert deployed.operations.count(HOOK_STATUS) == 1
    permitted = allowed(every_option["Service"], "Preflight")
    assert permitted >= RUNTIME
    answer = f"codedeploy:{HOOK_STATUS}"
    groups = {where for action, where in permitted if action == answer}
    assert groups
    assert all(":deploymentgroup:" in where for where in groups)
    assert {each for each in permitted - RUNTIME if each[0] != answer} == called


def test_the_canary_makes_exactly_the_calls_that_its_role_allows(
    templates: Templates,
    every_option: dict[str, Template],
    playing: Deployed,
    pool_user: dict[str, str],
) -> None:
    """It reaches the APIs by their URLs, and nothing behind them."""
    assert EVERY_OPTION.oidc is not None
    read = ("secretsmanager:GetSecretValue", "credential")
    signs_in = ("cognito-idp:AdminInitiateAuth", "user pool")
    for service, credential, expected in (
        (every_option["Service"], None, {read}),
        (templates[PROD.name]["Service"], pool_user, {read, signs_in}),
    ):
        if credential is not None:
            put_secret(credential, playing.environ["CREDENTIAL_ARN"])
        playing.calls.clear()
        assert playing.invoke(canary.handler, {})["succeeded"]
        assert set(playing.operations) == {action.partition(":")[2] for action, _ in expected}
        assert allowed(service, "Canary") == RUNTIME | expected


def test_every_function_is_called_here(every_option: dict[str, Template]) -> None:
    assert every_option["Service"].functions().keys() == {*CALLS, "Preflight", "Canary"}


_SOCKET_METHODS = {
    "PostToConnection": "POST",
    "GetConnection": "GET",
    "DeleteConnection": "DELETE",
}
_TRANSACTION_PARTS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


KINDS = (f"{BUSINESS_PREFIX}*", f"{TICKET_PREFIX}*", f"{IDEMPOTENCY_PREFIX}*", CENSUS_KEY)
"""The patterns of the partition keys in the tables."""


def _needed(calls: Calls) -> Permissions:
    """The permissions that calls need."""
    needed = {_permission(request) for request in _requests(calls)}
    for operation, _ in calls:
        if operation in _SOCKET_METHODS:
            needed.add(("execute-api:ManageConnections", _SOCKET_METHODS[operation]))
        elif operation == "PutEvents":
            needed.add(("events:PutEvents", "bus"))
        elif operation == "SendMessage":
            needed.add(("sqs:SendMessage", "dead letters"))
    return needed


def _permission(request: Request) -> tuple[str, str]:
    """Name the permission that allows a request: for all keys of its kind, or for all items."""
    if request.key is None or request.resource.endswith("Index"):
        return request.action, request.resource
    kind = next((kind for kind in KINDS if request.key.startswith(kind.removesuffix("*"))), "?")
    return request.action, f"{request.resource} {kind}"


def _requests(calls: Calls) -> set[Request]:
    """What IAM is asked before these calls to DynamoDB. A transaction needs the permissions
    of its parts.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
    """
    parts = [
        each
        for operation, parameters in calls
        for each in (
            [
                (_TRANSACTION_PARTS[part], request)
                for item in parameters["TransactItems"]
                for part, request in item.items()
            ]
            if "TransactItems" in parameters
            else [(operation, parameters)]
        )
    ]
    return {
        Request(
            f"dynamodb:{operation}",
            parameters.get("IndexName", _table(parameters)),
            _partition_key(parameters),
        )
        for operation, parameters in parts
        if "TableName" in parameters
    }


def _partition_key(parameters: dict[str, Any]) -> str | None:
    """The partition key that a call names: that of the index, if it queries one."""
    if "KeyConditionExpression" in parameters:
        value = re.match(r"\w+ = (:\w+)", parameters["KeyConditionExpression"])
        assert value is not None
        return str(parameters["ExpressionAttributeValues"][value[1]]["S"])
    item = parameters.get("Key") or parameters.get("Item")
    return None if item is None else str(item["pk"]["S"])


def _table(parameters: dict[str, Any]) -> str:
    return "history" if parameters["TableName"].startswith("history-") else "table"


def test_the_stored_device_is_the_one_that_the_events_name(deployed: Deployed) -> None:
    _a_device(deployed)
    assert deployed.items()[-1]["sk"]["S"].endswith(DEVICE)


def _a_device(deployed: Deployed) -> None:
    deployed.seed(business(real(DEVICE), declared=settings()))
