"""Stops a cleanup run from calling a gateway that is down."""

import threading
from collections.abc import Callable
from typing import Final

from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.socket_messages import SocketMessage
from lambdas.use_cases.ports import SocketAnswer, Sockets

OUTAGE_AFTER: Final = 50
"""After this many calls in a row without a useful answer, the rest of the run makes no more."""


class GuardedSockets:
    """`Sockets` that are called no faster than `pace` permits, and no more once there is an outage.

    In an outage every call takes its whole timeout: a run that went on calling would neither remove
    anything nor finish its census.
    """

    def __init__(self, sockets: Sockets, pace: Callable[[], None]) -> None:
        self._sockets = sockets
        self._pace = pace
        self._unknown_in_a_row = 0
        self._lock = threading.Lock()

    @property
    def has_outage(self) -> bool:
        """Whether the gateway counts as down for the rest of the run."""
        return self._unknown_in_a_row >= OUTAGE_AFTER

    def probe(self, connection_id: ConnectionId) -> SocketAnswer:
        return self._call(lambda: self._sockets.probe(connection_id))

    def post(self, connection_id: ConnectionId, message: SocketMessage) -> SocketAnswer:
        return self._call(lambda: self._sockets.post(connection_id, message))

    def close(self, connection_id: ConnectionId) -> SocketAnswer:
        return self._call(lambda: self._sockets.close(connection_id))

    def _call(self, call: Callable[[], SocketAnswer]) -> SocketAnswer:
        if self.has_outage:
            return SocketAnswer.UNKNOWN
        self._pace()
        answer = call()
        with self._lock:
            if not self.has_outage:
                is_unknown = answer is SocketAnswer.UNKNOWN
                self._unknown_in_a_row = self._unknown_in_a_row + 1 if is_unknown else 0
        return answer
