"""The authorizer, with real signatures and an issuer that serves its keys over HTTP."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from lambdas.bootstrap import Service
from lambdas.domain.errors import Unavailable
from lambdas.handlers import callers
from lambdas.handlers.authorizer import handler
from tests.events import Context

ISSUER = "https://issuer.example"
REST_ARN = "arn:aws:execute-api:us-east-1:123456789012:rest1/dev/GET/businesses/b1/status"
SOCKET_ARN = "arn:aws:execute-api:us-east-1:123456789012:ws1/dev/$connect"

Answer = dict[str, Any]


@dataclass
class Issuer:
    """An OpenID provider, as far as its keys go, and an authorizer that trusts it."""

    url: str
    server: ThreadingHTTPServer
    keys: dict[str, Any] = field(default_factory=dict)
    fetches: int = 0
    failing: bool = False
    environ: dict[str, str] = field(init=False)
    service: Service = field(init=False)

    def add_key(self, kid: str, algorithm: str) -> None:
        self.keys[kid] = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if algorithm == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )

    def jwks(self) -> dict[str, Any]:
        def public(kid: str, key: Any) -> dict[str, Any]:
            encode = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
            return {**encode.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}

        return {"keys": [public(kid, key) for kid, key in self.keys.items()]}

    def token(self, *, kid: str = "rsa", algorithm: str = "RS256", **claims: Any) -> str:
        whole = {
            "iss": ISSUER,
            "aud": "orders",
            "sub": "u1",
            "exp": int(time.time()) + 300,
            "businesses": ["b1"],
            **claims,
        }
        present = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(present, self.keys[kid], algorithm=algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.fetches += 1
            self.send_response(503 if found.failing else 200)
            self.end_headers()
            self.wfile.write(json.dumps(found.jwks()).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Issuer(f"http://127.0.0.1:{server.server_port}/jwks.json", server)
    found.add_key("rsa", "RS256")
    found.add_key("ec", "ES256")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    server.shutdown()


@pytest.fixture(autouse=True)
def _deployed(issuer: Issuer) -> None:
    issuer.environ = {
        "OIDC_ISSUER": ISSUER,
        "OIDC_AUDIENCE": "orders",
        "OIDC_JWKS_URL": issuer.url,
        "OIDC_USER_CLAIM": "sub",
        "OIDC_BUSINESSES_CLAIM": "businesses",
        "OIDC_ROLES_CLAIM": "roles",
        "OIDC_BUSINESS_PREFIX": "",
    }
    issuer.service = Service(issuer.environ)
    issuer.failing = False
    issuer.fetches = 0


def _request(issuer: Issuer, token: str, *, headers: dict[str, list[str]] | None = None) -> Answer:
    event = {
        "type": "REQUEST",
        "methodArn": REST_ARN,
        "httpMethod": "GET",
        "multiValueHeaders": headers or {"authorization": [f"Bearer {token}"]},
        "requestContext": {"requestId": "r1"},
    }
    return handler(event, Context(), service=issuer.service)


def _handshake(
    issuer: Issuer,
    token: str | None,
    query: dict[str, list[str]] | None = None,
    *,
    headers: dict[str, list[str]] | None = None,
) -> Answer:
    event = {
        "type": "REQUEST",
        "methodArn": SOCKET_ARN,
        "multiValueHeaders": headers or ({"Authorization": [f"Bearer {token}"]} if token else {}),
        "multiValueQueryStringParameters": {"businessId": ["b1"]} if query is None else query,
        "requestContext": {"eventType": "CONNECT", "requestId": "r1"},
    }
    return handler(event, Context(), service=issuer.service)


def _effect(answer: Answer) -> str:
    (statement,) = answer["policyDocument"]["Statement"]
    return str(statement["Effect"])


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
def test_a_valid_token_allows_the_whole_rest_api(issuer: Issuer, kid: str, algorithm: str) -> None:
    token = issuer.token(
        kid=kid,
        algorithm=algorithm,
        businesses=["b2", "b1", "no#business", 7],
        roles=["operator", "unheard-of"],
    )
    answer = _request(issuer, token)
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Effect"] == "Allow"
    assert statement["Resource"] == "arn:aws:execute-api:us-east-1:123456789012:rest1/dev/*"
    assert answer["principalId"] == "u1"
    assert answer["context"] == {"userId": "u1", "businesses": "b1 b2", "roles": "operator"}


def test_a_handshake_needs_a_business_of_the_token(issuer: Issuer) -> None:
    token = issuer.token()
    answer = _handshake(issuer, token)
    assert _effect(answer) == "Allow"
    assert answer["context"] == {"businessId": "b1", "userId": "u1"}
    assert _effect(_handshake(issuer, token, {"businessId": ["b2"]})) == "Deny"


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": 1}, id="expired"),
        pytest.param({"exp": None}, id="without end"),
        pytest.param({"nbf": 9_999_999_999}, id="not yet valid"),
        pytest.param({"iss": "https://else.example"}, id="another issuer"),
        pytest.param({"iss": None}, id="no issuer"),
        pytest.param({"aud": "other"}, id="another audience"),
        pytest.param({"aud": None}, id="no audience"),
        pytest.param({"aud": None, "client_id": "other"}, id="another client"),
        pytest.param({"token_use": "id"}, id="an ID token"),
        pytest.param({"sub": None}, id="no user"),
        pytest.param({"sub": ""}, id="an empty user"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused_by_both_apis(
    issuer: Issuer, claims: dict[str, Any]
) -> None:
    token = issuer.token(**claims)
    assert _effect(_request(issuer, token)) == "Deny"
    assert _effect(_handshake(issuer, token)) == "Deny"


def test_a_client_id_is_accepted_as_the_audience(issuer: Issuer) -> None:
    token = issuer.token(aud=None, client_id="orders", token_use="access")
    assert _effect(_request(issuer, token)) == "Allow"


def _forged(issuer: Issuer) -> str:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    return jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": "rsa"})


def _unsigned(issuer: Issuer) -> str:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    return jwt.encode(claims, "", algorithm="none", headers={"kid": "rsa"})


def _signed_with_a_shared_secret(issuer: Issuer) -> str:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    secret = issuer.jwks()["keys"][0]["n"]
    return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": "rsa"})


@pytest.mark.parametrize(
    "make",
    [
        _forged,
        _unsigned,
        _signed_with_a_shared_secret,
        lambda issuer: issuer.token()[:-4] + "AAAA",
        lambda issuer: "no.token.at-all",
        lambda issuer: "",
    ],
)
def test_a_token_that_the_issuer_did_not_sign_is_refused(
    issuer: Issuer, make: Callable[[Issuer], str]
) -> None:
    token = make(issuer)
    assert _effect(_request(issuer, token)) == "Deny"
    assert _effect(_handshake(issuer, token)) == "Deny"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({}, None),
        ({"businessId": ["b1", "b1"]}, None),
        ({"businessId": ["b1"], "ticket": ["t"]}, None),
        ({"businessId": ["b#1"]}, None),
        ({"business": ["b1"]}, None),
        ({"businessId": ["b1"]}, {}),
        ({"businessId": ["b1"]}, {"Authorization": ["Basic dTpw"]}),
        ({"businessId": ["b1"]}, {"Authorization": ["TOKEN"]}),
        ({"businessId": ["b1"]}, {"Authorization": ["Bearer TOKEN", "Bearer TOKEN"]}),
    ],
)
def test_an_ambiguous_handshake_is_refused(
    issuer: Issuer, query: dict[str, list[str]], headers: dict[str, list[str]] | None
) -> None:
    token = issuer.token()
    whole = None if headers is None else {
        name: [value.replace("TOKEN", token) for value in values]
        for name, values in headers.items()
    }  # fmt: skip
    answer = _handshake(issuer, None if whole == {} else token, query, headers=whole)
    assert _effect(answer) == "Deny"
    assert answer["context"] == {}


def test_a_header_in_two_capitalizations_is_refused(issuer: Issuer) -> None:
    token = issuer.token()
    headers = {"Authorization": [f"Bearer {token}"], "authorization": [f"Bearer {token}"]}
    assert _effect(_request(issuer, token, headers=headers)) == "Deny"
    assert _effect(_handshake(issuer, token, headers=headers)) == "Deny"


@pytest.mark.parametrize(
    "spelling",
    [
        "bearer TOKEN",
        "BEARER TOKEN",
        "Bearer  TOKEN",
        " Bearer TOKEN",
        "Bearer TOKEN ",
        "Bearer\tTOKEN",
        "Bearer TOKEN\n",
        "Bearer TOKEN=",
        "Bearer TOKEN.TOKEN",
        "Bearer \ud800.\ud800.\ud800",
        "Bearer",
        "TOKEN",
        "",
    ],
)
def test_a_token_is_accepted_in_one_spelling_only(issuer: Issuer, spelling: str) -> None:
    """API Gateway caches answers by the exact text of the header."""
    token = issuer.token()
    headers = {"Authorization": [spelling.replace("TOKEN", token)]}
    assert _effect(_request(issuer, token, headers=headers)) == "Deny"
    assert _effect(_handshake(issuer, token, headers=headers)) == "Deny"
    assert issuer.fetches == 0


def test_keys_are_fetched_once_and_again_for_an_unknown_key(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambdas.adapters.tokens._JWKS_COOLDOWN", 0)
    for _ in range(3):
        assert _effect(_request(issuer, issuer.token())) == "Allow"
    assert issuer.fetches == 1
    issuer.add_key("rotated", "RS256")
    assert _effect(_request(issuer, issuer.token(kid="rotated"))) == "Allow"
    assert issuer.fetches == 2


def test_forged_tokens_do_not_cause_repeated_fetches(issuer: Issuer) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for number in range(5):
        headers = {"kid": f"unknown-{number}"}
        token = jwt.encode({"iss": ISSUER}, stranger, algorithm="RS256", headers=headers)
        assert _effect(_request(issuer, token)) == "Deny"
    assert issuer.fetches == 1


def test_an_unreachable_issuer_is_an_error_and_not_a_denial(issuer: Issuer) -> None:
    token = issuer.token()
    issuer.failing = True
    with pytest.raises(Unavailable):
        _request(issuer, token)
    with pytest.raises(Unavailable):
        _handshake(issuer, token)
    issuer.failing = False
    assert _effect(_request(issuer, token)) == "Allow"


def test_cognito_groups_name_businesses_and_roles(issuer: Issuer) -> None:
    issuer.environ["OIDC_USER_CLAIM"] = "username"
    issuer.environ["OIDC_BUSINESSES_CLAIM"] = "cognito:groups"
    issuer.environ["OIDC_ROLES_CLAIM"] = "cognito:groups"
    issuer.environ["OIDC_BUSINESS_PREFIX"] = "business:"
    groups = ["business:b1", "operator", "business:", "b2"]
    claims: dict[str, Any] = {"client_id": "orders", "username": "ada", "cognito:groups": groups}
    token = issuer.token(aud=None, token_use="access", **claims)
    assert _request(issuer, token)["context"] == {
        "userId": "ada", "businesses": "b1", "roles": "operator",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("prefix", "group"), [("", "operator"), ("o", "operator"), ("business:", "business:operator")]
)
def test_a_business_named_like_a_role_does_not_give_that_role(
    issuer: Issuer, prefix: str, group: str
) -> None:
    issuer.environ["OIDC_BUSINESSES_CLAIM"] = "groups"
    issuer.environ["OIDC_ROLES_CLAIM"] = "groups"
    issuer.environ["OIDC_BUSINESS_PREFIX"] = prefix
    context = _request(issuer, issuer.token(groups=[group]))["context"]
    assert context["businesses"] == group.removeprefix(prefix)
    assert context["roles"] == ""


RESULT_LIMIT = 8 * 1024
"""Bytes of an authorizer's result. API Gateway answers 500 if it is larger."""

