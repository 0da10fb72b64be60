"""The console of the running system: what it shows, and the devices to play with."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest

from local.rest import Answer, call
from operations.shared.repository import ROOT
from tests.e2e.harness import Business, System, eventually
from tests.runbook import sections


class Console:
    """The console, as somebody with its page open uses it."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        page = call("GET", self._url).body
        found = re.search(r'<meta name="console-token" content="([^"]+)">', page)
        assert found
        self._token = found[1]

    def ask(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] = {}
    ) -> Answer:
        headers = {"X-Console-Token": self._token, **headers}
        return call(method, f"{self._url}{path}", body=body, headers=headers)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.body

    def command(self, path: str, body: object = None) -> None:
        answer = self.ask("POST", path, body)
        assert answer.status == 204, answer

    def connect(self, business: str, count: int) -> list[str]:
        """Connect devices and wait until the service's list has them."""
        wanted = {"businessId": business, "count": count}
        answer = self.ask("POST", "/api/devices", wanted)
        assert answer.status == 201, answer
        ids: list[str] = answer.body["devices"]
        eventually(
            "the devices are connected",
            lambda: all(d["connectionId"] for d in self.devices(*ids)),
            seconds=30,
        )
        return ids

    def devices(self, *ids: str) -> list[dict[str, Any]]:
        return [each for each in self.get("/api/devices")["devices"] if each["id"] in ids]

    def state(self, device: str) -> str:
        (found,) = self.devices(device)
        return str(found["state"])

    def connections(self, business: Business) -> set[str]:
        """The connections that the service lists, by id."""
        listed = self.get(f"/api/rest/businesses/{business.id}/connections")["real"]
        return {each["connectionId"] for each in listed}


@pytest.fixture
def console(system: System) -> Console:
    return Console(system.endpoints.consoleUrl)


def test_it_knows_the_environment(console: Console) -> None:
    environment = console.get("/api/environment")
    assert environment.pop("deployed")
    assert environment.pop("causes")["lease_ended"] == "the last lease ended"
    assert environment == {
        "name": "local",
        "region": "us-east-1",
        "dashboardUrl": None,
        "interval": 60,
        "silentAfter": 25,
        "attentionGrace": 30,
        "devices": True,
        "feed": True,
    }


def test_it_draws_what_the_census_counted(system: System, console: Console) -> None:
    before = int(time.time())
    system.clean_up()
    # An answer is kept for some seconds, by its number of hours.
    hours = iter(range(1, 169))

    def drawn() -> Any:
        series = console.get(f"/api/metrics?hours={next(hours)}")["series"]
        gauges = ("RealConnections", "VirtualOnlyBusinesses", "ClosedBusinesses")
        newest = [dict(series[name]).get(before // 60 * 60) for name in gauges]
        return None not in newest and newest

    newest = eventually("the census is drawn", drawn, seconds=30)
    assert all(value >= 0 for value in newest)


def test_it_lists_the_alarms_and_where_to_read_on(system: System, console: Console) -> None:
    alarms = console.get("/api/alarms")["alarms"]
    assert {alarm["name"] for alarm in alarms} == set(system.endpoints.alarmNames)
    assert {alarm["section"] for alarm in alarms} <= set(sections())
    page = console.get("/runbook")
    for alarm in alarms:
        assert f'id="{alarm["runbook"].partition("#")[2]}"' in page


def test_it_acts_as_an_operator(business: Business, console: Console) -> None:
    business.set_available(True)
    of_business = f"/api/rest/businesses/{business.id}"
    paused = console.ask("PUT", f"{of_business}/pause", {"reason": "test", "until": _in_an_hour()})
    assert paused.status == 200, paused
    assert paused.body["pausedBy"].startswith("console-")
    assert console.get(f"{of_business}/status")["isAvailableForOrders"] is False
    assert console.ask("DELETE", f"{of_business}/pause").status == 200
    business.set_available(False)
    assert console.get(f"{of_business}/history")["businessId"] == business.id
    assert console.get("/api/rest/businesses?attention=unreachable")["businesses"] is not None
    refused = console.ask("PUT", f"{of_business}/pause", {"until": "tomorrow"})
    assert (refused.status, refused.content_type) == (400, "application/problem+json")


def _in_an_hour() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))


