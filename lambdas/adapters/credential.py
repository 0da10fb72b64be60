"""Gets access tokens with a credential that is kept in Secrets Manager.

The secret is a JSON object, one of

* ``{"userPoolId": …, "clientId": …, "username": …, "password": …}``: a user of a Cognito user pool
* ``{"tokenUrl": …, "form": {"grant_type": "client_credentials", …}}``: a client of another issuer.
  The form is posted to the URL as it is.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.domain.errors import DomainError

if TYPE_CHECKING:
    from boto3 import Session
    from botocore.config import Config

_TIMEOUT: Final = 10
_USER: Final = ("userPoolId", "clientId", "username", "password")


class NoCredential(DomainError):
    """There is no secret value yet, or not of the right form. The text never contains the value."""


class NoToken(DomainError):
    """The issuer did not give a token. The text says what it answered."""


class Credential:
    """A credential. It is read anew for each token, so that it can be changed at any time."""

    def __init__(self, session: "Session", secret_arn: str, *, config: "Config") -> None:
        self._session = session
        self._secret_arn = secret_arn
        self._config = config

    def access_token(self) -> str:
        """A new access token. Raises `NoCredential` and `NoToken`."""
        secret = self._secret()
        match secret:
            case {"tokenUrl": str(url), "form": dict(form)}:
                return _from_issuer(url, form)
            case _ if all(isinstance(secret.get(name), str) for name in _USER):
                return self._from_user_pool(secret)
        raise NoCredential(
            f"the secret {self._secret_arn} must have tokenUrl and form, or {', '.join(_USER)}"
        )

    def _secret(self) -> Mapping[str, Any]:
        client: Any = self._session.client("secretsmanager", config=self._config)
        try:
            text = client.get_secret_value(SecretId=self._secret_arn).get("SecretString")
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise NoToken(f"the credential cannot be read: {error}") from error
            text = None
        except BotoCoreError as error:
            raise NoToken(f"the credential cannot be read: {error}") from error
        if not text:
            raise NoCredential(f"the secret {self._secret_arn} has no value yet")
        try:
            secret = json.loads(text)
        except ValueError:
            secret = None
        if not isinstance(secret, dict):
            raise NoCredential(f"the secret {self._secret_arn} must be a JSON object")
        return secret

    def _from_user_pool(self, secret: Mapping[str, str]) -> str:
        client = self._session.client("cognito-idp", config=self._config)
        try:
            answer = client.admin_initiate_auth(
                UserPoolId=secret["userPoolId"],
                ClientId=secret["clientId"],
                AuthFlow="ADMIN_USER_PASSWORD_AUTH",
                AuthParameters={"USERNAME": secret["username"], "PASSWORD": secret["password"]},
            )
            return str(answer["AuthenticationResult"]["AccessToken"])
        except (BotoCoreError, ClientError) as error:
            raise NoToken(f"the user pool gave no token: {error}") from error
        except KeyError:
            raise NoToken("the user pool asks the user for something else first") from None


def _from_issuer(url: str, form: Mapping[str, Any]) -> str:
    try:
        answer = urllib3.request(
            "POST",
            url,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form),
            timeout=_TIMEOUT,
            retries=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise NoToken(f"{url}: {error}") from error
    if answer.status != HTTPStatus.OK:
        raise NoToken(f"{url} answered {answer.status}")
    try:
        return str(json.loads(answer.data)["access_token"])
    except (ValueError, TypeError, KeyError):
        raise NoToken(f"{url} answered without an access_token") from None
