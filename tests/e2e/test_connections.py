"""Real connections: who may connect, what is stored, what messages do, how connections end."""

import json
import time
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from websockets.exceptions import InvalidStatus

from tests.e2e.harness import USER, Business, System, eventually

TWO_HOURS = 2 * 60 * 60


def reissued(system: System, token: str, **claims: Any) -> str:
    """The token with other claims, signed with the key of the user pool."""
    pool = system.endpoints.userPoolId
    key = system.state / "ministack" / "state" / "cognito-pool-keys" / f"{pool}-access.pem"
    kid = jwt.get_unverified_header(token)["kid"]
    old = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(old | claims, key.read_text(), algorithm="RS256", headers={"kid": kid})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def assert_refused(business: Business, **handshake: Any) -> None:
    with pytest.raises(InvalidStatus) as refusal, business.handshake(**handshake):
        pass
    assert refusal.value.response.status_code in {401, 403}
    assert business.items() == []


def test_connecting_stores_a_real_connection(business: Business) -> None:
    before = int(time.time())
    with business.socket() as device:
        (item,) = business.items()
        assert item["pk"] == f"BUSINESS#{business.id}"
        assert item["sk"] == f"CONNECTION#{device.connection_id}"
        assert item["connectionId"] == device.connection_id
        assert item["userId"] == USER
        assert item["isVirtualConnection"] is False
        assert before <= item["connectedAt"] == item["lastSeenAt"] <= time.time()
        assert item["ttl"] > item["connectedAt"] + TWO_HOURS


def test_a_connection_shows_the_user_agent_of_its_device(business: Business) -> None:
    with business.handshake(headers={**bearer(business.token), "User-Agent": "Till/4.2"}):
        (device,) = eventually(
            "the connection is stored", lambda: business.call("GET", "connections").body["real"]
        )
        assert device["userAgent"] == "Till/4.2"


def test_closing_the_socket_removes_its_connection_within_two_seconds(
    business: Business,
) -> None:
    with business.socket() as device:
        device.socket.close()
        eventually("the item is gone", lambda: not business.items(), seconds=2)


def test_each_device_of_a_business_has_its_own_connection(business: Business) -> None:
    with business.socket() as one, business.socket() as other:
        assert len(business.real()) == 2
        one.socket.close()
        eventually("one is left", lambda: len(business.real()) == 1)
        assert other.ask({"action": "ping"})["type"] == "pong"


def test_a_well_signed_token_with_the_wrong_claims_is_refused(
    system: System, business: Business
) -> None:
    # With the right claims, a token signed like this is accepted.
    with business.handshake(headers=bearer(reissued(system, business.token))):
        pass
    eventually("the connection of that socket is removed", lambda: not business.items())
    wrong: tuple[dict[str, Any], ...] = (
        {"exp": int(time.time()) - 300},
        {"iss": "https://issuer.example"},
        {"client_id": "another"},
        {"cognito:groups": ["business:another", "operator"]},
    )
    for claims in wrong:
        assert_refused(business, headers=bearer(reissued(system, business.token, **claims)))


def test_a_token_with_a_wrong_signature_is_refused(business: Business) -> None:
    header, payload, signature = business.token.split(".")
    backwards = f"{header}.{payload}.{signature[::-1]}"
    assert_refused(business, headers=bearer(backwards))


def test_a_handshake_without_a_token_is_refused(business: Business) -> None:
    headers: tuple[dict[str, str], ...] = ({}, {"Authorization": "Bearer"}, bearer("nonsense"))
    for each in headers:
        assert_refused(business, headers=each)


def test_a_handshake_with_the_wrong_parameters_is_refused(business: Business) -> None:
    for query in ("", "businessId={id}&businessId={id}", "businessId={id}&ticket=abc"):
        assert_refused(business, query=query.format(id=business.id))


def test_a_token_in_the_url_is_refused(business: Business) -> None:
    query = urlencode({"businessId": business.id, "token": business.token})
    assert_refused(business, query=query, headers={})


def test_a_ping_is_answered_and_renews_the_connection(business: Business) -> None:
    with business.socket() as device:
        (stored,) = business.real()
        sort_key = stored["sk"]
        earlier = int(time.time()) - 20
        business.write_connection(device.connection_id, connected_at=earlier, last_seen_at=earlier)
        pong = device.ask({"action": "ping", "id": "7"})
        assert (pong["type"], pong["id"]) == ("pong", "7")
        assert pong["serverTime"].endswith("Z")
        assert 0 < pong["reconnectAfter"] < TWO_HOURS
        (renewed,) = business.real()
        assert renewed["sk"] == sort_key
        assert renewed["connectedAt"] == earlier
        assert renewed["lastSeenAt"] > earlier


