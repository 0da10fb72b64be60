"""The environment variables of the functions: the infrastructure sets them, the code reads them.

Each of `lambdas.domain.rules.Rules` is a variable too, by its name in capitals: PING_INTERVAL, …
Nothing is imported here.
"""

from typing import Final

ENVIRONMENT: Final = "ENVIRONMENT"
TABLE_NAME: Final = "TABLE_NAME"
WEBSOCKET_MANAGEMENT_URL: Final = "WEBSOCKET_MANAGEMENT_URL"

HISTORY_TABLE_NAME: Final = "HISTORY_TABLE_NAME"
"""Missing where the change feed is off."""
HISTORY_DAYS: Final = "HISTORY_DAYS"
EVENT_BUS_NAME: Final = "EVENT_BUS_NAME"
DEAD_LETTERS_URL: Final = "DEAD_LETTERS_URL"

CORS_ORIGINS: Final = "CORS_ORIGINS"
"""Separated by commas. Missing where there are none."""

OIDC: Final = "OIDC_"
"""What the variables of the token issuer begin with: OIDC_ISSUER, …"""
SIGNING_KEYS_GENERATION: Final = "SIGNING_KEYS_GENERATION"
"""No code reads it. A new value publishes a new version, which starts without cached keys."""

REST_URL: Final = "REST_URL"
WEBSOCKET_URL: Final = "WEBSOCKET_URL"
CREDENTIAL_ARN: Final = "CREDENTIAL_ARN"
"""The secret of the canary."""