HEADER_LIMIT = 10_240
"""Bytes of all headers that API Gateway accepts."""

LONGEST_USER = '"' * 255
LONGEST_ENCODED_USER = "é" * 127


@pytest.mark.parametrize("length", [8, 20, 64])
def test_all_businesses_of_a_token_that_fits_into_a_header_are_passed_on(
    issuer: Issuer, length: int
) -> None:
    def ids(count: int) -> list[str]:
        return [f"b{number:0{length - 1}}" for number in range(count)]

    def token(count: int) -> str:
        return issuer.token(kid="ec", algorithm="ES256", businesses=ids(count))

    most = 0
    while len(f"Authorization: Bearer {token(most + 1)}") <= HEADER_LIMIT:
        most += 1
    answer = _request(issuer, token(most))
    assert answer["context"]["businesses"].split() == ids(most)
    assert len(json.dumps(answer)) <= RESULT_LIMIT


@pytest.mark.parametrize("user", ["u1", LONGEST_USER, LONGEST_ENCODED_USER])
@pytest.mark.parametrize("length", [8, 20, 64])
def test_businesses_are_passed_on_only_if_all_of_them_fit(
    issuer: Issuer, length: int, user: str
) -> None:
    """Today such a token is too large for a header, but API Gateway may raise that limit."""
    ids = [f"b{number:0{length - 1}}" for number in range(2_000)]
    token = issuer.token(businesses=ids, roles=["operator"], sub=user)
    answer = _request(issuer, token)
    assert _effect(answer) == "Allow"
    context = answer["context"]
    assert (context["businesses"], context["roles"]) == ("", "operator")
    named, fit = map(int, context["businessesLeftOut"].split())
    assert named == len(ids)
    assert len(json.dumps(answer)) <= RESULT_LIMIT

    token = issuer.token(businesses=ids[:fit], roles=["operator"], sub=user)
    all_that_fit = _request(issuer, token)
    assert all_that_fit["context"]["businesses"].split() == ids[:fit]
    assert RESULT_LIMIT - length <= len(json.dumps(all_that_fit)) <= RESULT_LIMIT
    one_more = issuer.token(businesses=ids[: fit + 1], roles=["operator"], sub=user)
    assert _request(issuer, one_more)["context"]["businessesLeftOut"] == f"{fit + 1} {fit}"


def test_a_handshake_checks_all_businesses_of_the_token(issuer: Issuer) -> None:
    token = issuer.token(businesses=[f"b{number:063}" for number in range(2_000)])
    answer = _handshake(issuer, token, {"businessId": [f"b{1_999:063}"]})
    assert _effect(answer) == "Allow"
    assert len(json.dumps(answer)) <= RESULT_LIMIT


@pytest.mark.parametrize(
    "user", ['u","status":"200', "back\\slash", "auth0|7", "a b~c", "josé", "jos%C3%A9", "田中太郎"]
)
def test_the_principal_can_be_logged_without_escaping(issuer: Issuer, user: str) -> None:
    """The formats of the access logs do not escape values."""
    token = issuer.token(sub=user)
    for answer in (_request(issuer, token), _handshake(issuer, token)):
        assert re.fullmatch(r"[A-Za-z0-9._:@%-]+", answer["principalId"])
        assert unquote(answer["principalId"]) == callers.user_of(answer["context"]) == user
        assert answer["context"]["userId"].isascii()