def test_devices_behave_as_they_are_told_and_the_service_sees_it(
    business: Business, console: Console
) -> None:
    cut, closed, silent, ended = console.connect(business.id, 4)
    ids = {each["id"]: each["connectionId"] for each in console.devices(cut, closed, silent, ended)}
    assert console.connections(business) == set(ids.values())

    console.command(f"/api/devices/{silent}/silence")
    console.command(f"/api/devices/{cut}/cut")
    console.command(f"/api/devices/{closed}/close")
    one = f"/api/rest/businesses/{business.id}/connections/{ids[ended]}"
    assert console.ask("DELETE", one).status == 204
    eventually(
        "the service has one connection left",
        lambda: console.connections(business) == {ids[silent]},
        seconds=30,
    )
    states = [console.state(device) for device in (cut, closed, silent, ended)]
    assert states == ["cut", "closed", "silent", "closed"]

    sent = console.ask("POST", f"/api/rest/businesses/{business.id}/messages", {"order": 7})
    assert (sent.status, sent.body["sent"]) == (200, 1), sent
    (listening,) = console.devices(silent)
    eventually("it is received", lambda: console.devices(silent)[0]["received"] == 1)
    assert console.devices(silent)[0]["lastMessage"] == '{"order": 7}'
    assert listening["id"] == silent

    console.command(f"/api/devices/{silent}/wake")
    console.command(f"/api/devices/{cut}/wake")
    eventually(
        "both are connected",
        lambda: [console.state(device) for device in (silent, cut)] == ["connected"] * 2,
        seconds=30,
    )
    eventually("the service has both", lambda: len(console.connections(business)) == 2)
    for device in (silent, cut):
        console.command(f"/api/devices/{device}/close")


def test_a_member_declares_availability(business: Business, console: Console) -> None:
    console.command("/api/availability", {"businessId": business.id, "available": True})
    assert business.status()["counts"]["virtual"] == 1
    console.command("/api/availability", {"businessId": business.id, "available": False})
    assert business.status()["overallStatus"] == "OFFLINE"


def test_no_token_of_the_product_reaches_the_page(console: Console) -> None:
    paths = ("/", "/runbook", "/api/environment", "/api/metrics", "/api/alarms", "/api/devices")
    for path in paths:
        answer = console.ask("GET", path)
        # A JSON Web Token begins like this.
        assert "eyJ" not in str(answer.body)


@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1"])
def test_another_host_is_refused(console: Console, host: str) -> None:
    assert console.ask("GET", "/api/alarms", headers={"Host": host}).status == 421


@pytest.fixture
def shell(system: System) -> dict[str, str]:
    """The settings of a shell, as if the emulator were AWS."""
    return dict(system.endpoints.emulator.variables())


def test_an_environment_that_is_not_deployed_is_explained(
    system: System, shell: Mapping[str, str]
) -> None:
    done = system.run_tool("console", "--environment", "staging", **shell)
    assert done.returncode == 2
    assert "there is no stack BusinessConnections-staging" in done.stderr


def test_the_verb_serves_a_deployed_environment_and_leaves_no_operator(
    system: System, shell: Mapping[str, str]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "console", "--environment", "local"],
        cwd=ROOT,
        env={**os.environ, **shell, "CONSOLE_PORT": "0", "LOCAL_STATE": str(system.state / "no")},
        stdout=subprocess.PIPE,
        text=True,
    ) as verb:
        assert verb.stdout
        url = verb.stdout.readline().split()[4]
        console = Console(url)
        assert console.get("/api/environment")["devices"] is False
        assert console.ask("GET", "/api/devices").status == 404
        assert console.get("/api/rest/businesses/b1/status")["businessId"] == "b1"
        assert _operators(system)
        verb.send_signal(signal.SIGINT)
        assert verb.wait(timeout=20) == 0
    assert _operators(system) == []


def _operators(system: System) -> list[str]:
    users = system.client("cognito-idp").list_users(UserPoolId=system.endpoints.userPoolId)["Users"]
    return [user["Username"] for user in users if user["Username"].startswith("console-")]
