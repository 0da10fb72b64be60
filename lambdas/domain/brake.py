"""What keeps a cleanup run from doing harm: a brake on removals, care with the management API."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.messages import SocketMessage
from lambdas.domain.ports import SocketAnswer, Sockets

BRAKE_FLOOR: Final = 20
"""Real connections that a run may always remove, however small the marketplace."""

BRAKE_SHARE: Final = 10
"""Beyond the floor, a run may remove one in this many of the real connections that are known."""

OUTAGE_AFTER: Final = 50
"""So many calls in a row that told nothing are an outage: the rest of the run asks no more."""


@dataclass(slots=True)
class Place:
    """A place within the limit, for the removal of one real connection."""

    used: bool = False
    """Set once the socket was closed or the item is gone. Otherwise the place is free again."""


class Brake:
    """Limits how many real connections one run removes.

    A wrong endpoint that answers 410 for everything, or clients that all stopped pinging, must not
    be able to close the marketplace. The limit is a share of the real connections that the last
    census counted, or of those that the run has seen, if they are more. So it does not matter how
    early in a run the dead ones are read. Only removals that happened count.
    """

    def __init__(self, *, forced: bool) -> None:
        self._known = 0
        self._forced = forced
        self._seen = 0
        self._removed = 0
        self._under_way = 0
        self._pulled_because: str | None = None
        self._changed = threading.Condition()

    def knows(self, real: int) -> None:
        """Say how many real connections the last census counted."""
        self._known = real

    def saw(self, real: int) -> None:
        """Count the real connections of one more business."""
        with self._changed:
            self._seen += real
            if self._under_way:  # somebody may be waiting
                self._changed.notify_all()

    @contextmanager
    def place(self) -> Iterator[Place | None]:
        """Hold a place while one connection is being removed; None if the run may not remove any
        more.

        If removals under way hold the last places, it waits for them: one that fails frees its
        place, so an outage is never mistaken for a mass removal.
        """
        if not self._enter():
            yield None
            return
        place = Place()
        try:
            yield place
        finally:
            with self._changed:
                self._under_way -= 1
                self._removed += place.used
                self._changed.notify_all()

    @property
    def pulled_because(self) -> str | None:
        """Why removals were refused, in numbers; None if none was."""
        return self._pulled_because

    def _enter(self) -> bool:
        with self._changed:
            while not self._forced and self._removed + self._under_way >= self._most:
                if not self._under_way:
                    self._pulled_because = self._pulled_because or (
                        f"{self._removed} real connections were removed, and a run may remove at"
                        f" most {self._most}: {BRAKE_FLOOR}, or one in {BRAKE_SHARE} of the"
                        f" {self._known} that the last census counted or the {self._seen} seen so"
                        " far"
                    )
                    return False
                self._changed.wait()
            self._under_way += 1
            return True

    @property
    def _most(self) -> int:
        return max(BRAKE_FLOOR, max(self._known, self._seen) // BRAKE_SHARE)


class CarefulSockets:
    """`Sockets` that ask no faster than `pace` permits, and stop asking once there is an outage.

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
