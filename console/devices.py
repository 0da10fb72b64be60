"""The devices to play with, as the console's server sees them. Only `make run` has any."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypedDict

from lambdas.domain.identifiers import BusinessId

MAX_AT_ONCE = 50
"""How many devices one request may connect."""

DeviceState = Literal["connecting", "connected", "silent", "cut", "closed", "refused"]


class DeviceDocument(TypedDict):
    """One device. `received`: how many messages were pushed to it."""

    id: str
    businessId: str
    state: DeviceState
    connectionId: str | None
    since: str
    received: int
    lastMessage: str | None


class NoSuchDevice(LookupError):
    """There is no device with this id."""


class Devices(Protocol):
    """Devices whose behaviour the person at the console decides. Any thread may call them."""

    def documents(self) -> Sequence[DeviceDocument]:
        """All devices, in the order in which they were made."""
        ...

    def connect(self, business_ids: Sequence[BusinessId]) -> Sequence[str]:
        """Let one new device of each business connect, and return their ids.

        A business may be named several times. Raises `Unanswered`.
        """
        ...

    def silence(self, device_id: str) -> None:
        """Stop its pings and leave its socket open. Raises `NoSuchDevice`."""
        ...

    def cut(self, device_id: str) -> None:
        """End its TCP connection without closing the WebSocket. Raises `NoSuchDevice`."""
        ...

    def close(self, device_id: str) -> None:
        """Close its WebSocket properly. Raises `NoSuchDevice`."""
        ...

    def wake(self, device_id: str) -> None:
        """Let it ping again, over a new socket if it has none. Raises `NoSuchDevice`."""
        ...

    def set_available(self, business_id: BusinessId, available: bool) -> None:
        """Declare a business available or not, as one of its members. Raises `Unanswered`."""
        ...
