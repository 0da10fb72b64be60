"""Handshakes with a ticket. Those with a token need an issuer: see the integration tests."""

from typing import Any

import pytest

from lambdas.handlers.authorizer import handler
from tests.builders import B1, U1
from tests.unit.handlers.conftest import Deployed

ARN = "arn:aws:execute-api:us-east-1:123456789012:ws1/v1/$connect"


def _handshake(
    deployed: Deployed, query: dict[str, list[str]], headers: dict[str, list[str]] | None = None
) -> tuple[str, dict[str, str]]:
    event: dict[str, Any] = {
        "methodArn": ARN,
        "multiValueHeaders": headers or {},
        "multiValueQueryStringParameters": query,
        "requestContext": {"eventType": "CONNECT", "requestId": "r1"},
    }
    answer = deployed.invoke(handler, event)
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Resource"] == ARN
    return statement["Effect"], answer["context"]


@pytest.fixture
def ticket(deployed: Deployed) -> str:
    secret, _ = deployed.service.tickets.issue(B1, U1)
    deployed.calls.clear()
    return secret


def test_a_ticket_opens_one_socket_and_costs_one_write(deployed: Deployed, ticket: str) -> None:
    assert _handshake(deployed, {"ticket": [ticket]}) == (
        "Allow",
        {"businessId": "b1", "userId": "u1"},
    )
    assert deployed.operations == ["DeleteItem"]
    assert _handshake(deployed, {"ticket": [ticket]}) == ("Deny", {})
    assert ticket not in deployed.log.getvalue()


def test_a_ticket_may_come_with_the_name_of_a_device(deployed: Deployed, ticket: str) -> None:
    assert _handshake(deployed, {"ticket": [ticket], "deviceId": ["till-1"]})[0] == "Allow"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({"ticket": ["TICKET"], "deviceID": ["till-1"]}, {}),
        ({"ticket": ["TICKET", "TICKET"]}, {}),
        ({"ticket": ["TICKET"], "businessId": ["b1"]}, {}),
        ({"ticket": ["TICKET"]}, {"Authorization": ["Bearer x"]}),
        ({"Ticket": ["TICKET"]}, {}),
    ],
)
def test_an_ambiguous_handshake_does_not_use_up_the_ticket(
    deployed: Deployed, ticket: str, query: dict[str, list[str]], headers: dict[str, list[str]]
) -> None:
    filled = {name: [v.replace("TICKET", ticket) for v in values] for name, values in query.items()}
    assert _handshake(deployed, filled, headers) == ("Deny", {})
    assert deployed.operations == []
    assert _handshake(deployed, {"ticket": [ticket]})[0] == "Allow"


@pytest.mark.parametrize(
    "guess", ["", "guess", "x" * 42, "x" * 44, "x" * 42 + "=", "x" * 42 + "é", "x" * 43 + "\n"]
)
def test_an_impossible_ticket_is_refused_without_asking_the_table(
    deployed: Deployed, guess: str
) -> None:
    assert _handshake(deployed, {"ticket": [guess]}) == ("Deny", {})
    assert deployed.operations == []


def test_an_unknown_ticket_is_refused(deployed: Deployed) -> None:
    assert _handshake(deployed, {"ticket": ["x" * 43]}) == ("Deny", {})
    assert deployed.operations == ["DeleteItem"]
