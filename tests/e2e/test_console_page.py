"""The console's page in a real browser, on the running system.

`CHROMIUM` names a browser; `WITHOUT_BROWSER=1` skips these tests. `make screenshots` makes the
images of docs.
"""

import base64
import io
import json
import math
import os
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, ViewportSize, expect

from contracts.examples import answers
from lambdas.observability import DIMENSION, NAMESPACE
from operations.shared.repository import ROOT
from tests.e2e.browser import find_chromium, running_browser, with_palette
from tests.e2e.harness import Business, System, wait_until

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import MetricDatumTypeDef

pytestmark = pytest.mark.skipif(
    os.environ.get("WITHOUT_BROWSER") == "1", reason="WITHOUT_BROWSER=1"
)

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP: ViewportSize = {"width": 1200, "height": 900}
LOOKS: tuple[tuple[ViewportSize, Literal["light", "dark"]], ...] = (
    (DESKTOP, "light"),
    ({"width": 390, "height": 844}, "dark"),
)

expect.set_options(timeout=15_000)


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about. Must be empty at the end of each test."""
    return []


@contextmanager
def opened_page(browser: Browser, system: System, complaints: list[str]) -> Iterator[Page]:
    """Open a page of the console. Fails at the end if the browser complained."""
    console = system.endpoints.consoleUrl
    context = browser.new_context(base_url=console, timezone_id="UTC", viewport=DESKTOP)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda r: None if r.url.startswith(console) else complaints.append(f"asked for {r.url}"),
    )
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def page(browser: Browser, system: System, complaints: list[str]) -> Iterator[Page]:
    with opened_page(browser, system, complaints) as page:
        yield page


@pytest.fixture(scope="session", autouse=True)
def story(request: pytest.FixtureRequest, system: System) -> Iterator[Future[None]]:
    """Plays the story in the background, in a browser of its own, if it is asked for. It mostly
    waits, so other tests run meanwhile.
    """
    with ThreadPoolExecutor(max_workers=1) as background:
        asked_for = os.environ.get("WITHOUT_BROWSER") != "1" and any(
            "frozen_device_in" in item.name for item in request.session.items
        )
        # Not in the thread: it would race for a token.
        yield background.submit(play, system, Business(system)) if asked_for else Future()


@pytest.mark.last
def test_the_story_of_a_frozen_device_in_the_browser(story: Future[None]) -> None:
    story.result(timeout=180)


def play(system: System, business: Business) -> None:
    try:
        with running_browser(find_chromium()) as browser, opened_page(browser, system, []) as page:
            tell_the_story(page, system, business)
    finally:
        # Once the page is closed: it would complain that the business is gone.
        business.delete_items()


def assert_accessible(page: Page) -> None:
    """Fail if axe finds a violation on a desktop in light, or on a phone in dark."""
    page.evaluate(AXE.read_text())  # the page's policy would refuse a script tag
    for viewport, scheme in LOOKS:
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("axe.run()")["violations"]
        assert found == [], (viewport, scheme, found)
        overflow = "document.documentElement.scrollWidth - innerWidth"
        assert page.evaluate(overflow) <= 0, (viewport, "wider than the screen")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESKTOP)


def answer_in_dialog(page: Page, button: str, answer: str) -> None:
    """Confirm what the open dialog asks, see the answer, and close it."""
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=button, exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text(answer)
    dialog.get_by_role("button", name="Close", exact=True).click()
    expect(dialog).to_have_count(0)


def go_to(page: Page, view: str) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.locator(".loading")).to_have_count(0)


def panel(page: Page, heading: str) -> Locator:
    return page.get_by_role("region", name=heading, exact=True)


def tell_the_story(page: Page, system: System, business: Business) -> None:
    """A device connects, its business goes available, the device goes silent, the alarm goes off,
    an operator pauses the business, and the device returns.
    """
    page.goto("/")
    go_to(page, "Devices to play with")
    page.get_by_label("Business", exact=True).fill(business.id)
    page.get_by_role("button", name="Connect a device").click()
    device = page.get_by_role("row").filter(has_text=business.id)
    live = (
        panel(page, "Their businesses, live").get_by_role("listitem").filter(has_text=business.id)
    )
    expect(device).to_contain_text("Connected")

    live.get_by_role("button", name="Available", exact=True).click()
    expect(live).to_contain_text("Online")

    live.get_by_role("button", name="Push a message").click()
    answer_in_dialog(page, "Push", "Sent to 1 device.")
    expect(live.get_by_role("button", name="Push a message")).to_be_focused()
    expect(device.get_by_role("cell").nth(1)).to_have_text("1")

    device.get_by_role("button", name="Silence").click()
    expect(device).to_contain_text("Silent")
    assert_accessible(page)
    expect(page.locator(".guide")).to_contain_text("counts as silent")
    expect(live).to_contain_text("Virtual only", timeout=40_000)
    system.clean_up()
    expect(live).to_contain_text("Needs attention for")
    # On a slow machine the grace is over before the page is looked at.
    expect(page.locator(".guide")).to_contain_text(re.compile("its grace is over|The alarm fires"))

    business.age_attention(30)
    system.clean_up()
    go_to(page, "Fleet")
    alarm = panel(page, "Alarms").get_by_role("listitem").filter(has_text="Virtual without real")
    expect(alarm).to_contain_text("In alarm", timeout=30_000)
    runbook = alarm.get_by_role("link", name="Runbook: Virtual without real")
    expect(runbook).to_have_attribute("href", "/runbook#virtual-without-real")
    trouble = panel(page, "Businesses in trouble").get_by_role("row").filter(has_text=business.id)
    expect(trouble).to_contain_text("Virtual only")
    expect(page.get_by_role("img", name="Businesses that customers see open")).to_be_visible()
    assert_accessible(page)

    trouble.get_by_role("button", name="Pause").click()
    answer_in_dialog(page, "Pause", "Paused until")
    expect(trouble).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_focused()  # the button is gone

    page.get_by_role("searchbox").fill(business.id)
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(business.id)
    expect(panel(page, "Status")).to_contain_text("no device is connected")  # the reason
    happened = panel(page, "What happened")
    expect(happened.get_by_role("row").nth(-1)).to_be_visible()
    expect(happened.get_by_role("table", name="Transitions")).to_contain_text("an operator's call")
    expect(happened.get_by_role("img")).to_have_accessible_name(
        re.compile(r"Statuses from .* Online .*Virtual only from .*Offline from")
    )
    assert_accessible(page)

    page.get_by_role("button", name="Resume").click()
    answer_in_dialog(page, "Resume", "The pause is over.")
    go_to(page, "Devices to play with")
    device.get_by_role("button", name="Wake").click()
    expect(live).to_contain_text("Online")
    live.get_by_role("button", name="Unavailable").click()
    expect(device).to_contain_text("Closed")


def test_an_operator_looks_after_one_business(business: Business, page: Page) -> None:
    business.set_available(True)
    hours = {
        "timeZone": "Europe/Berlin",
        "weekly": {"mo": [["11:00", "14:00"], ["17:00", "02:00"]]},
    }
    assert business.call("PUT", "opening-hours", body=hours).status == 200
    with business.socket() as socket:
        page.goto(f"/#/business/{business.id}")
        picture = panel(page, "Opening hours").get_by_role("img")
        expect(picture).to_have_accessible_name(
            re.compile("Mon 11:00 to 14:00, 17:00 to 02:00; Tue closed")
        )
        real = panel(page, "Real connections")
        expect(real.get_by_role("row")).to_have_count(2)  # one is the heads
        with page.expect_request("**/cleanup") as looked:
            page.get_by_role("button", name="Clean up").click()
        assert looked.value.post_data_json == {"dryRun": True}
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("status")).to_contain_text("they have only just begun: 1")
        assert_accessible(page)
        with page.expect_request("**/cleanup") as done:
            answer_in_dialog(page, "Clean up now", "they have only just begun: 1")
        assert done.value.post_data_json == {"dryRun": False}
        expect(page.get_by_role("button", name="Clean up")).to_be_focused()

        real.get_by_role("button", name="Close").click()
        answer_in_dialog(page, "Close it", "The connection is closed.")
        assert socket.is_closed()
        expect(real).to_contain_text("No device is stored")
        expect(page.get_by_role("heading", level=1)).to_be_focused()  # its button is gone

    page.get_by_role("button", name="Push a message").click()
    page.get_by_label("Message (JSON)").fill("{")
    dialog.get_by_role("button", name="Push", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("This is not JSON")
    page.get_by_label("Message (JSON)").fill('"order 1042"')
    answer_in_dialog(page, "Push", "It reached nobody. Call the merchant.")


def test_a_page_that_loads_and_one_whose_server_fails_say_so(
    page: Page, complaints: list[str]
) -> None:
    held: list[Route] = []
    page.route("**/api/metrics*", lambda route: held.append(route))
    page.goto("/")
    expect(panel(page, "Over time")).to_have_attribute("aria-busy", "true")
    expect(panel(page, "Alarms").locator(".loading")).to_have_count(0)
    assert_accessible(page)
    held[0].fulfill(status=502, json={"error": "CloudWatch does not answer."})
    page.unroute("**/api/metrics*")
    expect(panel(page, "Over time")).to_contain_text("502: CloudWatch does not answer.")
    expect(page.get_by_text("next attempt in")).to_be_visible()
    page.get_by_role("button", name="Try now").click()
    expect(panel(page, "Over time").get_by_role("img").first).to_be_visible()
    expect(page.get_by_role("button", name="Try now")).to_be_hidden()

    page.route("**/api/alarms", lambda route: route.abort())
    expect(panel(page, "Alarms")).to_contain_text("The console's server does not answer.")
    expect(panel(page, "Alarms").get_by_text("OK", exact=False).first).to_be_attached()
    assert_accessible(page)
    assert all("Failed to load resource" in each for each in complaints)
    complaints.clear()


def test_a_page_that_fails_says_so(page: Page, complaints: list[str]) -> None:
    alert = page.get_by_role("alert")
    page.goto("/")
    expect(page.locator(".loading")).to_have_count(0)
    expect(alert).to_have_count(0)
    page.evaluate("void Promise.reject(new Error('no <b>promise'))")
    expect(alert).to_contain_text("no <b>promise")
    assert_accessible(page)
    page.route("**/charts.js", lambda route: route.fulfill(content_type="text/javascript"))
    page.goto("/")
    expect(alert).to_contain_text("'./charts.js' does not provide an export")
    page.route("**/charts.js", lambda route: route.fulfill(status=404))
    page.goto("/")
    expect(alert).to_contain_text("/app.js or a part of it could not be loaded")
    assert len(complaints) == 3, complaints
    complaints.clear()


def test_text_from_outside_is_never_markup(page: Page, complaints: list[str]) -> None:
    page.goto("/#/business/%3Cimg%20src%3Dx%3E")
    expect(page.get_by_role("heading", level=1)).to_have_text("<img src=x>")
    expect(panel(page, "Status")).to_contain_text("must be 1 to 64 characters")
    assert page.locator("main img[src]").count() == 0
    assert all("400" in each for each in complaints)
    complaints.clear()


def test_the_runbook_opens_at_a_section(page: Page) -> None:
    page.goto("/runbook#virtual-without-real")
    expect(page.get_by_role("heading", name="Virtual without real")).to_be_in_viewport()
    assert_accessible(page)


def test_the_timeline_follows_the_history(page: Page) -> None:
    page.goto("/runbook")
    read = """async (history) => {
        const { spans, uptime } = await import("/history.js");
        return { spans: spans(history), uptime: uptime(history.seconds) };
    }"""
    history = answers()["get_history"]
    seen = page.evaluate(read, history)
    assert [(s["status"], s["attention"], s["end"] - s["start"]) for s in seen["spans"]] == [
        ("CONNECTED_NOT_ACCEPTING", None, 1200),
        ("ONLINE", None, 1800),
        ("VIRTUAL_ONLY", None, 312),
        ("VIRTUAL_ONLY", "virtual-only", 288),
    ]
    assert seen["spans"][-1]["end"] == datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    assert seen["uptime"]["heard"] / seen["uptime"]["accepting"] == 0.75
    nothing = {**history, "transitions": [], "seconds": {"UNKNOWN": 600, "OFFLINE": 3000}}
    statuses = [s["status"] for s in page.evaluate(read, nothing)["spans"]]
    assert statuses == ["UNKNOWN", "OFFLINE"]


@pytest.mark.skipif(os.environ.get("SCREENSHOTS") != "1", reason="only by `make screenshots`")
def test_screenshots(page: Page, system: System) -> None:
    """Make the images of docs, of a fleet with some businesses in trouble."""
    system.demo.terminate()  # its business would be in the way
    system.demo.wait()
    publish_the_last_hour(system)
    page.goto("/#/devices")
    page.evaluate(
        """async () => {
            const { change } = await import("/api.js");
            const some = { businessId: "shop-1", count: 20, spread: true };
            await change("POST", "/api/devices", some);
        }"""
    )
    devices = panel(page, "Devices").get_by_role("row")
    expect(devices.filter(has_text="Connected")).to_have_count(20, timeout=60_000)
    businesses = panel(page, "Their businesses, live")
    businesses.get_by_role("button", name="Available", exact=True).first.click()
    expect(page.get_by_text("Done for 20 businesses.")).to_be_visible(timeout=60_000)
    for shop, command in (("shop-7", "Silence"), ("shop-12", "Cut"), ("shop-3", "Silence")):
        row = devices.filter(has=page.get_by_role("link", name=shop, exact=True))
        row.get_by_role("button", name=command).click()
    live = businesses.get_by_role("listitem")
    expect(live.filter(has_text="Virtual only")).to_have_count(3, timeout=60_000)
    system.clean_up()
    expect(live.filter(has_text="Needs attention for")).to_have_count(3)
    wait_until(time.time() + 31)  # the grace
    system.clean_up()
    save_screenshot(page, "devices")

    go_to(page, "Fleet")
    alarms = panel(page, "Alarms").get_by_text("In alarm")
    expect(alarms.first).to_be_visible(timeout=30_000)
    row = (
        panel(page, "Businesses in trouble")
        .get_by_role("row")
        .filter(has=page.get_by_role("link", name="shop-3", exact=True))
    )
    expect(row).to_be_visible()
    save_screenshot(page, "fleet")
    row.get_by_role("button", name="Pause").click()
    answer_in_dialog(page, "Pause", "Paused until")

    page.goto("/#/business/shop-3")
    transitions = panel(page, "What happened").get_by_role("table", name="Transitions")
    expect(transitions).to_contain_text("an operator's call")
    wait_until(time.time() + 10)
    page.get_by_role("button", name="Resume").click()
    answer_in_dialog(page, "Resume", "The pause is over.")
    go_to(page, "Devices to play with")
    row = devices.filter(has=page.get_by_role("link", name="shop-3", exact=True))
    row.get_by_role("button", name="Wake").click()
    expect(row).to_contain_text("Connected")
    wait_until(time.time() + 20)
    page.goto("/#/business/shop-3")
    expect(transitions.get_by_role("row")).to_have_count(7, timeout=60_000)
    save_screenshot(page, "business")


def publish_the_last_hour(system: System) -> None:
    """Let the charts show more than the minutes for which the system has been running."""
    now = int(time.time()) // 60 * 60
    data: list[MetricDatumTypeDef] = []
    for age in range(60, 1, -1):
        wave = math.sin(age / 7)
        values = {
            "RealConnections": 19 + 2 * wave,
            "VirtualConnections": 18 + 1.5 * math.sin(age / 9),
            "OnlineBusinesses": 18,
            "ClosedBusinesses": 2,
            "VirtualOnlyBusinesses": int(33 < age < 38) + 2 * int(34 < age < 36),
            "UnreachableBusinesses": 0,
            "StaleRealRemoved": int(age % 11 == 0),
            "ExpiredVirtualRemoved": int(age % 17 == 0),
            "Connected": 2 + round(2 * wave),
            "Disconnected": 2 - round(2 * wave),
        }
        data += [
            {
                "MetricName": name,
                "Dimensions": [{"Name": DIMENSION, "Value": "local"}],
                "Timestamp": datetime.fromtimestamp(now - 60 * age, UTC),
                "Value": round(value),
            }
            for name, value in values.items()
        ]
    for start in range(0, len(data), 500):
        system.client("cloudwatch").put_metric_data(
            Namespace=NAMESPACE, MetricData=data[start : start + 500]
        )


def save_screenshot(page: Page, name: str) -> None:
    page.evaluate("scrollTo(0, 0)")
    page.mouse.move(0, 0)
    expect(page.get_by_role("status").get_by_role("paragraph")).to_have_count(0)
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    (images / f"console-{name}.png").write_bytes(with_palette(page.screenshot(full_page=True)))


def test_a_page_of_another_site_cannot_make_the_emulator_run_code(
    browser: Browser, system: System, tmp_path: Path
) -> None:
    """By requests that a browser sends without asking first: a text, and a plain form."""
    url = f"{system.endpoints.awsEndpointUrl}/2015-03-31/functions"
    function = {
        "Runtime": "python3.12",
        "Role": "arn:aws:iam::000000000000:role/any",
        "Handler": "index.handler",
        "Code": {"ZipFile": _zipped("index.py", "def handler(event, context): return 1")},
    }
    by_text = json.dumps({**function, "FunctionName": "by-text"})
    by_form = json.dumps({**function, "FunctionName": "by-form"})[:-1] + ', "Description": "'
    fetched = """([url, body]) =>
        fetch(url, {method: "POST", body, headers: {"Content-Type": "text/plain"}})
        .then(() => "answered", () => "refused")"""
    submit = """([url, name, value]) => {
        const form = document.createElement("form");
        form.method = "POST", form.action = url, form.enctype = "text/plain";
        form.append(Object.assign(document.createElement("input"), {name, value}));
        document.body.append(form);
        form.submit();
    }"""
    (tmp_path / "index.html").write_text("<p>")
    with _served(tmp_path) as port, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://localhost:{port}/")  # another site than that of 127.0.0.1
        assert page.evaluate(fetched, [url, by_text]) == "refused"
        with page.expect_navigation() as navigation:
            page.evaluate(submit, [url, by_form, '"}'])
        assert navigation.value.status == 403
    functions = system.client("lambda").list_functions()["Functions"]
    assert not {"by-text", "by-form"} & {each["FunctionName"] for each in functions}


@contextmanager
def _served(folder: Path) -> Iterator[int]:
    """Serve a folder on this machine. Yields the port."""
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def _zipped(name: str, text: str) -> str:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(name, text)
    return base64.b64encode(archive.getvalue()).decode()
