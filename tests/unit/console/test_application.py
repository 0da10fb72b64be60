"""Who may ask the console for what."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from console import files
from console.application import MAX_BODY
from console.devices import DeviceDocument, NoSuchDevice
from console.rest import PASSED_ON
from lambdas.domain.identifiers import BusinessId
from lambdas.routes import ROUTES
from tests.unit.console.builders import (
    ACCESS_TOKEN,
    HOST,
    PORT,
    Browser,
    MemoryCloudWatch,
    Upstream,
    application,
)

PAUSE = "/api/rest/businesses/b1/pause"


def url_of(name: str) -> str:
    path = PASSED_ON[name].path.replace("{businessId}", "b1").replace("{connectionId}", "c1")
    return f"/api/rest{path}"


@pytest.mark.parametrize("host", [HOST, f"localhost:{PORT}"])
def test_it_answers_to_its_own_address(browser: Browser, host: str) -> None:
    assert browser.get("/api/alarms", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", f"evil.example:{PORT}", f"127.0.0.1.evil.example:{PORT}", "127.0.0.1"),
        *(
            f"{HOST}.",
            f"127.0.0.1:{PORT + 1}",
            f"user@{HOST}",
            f"{HOST}, evil.example",
            "",
            f"[::1]:{PORT}",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/alarms", "/style.css", "/nothing"])
def test_a_name_of_another_site_for_this_machine_reaches_nothing(
    browser: Browser, host: str, path: str
) -> None:
    answer = browser.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert set(answer.json) == {"error"}


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_make_it_ask_aws(
    browser: Browser, cloudwatch: MemoryCloudWatch, rest: Upstream, site: str
) -> None:
    for path in ("/api/alarms", "/api/metrics", "/api/rest/businesses/b1/status"):
        assert browser.get(path, headers={"Sec-Fetch-Site": site}).status_code == 403
    for path in ("/", "/runbook"):
        assert browser.get(path, headers={"Sec-Fetch-Site": site}).status_code == 200
    assert (cloudwatch.asked, rest.asked) == ([], [])


@pytest.mark.parametrize(
    "name", [name for name, route in PASSED_ON.items() if route.method != "GET"]
)
@pytest.mark.parametrize("token", [None, "", "wrong", "ü"])
def test_a_change_without_the_token_of_the_page_is_refused(
    browser: Browser, rest: Upstream, name: str, token: str | None
) -> None:
    headers = {} if token is None else {"X-Console-Token": token}
    answer = browser.ask(PASSED_ON[name].method, url_of(name), headers=headers)
    assert answer.status_code == 403
    assert rest.asked == []


def test_a_form_of_another_site_changes_nothing(browser: Browser, rest: Upstream) -> None:
    answer = browser.ask(
        "POST",
        "/api/rest/businesses/b1/messages",
        data={"X-Console-Token": browser.token},
        headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status_code == 403
    assert rest.asked == []


def test_the_token_is_another_one_at_each_start(
    cloudwatch: MemoryCloudWatch, rest: Upstream
) -> None:
    first, second = (Browser(application(cloudwatch, rest.url)) for _ in range(2))
    assert len(first.token) == len(second.token) == 43
    second.token = first.token
    assert second.change("DELETE", PAUSE).status_code == 403


@pytest.mark.parametrize(
    "path", ["/", "/runbook", "/api/alarms", "/api/nothing", "/nothing", "/api/metrics?hours=x"]
)
def test_every_answer_forbids_what_the_page_does_not_need(browser: Browser, path: str) -> None:
    headers = browser.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [name for name in headers.keys() if name.lower().startswith("access-control-")]  # noqa: SIM118


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PATCH", "PUT", "POST"])
def test_other_methods_are_refused(browser: Browser, method: str) -> None:
    answer = browser.change(method, "/api/alarms")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert set(answer.json) == {"error"}


def test_a_head_request_has_no_body(browser: Browser) -> None:
    answer = browser.ask("HEAD", "/api/alarms")
    assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.parametrize("path", ["/api/nothing", "/nothing", "/api/alarms/", "//api/alarms", "/%"])
def test_what_does_not_exist_is_a_json_error(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 404
    assert set(answer.json) == {"error"}


@pytest.mark.parametrize(
    "path",
    [
        *("/../server.py", "/..%2fserver.py", "/%2e%2e/server.py", "/..%5cserver.py"),
        *("/page/../../server.py", "//etc/passwd", "/%2fetc%2fpasswd", "/index.html"),
        *("/vendor/../../Makefile", "/vendor/package.json", "/link.js", "/secret.txt", "/%00.js"),
    ],
)
def test_only_files_of_the_page_are_served(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (tmp_path / "server.py").write_text("secret")
    (page / "secret.txt").write_text("secret")
    (page / "link.js").symlink_to(tmp_path / "server.py")
    (page / "app.js").write_text("fine")
    monkeypatch.setattr(files, "PAGE", page)
    assert browser.get("/app.js").data == b"fine"
    assert browser.get(path).status_code == 404


def test_the_library_for_charts_is_served(browser: Browser) -> None:
    answer = browser.get("/vendor/uPlot.esm.js")
    assert answer.status_code == 200
    assert answer.content_type == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("hours", ["0", "169", "-1", "1.5", "x", "", "١", "1e2"])
def test_a_wrong_number_of_hours_is_refused(
    browser: Browser, cloudwatch: MemoryCloudWatch, hours: str
) -> None:
    answer = browser.get("/api/metrics", query_string={"hours": hours})
    assert answer.status_code == 400
    assert "hours" in answer.json["error"]
    assert cloudwatch.asked == []


def test_a_failure_of_aws_is_told(browser: Browser, cloudwatch: MemoryCloudWatch) -> None:
    cloudwatch.broken = True
    for path in ("/api/alarms", "/api/metrics"):
        answer = browser.get(path)
        assert answer.status_code == 502
        assert "ExpiredToken" in answer.json["error"]


def test_many_tabs_ask_aws_once(browser: Browser, cloudwatch: MemoryCloudWatch) -> None:
    for _ in range(20):
        browser.get("/api/metrics?hours=3")
        browser.get("/api/alarms")
    assert len(cloudwatch.asked) == 2


def test_only_these_routes_of_the_product_can_be_reached(browser: Browser, rest: Upstream) -> None:
    reached = set()
    for name, route in ROUTES.items():
        path = route.path.replace("{businessId}", "b1").replace("{connectionId}", "c1")
        if browser.change(route.method, f"/api/rest{path}").status_code == 200:
            reached.add(name)
    assert reached == {
        *("get_businesses", "get_status", "get_connections", "get_opening_hours", "get_history"),
        *("put_pause", "delete_pause", "post_message", "delete_connection", "post_cleanup"),
    }
    assert len(rest.asked) == len(reached)


def test_a_huge_body_is_refused(browser: Browser, rest: Upstream) -> None:
    answer = browser.change("PUT", PAUSE, "x" * MAX_BODY)
    assert answer.status_code == 413
    assert rest.asked == []


def test_a_body_that_does_not_say_its_length_is_refused(browser: Browser, rest: Upstream) -> None:
    answer = browser.change("PUT", PAUSE, {}, headers={"Transfer-Encoding": "chunked"})
    assert answer.status_code == 411
    assert rest.asked == []


def test_the_access_token_is_told_to_the_rest_api_alone(browser: Browser, rest: Upstream) -> None:
    told = []
    for path in ("/", "/runbook", "/api/environment", "/api/metrics", "/api/alarms"):
        told.append(browser.get(path))
    for name, route in PASSED_ON.items():
        told.append(browser.change(route.method, url_of(name)))
    assert all(answer.status_code == 200 for answer in told)
    assert len(rest.asked) == len(PASSED_ON)
    for _, path, headers, _ in rest.asked:
        assert headers["Authorization"] == f"Bearer {ACCESS_TOKEN}"
        assert ACCESS_TOKEN not in path
        assert "X-Console-Token" not in headers
    for answer in told:
        assert ACCESS_TOKEN not in answer.text + str(answer.headers)


def test_an_environment_without_devices_has_nothing_to_play_with(browser: Browser) -> None:
    assert browser.get("/api/environment").json["devices"] is False
    assert browser.get("/api/devices").status_code == 404
    assert browser.change("POST", "/api/availability", {}).status_code in (404, 405)


class RecordingDevices:
    """Devices that only remember what they were told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def documents(self) -> Sequence[DeviceDocument]:
        return []

    def connect(self, business_ids: Sequence[BusinessId]) -> Sequence[str]:
        self.told.append(list(business_ids))
        return [f"d{number}" for number, _ in enumerate(business_ids, start=1)]

    def silence(self, device_id: str) -> None:
        if device_id != "d1":
            raise NoSuchDevice(device_id)
        self.told.append(("silence", device_id))

    cut = close = wake = silence

    def set_available(self, business_id: BusinessId, available: bool) -> None:
        self.told.append((business_id, available))