def test_a_device_can_ask_for_the_status_of_its_business(business: Business) -> None:
    business.set_available(True)
    with business.socket() as device:
        answer = device.ask({"action": "status", "id": "8"})
        assert (answer["type"], answer["id"]) == ("status", "8")
        assert answer["status"]["overallStatus"] == "ONLINE"
        assert answer["status"].keys() == business.status().keys()


BAD_MESSAGES: list[tuple[Any, str]] = [
    ({"action": "dance", "id": "9"}, "unknown_action"),
    ({"id": "9"}, "bad_request"),
    ({"action": "ping", "more": 1}, "bad_request"),
    (["ping"], "bad_request"),
    ("{not json", "bad_request"),
    (b"\x00\xff\xfe", "bad_request"),
    ("x" * 200_000, "bad_request"),
    ({"action": "ping", "id": "x" * 200_000}, "bad_request"),
]


def test_a_bad_message_is_answered_and_the_socket_stays_open(business: Business) -> None:
    with business.socket() as device:
        for message, code in BAD_MESSAGES:
            answer = device.ask(message)
            assert (answer["type"], answer["code"]) == ("error", code), str(message)[:80]
            assert answer["detail"]
        assert device.ask({"action": "ping", "id": "after"})["id"] == "after"
        assert len(business.items()) == 1


def test_the_third_socket_of_a_device_closes_the_one_that_was_heard_from_longest_ago(
    business: Business,
) -> None:
    with business.socket("till-1") as first, business.socket("till-1") as second:
        now = int(time.time())
        for socket, age in ((first, 120), (second, 90)):  # young ones are left alone
            business.write_connection(
                socket.connection_id, connected_at=now - age, last_seen_at=now, deviceId="till-1"
            )
        with business.socket("till-1") as third:
            assert first.is_closed()
            for socket in (second, third):
                assert socket.ask({"action": "ping", "id": "1"})["type"] == "pong"
            listed = business.call("GET", "connections").body["real"]
            assert [each["deviceId"] for each in listed] == ["till-1", "till-1"]


@pytest.mark.parametrize("action", ["$connect", "$disconnect"])
def test_a_message_with_a_reserved_action_closes_its_socket(
    business: Business, action: str
) -> None:
    with business.socket() as device:
        answer = device.ask({"action": action, "id": "11"})
        assert (answer["code"], answer["id"]) == ("reserved_action", "11")
        assert device.is_closed()
    eventually("its connection is removed", lambda: not business.items())


def test_a_socket_without_a_stored_connection_gets_an_error_and_is_closed(
    business: Business,
) -> None:
    with business.socket() as device:
        business.delete_item(f"CONNECTION#{device.connection_id}")
        answer = device.ask({"action": "ping", "id": "10"})
        assert answer["code"] == "not_registered"
        assert device.is_closed()
        assert business.items() == []


def test_a_device_that_sends_too_many_messages_gets_an_error_and_only_it_is_closed(
    business: Business,
) -> None:
    with business.socket() as flooding, business.socket() as other:
        ping = {"action": "ping", "id": "12"}
        # The limit is 60 in a minute. Another minute may begin in between, so send up to 122.
        answers: list[dict[str, Any]] = []
        while len(answers) < 122 and "code" not in (answer := flooding.ask(ping)):
            answers.append(answer)
        assert 60 <= len(answers) <= 120
        assert all(pong["type"] == "pong" for pong in answers)
        assert (answer["code"], answer["id"]) == ("too_many_messages", "12")
        assert flooding.is_closed()
        eventually("its connection is removed", lambda: len(business.real()) == 1)
        assert other.ask(ping)["type"] == "pong"
        assert [item["connectionId"] for item in business.real()] == [other.connection_id]


def test_messages_are_answered_in_the_order_in_which_they_were_sent(business: Business) -> None:
    with business.socket() as device:
        for number in range(20):
            device.socket.send(json.dumps({"action": "ping", "id": str(number)}))
        assert [device.receive()["id"] for _ in range(20)] == [str(n) for n in range(20)]
