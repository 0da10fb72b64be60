"""The AsyncAPI documents hold together, and have every message of the code."""

import re
from typing import Any, get_args

import pytest

from contracts import asyncapi, events, openapi
from contracts.schemas import Json
from lambdas import protocol
from lambdas.handlers import websocket
from tests.json_schema import component, problems

DOCUMENT = asyncapi.document()
EVENTS = events.document()
MESSAGES = [
    pytest.param(document, message, id=name)
    for document in (DOCUMENT, EVENTS)
    for name, message in document["components"]["messages"].items()
]


def _references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(_references(value) for value in part.values()))
    if isinstance(part, list):
        return set().union(*(_references(value) for value in part))
    return set()


@pytest.mark.parametrize("document", [DOCUMENT, EVENTS], ids=["socket", "events"])
def test_every_reference_leads_somewhere_and_no_component_is_left_over(document: Json) -> None:
    referred = _references(document)
    for reference in referred:
        assert component(document, reference)
    defined = {
        f"#/components/{kind}/{name}"
        for kind, components in document["components"].items()
        for name in components
    }
    assert defined <= referred


@pytest.mark.parametrize(("document", "message"), MESSAGES)
def test_the_examples_of_a_message_are_what_its_schema_says(document: Json, message: Json) -> None:
    (example,) = message["examples"]
    assert problems(document, message["payload"], example["payload"]) == []
    assert message["summary"]


def test_every_action_of_the_service_is_an_operation_with_its_answer() -> None:
    received = {
        name: operation
        for name, operation in DOCUMENT["operations"].items()
        if operation["action"] == "receive"
    }
    assert received.keys() == set(websocket.ACTIONS)
    for name, operation in received.items():
        assert [_name(m) for m in operation["messages"]] == [name]
        answers = [_name(m) for m in operation["reply"]["messages"]]
        assert answers == [{"ping": "pong", "status": "status"}[name], "error"]


def test_every_message_that_a_socket_can_receive_unasked_is_an_operation() -> None:
    sent = {
        _name(message)
        for operation in DOCUMENT["operations"].values()
        if operation["action"] == "send"
        for message in operation["messages"]
    }
    in_code = {
        literal
        for kind in get_args(protocol.PushedDocument)
        for literal in get_args(kind.__annotations__["type"])
    }
    assert sent == in_code == {"message", "availability.changed", "error"}


def test_the_status_document_is_that_of_the_rest_api() -> None:
    of_rest = openapi.document()["components"]["schemas"]
    of_socket = DOCUMENT["components"]["schemas"]
    shared = of_rest.keys() & of_socket.keys()
    assert {"StatusDocument", "ReasonDocument", "CountsDocument"} <= shared
    assert {name: of_rest[name] for name in shared} == {name: of_socket[name] for name in shared}


def test_a_transition_is_described_alike_in_the_history_and_in_an_event() -> None:
    of_rest = openapi.document()["components"]["schemas"]
    of_bus = EVENTS["components"]["schemas"]
    for name in ("OverallStatus", "Attention", "Cause", "ReasonCode"):
        assert of_rest[name] == of_bus[name]
    in_history = of_rest["TransitionDocument"]["properties"]
    in_event = of_bus["EventDetail"]["properties"]
    assert {name: in_event[name] for name in in_history} == in_history
    assert in_event.keys() - in_history.keys() == {"version", "businessId"}


def test_both_ways_to_authenticate_are_offered() -> None:
    (server,) = DOCUMENT["servers"].values()
    schemes = [component(DOCUMENT, way["$ref"]) for way in server["security"]]
    assert [(scheme["type"], scheme.get("name")) for scheme in schemes] == [
        ("http", None),
        ("httpApiKey", "ticket"),
    ]
    (channel,) = DOCUMENT["channels"].values()
    query = channel["bindings"]["ws"]["query"]
    for good in ({"businessId": "b1"}, {"ticket": "t"}):
        assert problems(DOCUMENT, query, good) == []
    for bad in ({}, {"businessId": "b1", "ticket": "t"}, {"token": "t"}, {"businessId": "#"}):
        assert problems(DOCUMENT, query, bad)


def _name(reference: Json) -> str:
    """The name by which a message goes over the wire."""
    channel_message = component(DOCUMENT, reference["$ref"])
    name: str = component(DOCUMENT, channel_message["$ref"])["name"]
    assert re.fullmatch(r"[a-z.]+", name)
    return name
