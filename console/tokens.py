"""The operator's access token: in memory only, and renewed before it expires."""

import getpass
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import jwt
from botocore.exceptions import BotoCoreError, ClientError

from console.errors import Unanswered
from infra import names
from lambdas.domain.authorization import Role
from operations.shared.environment import DeployedEnvironment
from operations.shared.user_pool import sign_in
from operations.shared.verbs import CannotBegin

_RENEW_BEFORE: Final = 300
"""Seconds before its end at which a token is replaced."""


class OperatorToken:
    """A token that `obtain` returns, obtained again when its end is near. Any thread may ask."""

    def __init__(self, obtain: Callable[[], str], clock: Callable[[], float] = time.time) -> None:
        self._obtain = obtain
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None

    @property
    def was_obtained(self) -> bool:
        """Whether anybody ever needed the token."""
        return self._token is not None

    def current(self) -> str:
        """A token that can be used now. Raises `Unanswered`."""
        with self._lock:
            if self._remaining() < _RENEW_BEFORE:
                try:
                    self._token = self._obtain()
                except (BotoCoreError, ClientError) as error:
                    if self._remaining() <= 0:
                        raise Unanswered(f"the user pool gave no access token: {error}") from error
            if self._token is None or self._remaining() <= 0:
                raise Unanswered(
                    "the access token in TOKEN has expired: start the console with a new one"
                )
            return self._token

    def _remaining(self) -> float:
        """Seconds for which the token can be used."""
        return 0 if self._token is None else _ends_at(self._token) - self._clock()


def _ends_at(token: str) -> float:
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return float(claims["exp"])
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        return float("inf")  # not readable: the service says when it has expired


@contextmanager
def operator_token(
    environment: DeployedEnvironment, given: str | None = None
) -> Iterator[OperatorToken]:
    """Use the given token; without one, that of an operator of the environment's user pool.

    The operator is a user of its own for each person, which is deleted at the end. Raises
    `CannotBegin`.
    """
    if given:
        if not re.fullmatch(r"[!-~]+", given):
            raise CannotBegin("TOKEN must be an access token: printable ASCII without spaces")
        yield OperatorToken(lambda: given)
        return
    outputs = environment.outputs
    pool, client = outputs.get(names.USER_POOL_ID), outputs.get(names.USER_POOL_CLIENT_ID)
    if pool is None or client is None:
        raise CannotBegin(
            f"{environment.name} has no user pool: give TOKEN, an operator's access token of its"
            " issuer"
        )
    cognito = environment.client("cognito-idp")
    # The history names it as the one who paused a business.
    user = "console-" + re.sub(r"[^A-Za-z0-9._-]", "-", getpass.getuser())
    token = OperatorToken(
        lambda: sign_in(cognito, pool=pool, client=client, user=user, groups=[Role.OPERATOR])
    )
    try:
        yield token
    finally:
        if token.was_obtained:
            with suppress(BotoCoreError, ClientError):
                cognito.admin_delete_user(UserPoolId=pool, Username=user)
