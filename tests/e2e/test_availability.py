"""What happens to settings and connections when a business declares its availability."""

from urllib.parse import quote

from tests.e2e.harness import USER, Business, eventually


def test_going_available_stores_settings_and_a_virtual_connection(
    business: Business,
) -> None:
    status = business.set_available(True)
    assert status["overallStatus"] == "VIRTUAL_ONLY"
    assert status["online"] is True
    assert status["isAvailableForOrders"] is True
    assert status["hasRealTimeConnection"] is False
    assert status["hasVirtualStatus"] is True
    assert status["counts"] == {"real": 0, "virtual": 1}
    assert {reason["code"] for reason in status["reasons"]} == {
        "accepting_orders",
        "no_real_connection",
        "virtual_connection_active",
    }
    assert all(reason["detail"] for reason in status["reasons"])

    settings, virtual = business.items()
    assert (settings["sk"], settings["acceptingOrders"]) == ("BUSINESS", True)
    assert virtual["sk"] == f"CONNECTION#VIRTUAL#{business.id}#{quote(USER)}"
    assert virtual["isVirtualConnection"] is True
    assert "connectionId" not in virtual


def test_an_available_business_with_a_device_is_online(business: Business) -> None:
    with business.socket() as device:
        status = business.set_available(True)
        assert status["overallStatus"] == "ONLINE"
        assert status["counts"] == {"real": 1, "virtual": 1}
        connections = business.call("GET", "connections").body
        assert [c["connectionId"] for c in connections["real"]] == [device.connection_id]
        assert [c["userId"] for c in connections["virtual"]] == [USER]


def test_going_unavailable_notifies_and_closes_every_socket_and_removes_all_connections(
    business: Business,
) -> None:
    business.set_available(True)
    with business.socket() as one, business.socket() as other:
        status = business.set_available(False)
        assert status["overallStatus"] == "OFFLINE"
        assert status["online"] is False
        assert status["socketsRemaining"] == 0
        for device in (one, other):
            message = device.receive()
            assert (message["type"], message["available"]) == ("availability.changed", False)
            assert device.is_closed()
        (settings,) = business.items()
        assert (settings["sk"], settings["acceptingOrders"]) == ("BUSINESS", False)
        assert business.status()["overallStatus"] == "OFFLINE"


def test_a_device_may_connect_while_its_business_is_unavailable(business: Business) -> None:
    business.set_available(False)
    with business.socket():
        assert business.status()["overallStatus"] == "CONNECTED_NOT_ACCEPTING"
    eventually(
        "it is offline again", lambda: business.status()["overallStatus"] == "OFFLINE", seconds=5
    )


def test_a_business_is_unknown_until_somebody_declares_it(business: Business) -> None:
    assert business.status()["overallStatus"] == "UNKNOWN"
    assert business.call("GET", "online").body["online"] is None