@pytest.fixture
def devices() -> RecordingDevices:
    return RecordingDevices()


@pytest.fixture
def player(cloudwatch: MemoryCloudWatch, devices: RecordingDevices, rest: Upstream) -> Browser:
    return Browser(application(cloudwatch, rest.url, devices=devices))


@pytest.mark.parametrize(
    ("wanted", "businesses"),
    [
        ({"businessId": "shop-1"}, ["shop-1"]),
        ({"businessId": "shop-1", "count": 3}, ["shop-1"] * 3),
        ({"businessId": "shop-7", "count": 2, "spread": True}, ["shop-1", "shop-2"]),
        ({"businessId": "shop", "count": 2, "spread": True}, ["shop-1", "shop-2"]),
    ],
)
def test_devices_connect(
    player: Browser, devices: RecordingDevices, wanted: object, businesses: list[str]
) -> None:
    answer = player.change("POST", "/api/devices", wanted)
    assert answer.status_code == 201
    assert answer.json == {"devices": [f"d{n}" for n in range(1, len(businesses) + 1)]}
    assert devices.told == [businesses]


@pytest.mark.parametrize(
    "wanted",
    [
        *(None, [], "x", {}, {"businessId": 1}, {"businessId": "a/b"}, {"businessId": ""}),
        *({"businessId": "a", "count": count} for count in (0, 51, "1", True, 1.0, None)),
        {"businessId": "a", "spread": 1},
        {"businessId": "a" * 64, "count": 2, "spread": True},
    ],
)
def test_wrong_devices_are_refused(
    player: Browser, devices: RecordingDevices, wanted: object
) -> None:
    answer = player.change("POST", "/api/devices", wanted)
    assert answer.status_code == 400
    assert set(answer.json) == {"error"}
    assert devices.told == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"NaN"])
