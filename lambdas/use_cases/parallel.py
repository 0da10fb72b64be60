"""Reads many businesses at once, within a deadline."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lambdas.domain.errors import Unavailable
from lambdas.domain.model import OutOfTime

_Key = TypeVar("_Key")
_Read = TypeVar("_Read")


def read_in_parallel(
    read: Callable[[_Key], _Read], keys: Sequence[_Key], *, threads: int, out_of_time: OutOfTime
) -> list[_Read]:
    """Read all keys; the results are in the same order.

    Raises `Unavailable` if one of them cannot be read in time. After the first failure no new read
    is started, so that a store that does not answer costs one timeout.
    """
    failed = threading.Event()

    def one(key: _Key) -> _Read:
        if failed.is_set() or out_of_time():
            raise Unavailable("not all businesses could be read in time")
        try:
            return read(key)
        except Unavailable:
            failed.set()
            raise

    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(one, keys))
