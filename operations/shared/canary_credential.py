"""Gives the canary of an environment its credential."""

import json
from typing import Any

from lambdas.domain.identifiers import CANARY
from operations.shared.environment import DeployedEnvironment
from operations.shared.user_pool import put_user


def give_credential(environment: DeployedEnvironment) -> None:
    """Make the canary's user in the environment's user pool, and put its password into its secret.

    Does nothing if the environment has no canary or an issuer of its own, or if the secret has a
    user of this pool already.
    """
    outputs = environment.outputs
    secret, pool = outputs.get("CanaryCredentialArn"), outputs.get("UserPoolId")
    if secret is None or pool is None:
        return
    secrets = environment.client("secretsmanager")
    if _pool_in(secrets, secret) == pool:
        return
    password = put_user(
        environment.client("cognito-idp"), pool=pool, user=CANARY, groups={f"business:{CANARY}"}
    )
    value = {
        "userPoolId": pool,
        "clientId": outputs["UserPoolClientId"],
        "username": CANARY,
        "password": password,
    }
    secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(value))
    print("the canary has a credential, and begins to run")


def _pool_in(secrets: Any, secret: str) -> str | None:
    """Return the user pool that a secret names, if it has a value."""
    try:
        text = secrets.get_secret_value(SecretId=secret)["SecretString"]
    except secrets.exceptions.ResourceNotFoundException:
        return None
    pool: str | None = json.loads(text).get("userPoolId") if text else None
    return pool
