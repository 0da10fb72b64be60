"""The brake of the cleanup, which limits how many connections one run removes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

BRAKE_FLOOR: Final = 20
"""Real connections that a run may always remove, however small the marketplace."""

BRAKE_SHARE: Final = 10
"""Beyond the floor, a run may remove one in this many of the real connections that are known."""


@dataclass(slots=True)
class RemovalSlot:
    """The permission to remove one real connection."""

    used: bool = False
    """Set once the socket was closed or the connection is gone. Otherwise the slot is free again.
    """


class Brake:
    """Limits how many real connections one run removes.

    A wrong endpoint that calls every socket gone, or clients that all stopped pinging, must not be
    able to close the marketplace. The limit is a share of the real connections that the last census
    counted, or of those that the run has seen, if they are more. So it does not matter how early in
    a run the dead ones are read. Only removals that happened count.
    """

    def __init__(self, *, forced: bool) -> None:
        self.last_census = 0
        """Real connections that the last census counted."""
        self._forced = forced
        self._seen = 0
        self._removed = 0
        self._under_way = 0
        self._refused_because: str | None = None
        self._changed = threading.Condition()

    def add_seen(self, real: int) -> None:
        """Count real connections that the run has seen."""
        with self._changed:
            self._seen += real
            if self._under_way:  # others may be waiting for a slot
                self._changed.notify_all()

    @contextmanager
    def removal_slot(self) -> Iterator[RemovalSlot | None]:
        """Hold a slot while one connection is being removed; None if the limit is reached.

        If removals under way hold the last slots, it waits for them: one that fails frees its slot,
        so that an outage is never mistaken for a mass removal.
        """
        if not self._take_slot():
            yield None
            return
        slot = RemovalSlot()
        try:
            yield slot
        finally:
            with self._changed:
                self._under_way -= 1
                self._removed += slot.used
                self._changed.notify_all()

    @property
    def refused_because(self) -> str | None:
        """Why removals were refused, in numbers; None if none was."""
        return self._refused_because

    def _take_slot(self) -> bool:
        """Take a slot and return true, or return false if the limit is reached."""
        with self._changed:
            while not self._forced and self._removed + self._under_way >= self._limit:
                if not self._under_way:
                    self._refused_because = self._refused_because or (
                        f"{self._removed} real connections were removed, and a run may remove at"
                        f" most {self._limit}: {BRAKE_FLOOR}, or one in {BRAKE_SHARE} of the"
                        f" {self.last_census} that the last census counted or the {self._seen} seen"
                        " so far"
                    )
                    return False
                self._changed.wait()
            self._under_way += 1
            return True

    @property
    def _limit(self) -> int:
        return max(BRAKE_FLOOR, max(self.last_census, self._seen) // BRAKE_SHARE)
