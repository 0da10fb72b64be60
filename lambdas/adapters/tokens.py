"""Verifies OpenID Connect access tokens. Nothing else reads a token.

A token is accepted when its signature (RS256 or ES256, with a key of the issuer's JWKS), its issuer
(`iss`), its times (`exp`, `nbf`) and its audience are right. The audience is `aud` or, for issuers
such as Cognito, `client_id`.
"""

from dataclasses import dataclass
from typing import Any, Final

import jwt

from lambdas.domain import identifiers
from lambdas.domain.authorization import Caller, Role
from lambdas.domain.errors import DomainError, InvalidValue, Unavailable
from lambdas.domain.identifiers import BusinessId

_ALGORITHMS: Final = ["RS256", "ES256"]
_CLOCK_SKEW: Final = 30
"""Seconds that the issuer's clock may differ from ours."""

_JWKS_LIFESPAN: Final = 15 * 60
"""Seconds for which the issuer's keys are cached."""

_JWKS_COOLDOWN: Final = 30
"""An unknown key id refreshes the key set at most this often (seconds)."""
_JWKS_TIMEOUT: Final = 3


class InvalidToken(DomainError):
    """The token is not accepted by this deployment. The message never contains the token."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are accepted, and which of their claims say what."""

    issuer: str
    audience: str
    jwks_url: str
    user_claim: str
    businesses_claim: str
    roles_claim: str
    business_prefix: str
    """Entries of `businesses_claim` that begin with this are business ids, for example
    ``business:``.
    """


class TokenVerifier:
    """Verifies access tokens. It caches the issuer's keys, so keep the instance."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._keys = jwt.PyJWKClient(
            issuer.jwks_url,
            lifespan=_JWKS_LIFESPAN,
            cooldown_duration=_JWKS_COOLDOWN,
            timeout=_JWKS_TIMEOUT,
        )

    def verify(self, token: str) -> Caller:
        """The caller that the token names.

        Raises `InvalidToken` if the token is not valid, and `Unavailable` if the issuer's keys
        cannot be loaded (which says nothing about the token).
        """
        try:
            self._keys.get_jwk_set()
        except (jwt.PyJWTError, ValueError) as error:
            raise Unavailable("the keys of the token's issuer could not be loaded") from error
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                issuer=self._issuer.issuer,
                leeway=_CLOCK_SKEW,
                options={"require": ["exp", "iss"], "verify_aud": False},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise Unavailable("the keys of the token's issuer could not be loaded") from error
        except jwt.PyJWTError as error:
            raise InvalidToken(f"the token is not valid: {type(error).__name__}") from error
        self._check_audience(claims)
        return self._caller(claims)

    def _check_audience(self, claims: dict[str, Any]) -> None:
        # Cognito's access tokens have `client_id` instead of `aud`, its ID tokens have `aud`. Both
        # name the client, so only `token_use` tells them apart.
        if claims.get("token_use", "access") != "access":
            raise InvalidToken("the token is not an access token")
        audience = claims.get("aud", claims.get("client_id"))
        accepted = audience if isinstance(audience, list) else [audience]
        if self._issuer.audience not in accepted:
            raise InvalidToken("the token is for a different audience")

    def _caller(self, claims: dict[str, Any]) -> Caller:
        user = claims.get(self._issuer.user_claim)
        if not isinstance(user, str):
            raise InvalidToken(f"the token has no claim {self._issuer.user_claim!r}")
        try:
            user_id = identifiers.user_id(user)
        except InvalidValue as error:
            raise InvalidToken(str(error)) from error
        businesses = set()
        for entry in _strings(claims, self._issuer.businesses_claim):
            business = self._business(entry)
            if business is not None:
                businesses.add(business)
        roles = {
            Role(entry)
            for entry in _strings(claims, self._issuer.roles_claim)
            if entry in Role.__members__.values() and not self._is_also_a_business(entry)
        }
        return Caller(user_id, frozenset(businesses), frozenset(roles))

    def _is_also_a_business(self, role: str) -> bool:
        # Synthesis refuses an environment that has both in one claim and cannot tell them apart. If
        # one runs anyway, it allows less rather than more.
        one_list = self._issuer.businesses_claim == self._issuer.roles_claim
        return one_list and self._business(role) is not None

    def _business(self, entry: str) -> BusinessId | None:
        """The business id in an entry of the claim; None if it is something else."""
        if not entry.startswith(self._issuer.business_prefix):
            return None
        try:
            return identifiers.business_id(entry.removeprefix(self._issuer.business_prefix))
        except InvalidValue:
            return None


def _strings(claims: dict[str, Any], name: str) -> list[str]:
    """The strings of a claim: a JSON array or, like `scope`, one text with spaces."""
    value = claims.get(name)
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list):
        return [entry for entry in value if isinstance(entry, str)]
    return []
