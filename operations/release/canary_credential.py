"""Gives the canary of an environment its credential."""

import json
from typing import Any

from infra import names
from lambdas.domain.identifiers import CANARY
from operations.shared.environment import DeployedEnvironment
from operations.shared.user_pool import put_user


def give_credential(environment: DeployedEnvironment) -> None:
    """Make the canary's user in the environment's user pool, and put its password into its secret.

    Does nothing if the environment has no canary, or if the secret has a user of this pool already.
    With an issuer of its own, only says so if the secret has no value.
    """
    outputs = environment.outputs
    secret = outputs.get(names.CANARY_CREDENTIAL_ARN)
    if secret is None:
        return
    secrets = environment.client("secretsmanager")
    text = _text_of(secrets, secret)
    pool = outputs.get(names.USER_POOL_ID)
    if pool is None:
        if not text:
            print(
                "the canary does not run: give it a credential of your issuer"
                ' (docs/deploying.md, "The canary")'
            )
        return
    of_pool = {"userPoolId": pool, "clientId": outputs[names.USER_POOL_CLIENT_ID]}
    if of_pool.items() <= _fields(text).items():
        return
    password = put_user(
        environment.client("cognito-idp"), pool=pool, user=CANARY, groups={f"business:{CANARY}"}
    )
    value = {**of_pool, "username": CANARY, "password": password}
    secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(value))
    print("the canary has a credential, and begins to run")


def _text_of(secrets: Any, secret: str) -> str | None:
    """The value of a secret, if it has one."""
    try:
        text: str | None = secrets.get_secret_value(SecretId=secret).get("SecretString")
    except secrets.exceptions.ResourceNotFoundException:
        return None
    return text


def _fields(text: str | None) -> dict[str, Any]:
    """The fields of a JSON object; none if the text is something else."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
