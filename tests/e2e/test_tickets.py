"""A browser cannot set the header Authorization, so it connects with a ticket, once."""

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from websockets.exceptions import InvalidStatus

from tests.e2e.harness import USER, Business, System, eventually

BROWSER = {"Origin": "https://shop.example"}
"""The headers that a browser sends."""


def issue(business: Business) -> str:
    answer = business.call("POST", "tickets")
    assert answer.status == 200, answer
    ticket: str = answer.body["ticket"]
    return ticket


def assert_refused(business: Business, query: str, headers: dict[str, str] = BROWSER) -> None:
    with (
        pytest.raises(InvalidStatus) as refusal,
        business.handshake(query=query, headers=headers),
    ):
        pass
    assert refusal.value.response.status_code in {401, 403}


def test_a_ticket_opens_a_socket_for_its_business_and_user(business: Business) -> None:
    with business.handshake(query=f"ticket={issue(business)}", headers=BROWSER) as socket:
        (item,) = eventually("the connection is stored", business.real)
        assert item["pk"] == f"BUSINESS#{business.id}"
        assert item["userId"] == USER
        socket.send('{"action": "ping", "id": "1"}')
        assert '"pong"' in str(socket.recv(timeout=10))


def test_a_ticket_is_unique_and_valid_for_a_minute(business: Business) -> None:
    before = time.time()
    one, other = (business.call("POST", "tickets").body for _ in range(2))
    assert one["ticket"] != other["ticket"]
    assert len(one["ticket"]) >= 32
    until = datetime.fromisoformat(one["expiresAt"]).timestamp()
    assert before + 59 <= until <= time.time() + 60


def test_a_ticket_can_be_used_once(business: Business) -> None:
    ticket = issue(business)
    with business.handshake(query=f"ticket={ticket}", headers=BROWSER):
        assert_refused(business, f"ticket={ticket}")
    assert_refused(business, f"ticket={ticket}")


def test_only_one_of_simultaneous_uses_succeeds(business: Business) -> None:
    ticket = issue(business)
    users = 4
    begin, end = threading.Barrier(users), threading.Barrier(users)

    def use() -> bool:
        begin.wait(10)
        try:
            with business.handshake(query=f"ticket={ticket}", headers=BROWSER):
                end.wait(20)
                return True
        except InvalidStatus:
            end.wait(20)
            return False

    with ThreadPoolExecutor(users) as pool:
        outcomes = [use.result() for use in [pool.submit(use) for _ in range(users)]]
    assert sorted(outcomes) == [False] * (users - 1) + [True]
    eventually("the connection is removed", lambda: not business.real())


def test_a_ticket_with_other_credentials_is_refused_and_not_used_up(business: Business) -> None:
    ticket = issue(business)
    header = {"Authorization": f"Bearer {business.token}"}
    assert_refused(business, f"ticket={ticket}", header)
    assert_refused(business, f"ticket={ticket}&businessId={business.id}")
    assert_refused(business, f"ticket={ticket}&ticket={ticket}")
    with business.handshake(query=f"ticket={ticket}", headers=BROWSER):
        pass


def test_an_expired_ticket_is_refused(system: System, business: Business) -> None:
    ticket = issue(business)
    digest = hashlib.sha256(ticket.encode()).hexdigest()
    key = {"pk": {"S": f"TICKET#{digest}"}, "sk": {"S": "TICKET"}}
    dynamodb, table = system.client("dynamodb"), system.endpoints.tableName
    stored = dynamodb.get_item(TableName=table, Key=key)["Item"]
    assert stored["businessId"] == {"S": business.id}
    assert ticket not in str(stored)
    stored["ttl"] = {"N": str(int(time.time()) - 1)}
    dynamodb.put_item(TableName=table, Item=stored)
    assert_refused(business, f"ticket={ticket}")
    assert business.real() == []


def test_an_invalid_ticket_is_refused(business: Business) -> None:
    for query in ("ticket=", "ticket=nonsense"):
        assert_refused(business, query)
