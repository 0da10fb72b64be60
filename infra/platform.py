"""What a stage is deployed to: AWS, unless it is given something else."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.monitoring.alarms.definition import AlarmDefinition


class Platform:
    """AWS: the addresses that it gives to APIs and keys, and the alarms that it can judge."""

    has_composite_alarms: bool = True
    """Whether alarms can page through others. Otherwise each pages by itself."""

    def api_url(self, region: str, api_id: str, stage: str) -> str:
        """The URL of a REST API, or of the management API of a WebSocket API."""
        return f"https://{api_id}.execute-api.{region}.amazonaws.com/{stage}"

    def websocket_url(self, region: str, api_id: str, stage: str) -> str:
        """The URL at which devices connect."""
        return self.api_url(region, api_id, stage).replace("http", "ws", 1)

    def signing_keys_url(self, region: str, pool_id: str) -> str:
        """The URL of the keys with which a user pool signs its tokens (JWKS)."""
        return f"https://cognito-idp.{region}.amazonaws.com/{pool_id}/.well-known/jwks.json"

    def supported_alarms(
        self, definitions: "Sequence[AlarmDefinition]"
    ) -> "Sequence[AlarmDefinition]":
        """The alarms as they can be judged here."""
        return definitions


AWS = Platform()
