"""Removing real connections, on every path, without ever taking a live one.

An item is removed only after the management API said that its socket is closed or gone, and never
on the word of a 410 while the connection is so fresh that API Gateway may not know it yet.
"""

from lambdas.domain.model import Instant, RealConnection
from lambdas.domain.ports import SocketAnswer, Sockets, Store
from lambdas.domain.rules import Rules


def close_and_remove(
    connection: RealConnection, *, store: Store, sockets: Sockets, rules: Rules, now: Instant
) -> bool:
    """Close one socket and remove its item. False if the item had to stay."""
    answer = sockets.close(connection.connection_id)
    if answer is SocketAnswer.GONE:
        return remove_gone(connection, store=store, rules=rules, now=now)
    if answer is SocketAnswer.OK:
        store.remove_real(connection.business_id, connection.connection_id)
        return True
    return False


def remove_gone(connection: RealConnection, *, store: Store, rules: Rules, now: Instant) -> bool:
    """Remove the item of a socket that answered 410. False if it is too young to believe that."""
    if rules.is_young(connection, now):
        return False
    store.remove_real(connection.business_id, connection.connection_id)
    return True