def test_a_body_that_is_not_a_json_object_is_refused(player: Browser, body: bytes) -> None:
    headers = {"X-Console-Token": player.token}
    assert player.ask("POST", "/api/devices", headers=headers, data=body).status_code == 400


def test_a_device_does_what_it_is_told(player: Browser, devices: RecordingDevices) -> None:
    assert player.change("POST", "/api/devices/d1/cut").status_code == 204
    assert player.change("POST", "/api/devices/d9/cut").status_code == 404
    assert player.change("POST", "/api/devices/d1/set_available").status_code in (404, 405)
    assert len(devices.told) == 1


def test_availability_is_true_or_false(player: Browser, devices: RecordingDevices) -> None:
    for available in (None, 1, "true"):
        wanted = {"businessId": "b1", "available": available}
        assert player.change("POST", "/api/availability", wanted).status_code == 400
    wanted = {"businessId": "b1", "available": False}
    assert player.change("POST", "/api/availability", wanted).status_code == 204
    assert devices.told == [("b1", False)]


def test_the_page_asks_for_nothing_that_is_not_served(browser: Browser) -> None:
    for reference in re.findall(r'(?:href|src)="([^"#]+)"', browser.get("/").text):
        assert browser.get("/" + reference.removeprefix("/")).status_code == 200, reference
