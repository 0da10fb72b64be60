"""When the canary of an environment gets a credential. The local system shows that it works."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.domain.identifiers import CANARY
from operations.release import canary_credential
from operations.release.canary_credential import give_credential

SECRET = "arn:aws:secretsmanager:eu-central-1:111111111111:secret:canary"
OUTPUTS = {"CanaryCredentialArn": SECRET, "UserPoolId": "pool", "UserPoolClientId": "client"}


class Missing(Exception):
    """The secret has no value."""


class Environment:
    """An environment with its outputs and its secret."""

    def __init__(self, outputs: dict[str, str], secret: str | None = None) -> None:
        self.outputs = outputs
        self.secret = secret
        self.exceptions = SimpleNamespace(ResourceNotFoundException=Missing)

    def client(self, service: str) -> Any:
        return self if service == "secretsmanager" else service

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803 - as boto3
        assert SecretId == SECRET
        if self.secret is None:
            raise Missing
        return {"SecretString": self.secret}

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> None:  # noqa: N803
        assert SecretId == SECRET
        self.secret = SecretString


@pytest.fixture(autouse=True)
def users(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The users that were put into a pool."""
    put: list[dict[str, Any]] = []

    def put_user(_: Any, **user: Any) -> str:
        put.append(user)
        return "new password"

    monkeypatch.setattr(canary_credential, "put_user", put_user)
    return put


def give(environment: Environment) -> None:
    give_credential(environment)  # type: ignore[arg-type] # the part that it uses


@pytest.mark.parametrize(
    "secret",
    [
        None,
        "",
        "{}",
        "not JSON",
        "[]",
        '{"userPoolId": "of an earlier pool", "clientId": "client"}',
        '{"userPoolId": "pool", "clientId": "of an earlier client"}',
    ],
)
def test_a_user_of_the_pool_becomes_the_credential(
    users: list[dict[str, Any]], secret: str | None
) -> None:
    environment = Environment(OUTPUTS, secret)
    give(environment)
    assert json.loads(environment.secret or "") == {
        "userPoolId": "pool",
        "clientId": "client",
        "username": CANARY,
        "password": "new password",
    }
    assert users == [{"pool": "pool", "user": CANARY, "groups": {f"business:{CANARY}"}}]


def test_a_credential_of_the_pool_stays(users: list[dict[str, Any]]) -> None:
    environment = Environment(
        OUTPUTS, '{"userPoolId": "pool", "clientId": "client", "password": "old"}'
    )
    give(environment)
    assert "old" in str(environment.secret)
    assert users == []


@pytest.mark.parametrize("missing", ["CanaryCredentialArn", "UserPoolId"])
def test_an_environment_without_a_canary_or_with_its_own_issuer_is_left_alone(
    users: list[dict[str, Any]], missing: str
) -> None:
    environment = Environment({name: value for name, value in OUTPUTS.items() if name != missing})
    give(environment)
    assert (environment.secret, users) == (None, [])


@pytest.mark.parametrize(
    ("secret", "is_told"), [(None, True), ("", True), ('{"tokenUrl": "https://id.example"}', False)]
)
def test_whoever_deploys_is_told_that_the_canary_still_needs_a_client_of_their_issuer(
    capsys: pytest.CaptureFixture[str], secret: str | None, is_told: bool
) -> None:
    """As after a rollback to a build without a canary: its secret is a new one, without a value."""
    give(Environment({"CanaryCredentialArn": SECRET}, secret))
    assert ("the canary does not run" in capsys.readouterr().out) is is_told
