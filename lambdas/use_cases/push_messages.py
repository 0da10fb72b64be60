"""Pushes messages to the devices of a business."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import (
    AnnouncedRemoval,
    Business,
    Cause,
    Clock,
    OutOfTime,
    RealConnection,
)
from lambdas.domain.rules import Rules
from lambdas.domain.socket_messages import PushedMessage
from lambdas.use_cases.ports import SocketAnswer, Sockets, Store
from lambdas.use_cases.removal import announce, remove_gone

_ATTEMPTS: Final = 4
"""How often one socket is tried while the gateway cannot tell."""

_PARALLEL_POSTS: Final = 25


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message."""

    message_id: str
    sent: int
    """Sockets for which the gateway accepted it. It does not mean that a person saw it."""
    gone: int
    """Sockets that no longer existed."""
    failed: int
    """Sockets for which the gateway did not accept it in time."""
    not_removed: int = 0
    """Of those that are gone: connections that are still stored, because the store did not answer.
    The cleanup removes them.
    """

    @property
    def reached(self) -> bool:
        """Whether any device was reached. If not, the caller should fall back to a phone call."""
        return self.sent > 0


@dataclass(frozen=True, slots=True)
class Messaging:
    """Pushes to every active real connection of a business, in parallel."""

    store: Store
    sockets: Sockets
    rules: Rules
    clock: Clock
    backoff: Callable[[int], None]
    """Waits before attempt 1, 2, …"""

    def push(
        self, business_id: BusinessId, message: PushedMessage, out_of_time: OutOfTime
    ) -> Delivery:
        """Push one message. `out_of_time` says when to stop trying; the rest counts as failed.

        A connection whose socket turns out to be gone is removed, unless it is too young to be
        sure.
        """
        business = self.store.load(business_id)
        connections = self.rules.active_real(business, self.clock())

        not_removed: list[RealConnection] = []

        def post(connection: RealConnection) -> SocketAnswer:
            answer = self._post(connection, message, out_of_time)
            if answer is SocketAnswer.GONE:
                try:
                    self._remove_gone(business, connection)
                except Unavailable:  # the message matters more
                    not_removed.append(connection)
            return answer

        if not connections:
            return Delivery(message.id, sent=0, gone=0, failed=0)
        with ThreadPoolExecutor(max_workers=_PARALLEL_POSTS) as pool:
            answers = Counter(pool.map(post, connections))
        return Delivery(
            message.id,
            sent=answers[SocketAnswer.OK],
            gone=answers[SocketAnswer.GONE],
            failed=answers[SocketAnswer.UNKNOWN],
            not_removed=len(not_removed),
        )

    def _remove_gone(self, business: Business, connection: RealConnection) -> None:
        now = self.clock()
        if not self.rules.is_young(connection, now):
            because = AnnouncedRemoval(connection.connection_id, Cause.PUSH, by=None, at=now)
            announce(business, because, store=self.store)
        remove_gone(connection, store=self.store, rules=self.rules, now=now)

    def _post(
        self, connection: RealConnection, message: PushedMessage, out_of_time: OutOfTime
    ) -> SocketAnswer:
        for attempt in range(_ATTEMPTS):
            if attempt:
                self.backoff(attempt)
            if out_of_time():
                return SocketAnswer.UNKNOWN
            answer = self.sockets.post(connection.connection_id, message)
            if answer is not SocketAnswer.UNKNOWN:
                return answer
        return SocketAnswer.UNKNOWN
