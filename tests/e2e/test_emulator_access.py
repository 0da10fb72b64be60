"""Whom the emulator answers, seen from outside: by raw requests."""

import json
import stat
from http import HTTPStatus
from typing import Any

import pytest
import urllib3

from operations.shared.local_system import LocalSystem
from tests.e2e.harness import Business, System

LIST_TABLES = {
    "X-Amz-Target": "DynamoDB_20120810.ListTables",
    "Content-Type": "application/x-amz-json-1.0",
    # No signature is checked.
    "Authorization": "AWS4-HMAC-SHA256 Credential=000000000000/20260101/us-east-1/dynamodb/"
    "aws4_request, SignedHeaders=host, Signature=0",
}


def _ask(system: System, method: str, path: str, headers: dict[str, str]) -> Any:
    """Send a request to the port of the emulator as it is. `headers` may have another Host."""
    url = f"http://127.0.0.1:{system.port}{path}"
    body = b"{}" if method == "POST" else None
    return urllib3.request(method, url, headers=headers, body=body, retries=False, timeout=10)


def _list_tables(system: System, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _ask(system, "POST", "/", {**LIST_TABLES, **named})


def test_the_aws_api_answers_who_has_the_session_token(system: System) -> None:
    answer = _list_tables(system, X_Amz_Security_Token=system.endpoints.awsSessionToken)
    assert answer.status == HTTPStatus.OK
    assert system.endpoints.tableName in json.loads(answer.data)["TableNames"]
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("token", ["", "any", "é"])
def test_the_aws_api_wants_the_session_token(system: System, token: str) -> None:
    answer = _list_tables(system, **({"X_Amz_Security_Token": token} if token else {}))
    assert answer.status == HTTPStatus.FORBIDDEN
    assert "awsSessionToken" in json.loads(answer.data)["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/2015-03-31/functions"),
        ("POST", "/2015-03-31/functions/any/invocations"),
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/health"),
        ("GET", "/_ministack/lambda-code/any"),
        ("GET", "/bucket/key"),
        ("PUT", "/_aws/execute-api/"),
        ("POST", "/_aws/execute-api/any"),
    ],
)
def test_nothing_of_the_emulator_itself_is_open(system: System, method: str, path: str) -> None:
    assert _ask(system, method, path, {}).status == HTTPStatus.FORBIDDEN


def test_sockets_are_managed_with_the_session_token_only(system: System) -> None:
    management = system.endpoints.websocketUrl.partition(f":{system.port}")[2]
    path = f"{management}/@connections/any"
    token = {"X-Amz-Security-Token": system.endpoints.awsSessionToken}
    assert _ask(system, "POST", path, {}).status == HTTPStatus.FORBIDDEN
    assert _ask(system, "POST", path, token).status == HTTPStatus.GONE


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:4567"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_no_web_page_reaches_the_aws_api(system: System, headers: dict[str, str]) -> None:
    """Not even with the token, and not even what is public."""
    token = {"X-Amz-Security-Token": system.endpoints.awsSessionToken}
    for answer in (
        _ask(system, "POST", "/", {**LIST_TABLES, **token, **headers}),
        _ask(system, "OPTIONS", "/", {"Access-Control-Request-Method": "POST", **headers}),
        _ask(system, "GET", "/_ministack/ready", headers),
    ):
        assert answer.status == HTTPStatus.FORBIDDEN
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    "host",
    ["rebound.example", "rebound.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.:{port}"],
)
def test_another_host_is_refused_everywhere(system: System, host: str) -> None:
    headers = {"Host": host.format(port=system.port)}
    token = {"X-Amz-Security-Token": system.endpoints.awsSessionToken}
    rest = system.endpoints.restUrl.partition(f":{system.port}")[2]
    for answer in (
        _ask(system, "POST", "/", {**LIST_TABLES, **token, **headers}),
        _ask(system, "GET", "/_ministack/ready", headers),
        _ask(system, "GET", f"{rest}/health", headers),
    ):
        assert answer.status == HTTPStatus.MISDIRECTED_REQUEST


def test_the_apis_are_open_to_browsers_and_by_both_names_of_this_machine(
    system: System, business: Business
) -> None:
    path = f"{system.endpoints.restUrl}/businesses/{business.id}/status"
    rest = path.partition(f":{system.port}")[2]
    for headers in (
        {"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"},
        {"Host": f"localhost:{system.port}"},
    ):
        token = {"Authorization": f"Bearer {business.token}"}
        assert _ask(system, "GET", rest, {**token, **headers}).status == HTTPStatus.OK


def test_the_keys_of_the_user_pool_are_public(system: System) -> None:
    answer = _ask(system, "GET", f"/{system.endpoints.userPoolId}/.well-known/jwks.json", {})
    assert json.loads(answer.data)["keys"]
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_only_its_owner_reads_the_file_with_the_token(system: System) -> None:
    assert stat.S_IMODE(LocalSystem.file().stat().st_mode) == 0o600
    assert LocalSystem.running() == system.endpoints
