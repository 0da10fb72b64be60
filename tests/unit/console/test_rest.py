"""What the console passes on to the product's REST API, and what it makes of the answers."""

import json
from urllib.parse import quote

import pytest

from tests.unit.console.builders import Browser, MemoryCloudWatch, Upstream, application


def test_a_call_arrives_as_it_was_made(browser: Browser, rest: Upstream) -> None:
    browser.get("/api/rest/businesses/b%3A1/history?from=2026-01-01T00:00:00Z&cursor=a%2Bb")
    browser.change(
        *("POST", "/api/rest/businesses/b1/messages", {"order": 1}),
        headers={"Idempotency-Key": "k1", "Cookie": "a=b"},
    )
    browser.change("DELETE", f"/api/rest/businesses/b1/connections/{quote('a/b+c=', safe='')}")
    (history, message, close) = rest.asked
    assert history[:2] == (
        *("GET", "/v1/businesses/b%3A1/history?from=2026-01-01T00:00:00Z&cursor=a%2Bb"),
    )
    assert message[:2] == ("POST", "/v1/businesses/b1/messages")
    assert json.loads(message[3]) == {"order": 1}
    assert message[2]["Content-Type"] == "application/json"
    assert message[2]["Idempotency-Key"] == "k1"
    assert "Cookie" not in message[2]
    assert close[:2] == ("DELETE", "/v1/businesses/b1/connections/a%2Fb%2Bc%3D")


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 409, 429, 500, 503])
def test_an_answer_passes_through_with_any_status(
    browser: Browser, rest: Upstream, status: int
) -> None:
    rest.status, rest.body = status, b'{"detail": "as it is"}'
    rest.headers = {"Content-Type": "application/problem+json", "Retry-After": "3", "X-Other": "1"}
    answer = browser.get("/api/rest/businesses/b1/status")
    assert (answer.status_code, answer.data) == (status, rest.body)
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Retry-After"] == "3"
    assert "X-Other" not in answer.headers


def test_an_answer_without_a_body_names_no_type(browser: Browser, rest: Upstream) -> None:
    rest.status, rest.body = 204, b""
    answer = browser.change("DELETE", "/api/rest/businesses/b1/connections/c1")
    assert (answer.status_code, answer.data) == (204, b"")
    assert "json" not in answer.content_type


@pytest.mark.parametrize("kind", ["text/html", "text/javascript", ""])
def test_an_answer_that_is_not_json_never_reaches_the_page(
    browser: Browser, rest: Upstream, kind: str
) -> None:
    rest.headers, rest.body = {"Content-Type": kind}, b"<script>"
    answer = browser.get("/api/rest/businesses/b1/status")
    assert answer.status_code == 502
    assert "script" not in answer.text


def test_the_access_token_does_not_follow_a_redirect(browser: Browser, rest: Upstream) -> None:
    rest.status, rest.headers = 302, {"Location": f"{rest.url}/elsewhere", "Content-Type": ""}
    assert browser.get("/api/rest/businesses/b1/status").status_code == 502
    assert len(rest.asked) == 1


@pytest.mark.parametrize(
    "path",
    [
        *("businesses/../status", "businesses/%2e%2e/status", "businesses/b1%2f..%2f..%2fx/status"),
        *("businesses/a%20b/status", "businesses/a%0d%0ab/status", "businesses/%23/status"),
        *("../../health", "businesses/b1/status/", "businesses//status", "http://evil.example/"),
    ],
)
def test_a_path_leads_to_no_other_route(browser: Browser, rest: Upstream, path: str) -> None:
    answer = browser.get(f"/api/rest/{path}")
    assert answer.status_code in (400, 404)
    assert set(answer.json) == {"error"}
    assert rest.asked == []


def test_nobody_listening_is_told(cloudwatch: MemoryCloudWatch) -> None:
    browser = Browser(application(cloudwatch, "http://127.0.0.1:1/v1"))
    answer = browser.get("/api/rest/businesses/b1/status")
    assert answer.status_code == 502
    assert answer.json == {"error": "the REST API did not answer: the connection failed"}


def test_a_slow_api_is_given_up(cloudwatch: MemoryCloudWatch, rest: Upstream) -> None:
    browser = Browser(application(cloudwatch, rest.url, timeout=0.1))
    rest.may_answer.clear()
    answer = browser.get("/api/rest/businesses/b1/status")
    assert answer.status_code == 502
    assert answer.json == {"error": "the REST API did not answer: no answer in time"}
