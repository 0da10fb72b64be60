"""Removes real connections, on every path, without ever removing a live one.

A connection is removed only after the gateway said that its socket is closed or gone. Just after
connecting, "gone" is not believed, because the gateway may not know the socket yet.

The cause of a removal cannot be seen afterwards, so whoever removes a connection announces it
first. Only the removals that follow from a declaration need no announcement: the settings say it.
"""

from enum import Enum, auto

from lambdas.domain.model import AnnouncedRemoval, Business, Instant, RealConnection
from lambdas.domain.rules import Rules
from lambdas.use_cases.ports import SocketAnswer, Sockets, Store


class Removal(Enum):
    """What became of a real connection."""

    REMOVED = auto()
    ALREADY_REMOVED = auto()
    """Its socket is gone, and something else removed the connection first."""
    KEPT = auto()
    """The socket could not be closed, or is too young to be believed gone."""


def announce(business: Business, removal: AnnouncedRemoval, *, store: Store) -> None:
    """Tell the recorder why a connection is about to be removed.

    Nothing is written where no change feed is on. Raises `Unavailable`.
    """
    if business.last_transition is not None:
        store.announce_removal(business.business_id, removal)


def close_and_remove(
    connection: RealConnection, *, store: Store, sockets: Sockets, rules: Rules, now: Instant
) -> Removal:
    """Close one socket and remove its connection."""
    answer = sockets.close(connection.connection_id)
    return remove_closed(connection, answer, store=store, rules=rules, now=now)


def remove_closed(
    connection: RealConnection, answer: SocketAnswer, *, store: Store, rules: Rules, now: Instant
) -> Removal:
    """Remove a connection if, as the answer to closing it says, its socket is closed or gone."""
    if answer is SocketAnswer.GONE:
        return remove_gone(connection, store=store, rules=rules, now=now)
    if answer is SocketAnswer.OK:
        return _remove(connection, store)
    return Removal.KEPT


def remove_gone(connection: RealConnection, *, store: Store, rules: Rules, now: Instant) -> Removal:
    """Remove a connection whose socket is said to be gone, unless it is too young to be sure."""
    if rules.is_young(connection, now):
        return Removal.KEPT
    return _remove(connection, store)


def _remove(connection: RealConnection, store: Store) -> Removal:
    removed = store.remove_real(connection.business_id, connection.connection_id)
    return Removal.ALREADY_REMOVED if removed is None else Removal.REMOVED
