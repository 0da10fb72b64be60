"""Where the APIs and the user pool's keys are reached, on AWS or on an emulator."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Addresses:
    """Makes URLs. An emulator serves everything below its one URL."""

    region: str
    emulator: str | None

    def https(self, api_id: str, stage: str) -> str:
        """Return the URL of a REST API, or of the management API of a WebSocket API."""
        if self.emulator is not None:
            return f"{self.emulator}/_aws/execute-api/{api_id}/{stage}"
        return f"https://{api_id}.execute-api.{self.region}.amazonaws.com/{stage}"

    def websocket(self, api_id: str, stage: str) -> str:
        """Return the URL at which devices connect."""
        return self.https(api_id, stage).replace("http", "ws", 1)

    def signing_keys(self, pool_id: str) -> str:
        """Return the URL of the keys with which a user pool signs its tokens (JWKS)."""
        origin = self.emulator or f"https://cognito-idp.{self.region}.amazonaws.com"
        return f"{origin}/{pool_id}/.well-known/jwks.json"
