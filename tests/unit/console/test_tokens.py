"""The operator's access token."""

from itertools import count
from typing import Any, cast

import jwt
import pytest
from botocore.exceptions import EndpointConnectionError

from console.errors import Unanswered
from console.tokens import OperatorToken, operator_token
from operations.shared.environment import DeployedEnvironment
from operations.shared.verbs import CannotBegin

KEY = "k" * 32


class Pool:
    """Gives tokens that last an hour."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._numbers = count(1)

    def token(self) -> str:
        return jwt.encode({"exp": self.now + 3600, "jti": str(next(self._numbers))}, KEY)


def number_of(token: str) -> str:
    number: str = jwt.decode(token, options={"verify_signature": False})["jti"]
    return number


def test_it_is_renewed_before_it_expires() -> None:
    pool = Pool()
    token = OperatorToken(pool.token, clock=lambda: pool.now)
    assert number_of(token.current()) == number_of(token.current()) == "1"
    pool.now += 3299
    assert number_of(token.current()) == "1"
    pool.now += 2
    assert number_of(token.current()) == "2"


def test_it_is_used_to_its_end_while_the_pool_gives_no_other() -> None:
    pool, broken = Pool(), False

    def obtain() -> str:
        if broken:
            raise EndpointConnectionError(endpoint_url="https://cognito.example")
        return pool.token()

    token = OperatorToken(obtain, clock=lambda: pool.now)
    token.current()
    broken = True
    pool.now += 3599
    assert number_of(token.current()) == "1"
    pool.now += 1
    with pytest.raises(Unanswered, match=r"cognito\.example"):
        token.current()


def test_one_that_was_given_is_used_to_its_end_and_then_asked_for() -> None:
    given, now = jwt.encode({"exp": 1000}, KEY), 900.0
    token = OperatorToken(lambda: given, clock=lambda: now)
    assert token.current() == given
    now = 1000.0
    with pytest.raises(Unanswered, match="expired"):
        token.current()


@pytest.mark.parametrize("given", ["opaque", "a.b.c", jwt.encode({"sub": "x"}, KEY)])
def test_one_whose_end_cannot_be_read_is_used(given: str) -> None:
    assert OperatorToken(lambda: given).current() == given


class ForeignIssuer:
    """An environment without a user pool."""

    name = "dev"
    outputs: dict[str, str] = {}  # noqa: RUF012


def test_another_issuer_needs_a_token() -> None:
    environment = cast(DeployedEnvironment, cast(Any, ForeignIssuer()))
    with pytest.raises(CannotBegin, match="TOKEN"), operator_token(environment):
        pass
    with operator_token(environment, "given") as token:
        assert token.current() == "given"


@pytest.mark.parametrize("given", ["a b", "a\nb", "ü"])
def test_a_token_that_no_header_can_carry_is_refused(given: str) -> None:
    environment = cast(DeployedEnvironment, cast(Any, ForeignIssuer()))
    with pytest.raises(CannotBegin, match="TOKEN"), operator_token(environment, given):
        pass
