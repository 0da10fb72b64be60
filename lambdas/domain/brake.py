"""What keeps a cleanup run from doing harm: a brake on removals, care with the management API."""

import threading
from collections.abc import Callable
from typing import Final

from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.messages import SocketMessage
from lambdas.domain.ports import SocketAnswer, Sockets

BRAKE_FLOOR: Final = 20
"""Real connections that a run may always remove, however small the marketplace."""

BRAKE_SHARE: Final = 10
"""Beyond the floor a run may remove one in this many of the real connections it has seen."""

OUTAGE_AFTER: Final = 50
"""So many calls in a row that told nothing are an outage: the rest of the run asks no more."""


class Brake:
    """Ends all removals of a run that has removed suspiciously many real connections.

    A wrong endpoint that answers 410 for everything, or clients that all stopped pinging, must not
    be able to close the marketplace.
    """

    def __init__(self, *, forced: bool) -> None:
        self._forced = forced
        self._seen = 0
        self._removed = 0
        self._pulled = False
        self._lock = threading.Lock()

    def saw(self, real: int) -> None:
        """Count the real connections of one more business."""
        with self._lock:
            self._seen += real

    def allows_removal(self) -> bool:
        """Reserve the removal of one real connection. Once false, false for the rest of the run."""
        with self._lock:
            if not self._forced and self._removed >= max(BRAKE_FLOOR, self._seen // BRAKE_SHARE):
                self._pulled = True
            if self._pulled:
                return False
            self._removed += 1
            return True

    def not_removed(self) -> None:
        """Give a reservation back."""
        with self._lock:
            self._removed -= 1

    @property
    def pulled(self) -> bool:
        """Whether this run removes no more."""
        return self._pulled


class CarefulSockets:
    """`Sockets` that ask no faster than `pace` permits, and no more once there is an outage.

    In an outage each call costs its whole timeout: a run that insisted would neither remove
    anything nor finish its census.
    """

    def __init__(self, sockets: Sockets, pace: Callable[[], None]) -> None:
        self._sockets = sockets
        self._pace = pace
        self._unknown_in_a_row = 0
        self._lock = threading.Lock()

    @property
    def out(self) -> bool:
        """Whether the management API is taken to be out for the rest of the run."""
        return self._unknown_in_a_row >= OUTAGE_AFTER

    def probe(self, connection_id: ConnectionId) -> SocketAnswer:
        return self._ask(lambda: self._sockets.probe(connection_id))

    def post(self, connection_id: ConnectionId, message: SocketMessage) -> SocketAnswer:
        return self._ask(lambda: self._sockets.post(connection_id, message))

    def close(self, connection_id: ConnectionId) -> SocketAnswer:
        return self._ask(lambda: self._sockets.close(connection_id))

    def _ask(self, call: Callable[[], SocketAnswer]) -> SocketAnswer:
        if self.out:
            return SocketAnswer.UNKNOWN
        self._pace()
        answer = call()
        with self._lock:
            if not self.out:
                told_nothing = answer is SocketAnswer.UNKNOWN
                self._unknown_in_a_row = self._unknown_in_a_row + 1 if told_nothing else 0
        return answer
