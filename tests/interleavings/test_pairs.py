"""Every pair of operations, from each kind of state, in every order of their calls.

`make test` plays a part of the pairs, `make soak` all of them. A pair that is played is always
played completely.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Final

import pytest

from tests.interleavings.explorer import explore
from tests.interleavings.operations import OPERATIONS, together
from tests.interleavings.states import STATES
from tests.soak import SOAK

PAIRS: Final = tuple(combinations_with_replacement(OPERATIONS, 2))

ONE_IN: Final = 11
"""Of how many pairs `make test` plays one. It is no divisor of anything here, so the pairs of one
state differ from those of the next.
"""


SOFT_LIMIT: Final = "a device with two sockets"
"""Two handshakes of this device at the same moment may leave it three sockets: the limit is soft,
and the next handshake closes the third.
"""


def _chosen(state: str, one_in: int) -> Sequence[tuple[str, ...]]:
    chosen = PAIRS[list(STATES).index(state) % one_in :: one_in]
    if state != SOFT_LIMIT:
        return chosen
    return [names for names in chosen if not all(name.startswith("connect") for name in names)]


@pytest.mark.parametrize("state", STATES)
def test_two_operations_keep_the_promises_in_every_order(state: str) -> None:
    schedules = 0
    for names in _chosen(state, 1 if SOAK else ONE_IN):
        schedules += explore(STATES[state], together(*names)).schedules
    print(f"{state}: {schedules:,} schedules, none left out")  # noqa: T201 - for make soak


@pytest.mark.parametrize("state", STATES)
def test_two_operations_keep_the_promises_wherever_one_or_both_of_them_die(state: str) -> None:
    schedules = 0
    for names in _chosen(state, 1 if SOAK else ONE_IN**2):
        schedules += explore(STATES[state], together(*names), may_die=True).schedules
    print(f"{state}, with deaths: {schedules:,} schedules, none left out")  # noqa: T201 - for make soak


def test_two_recorders_and_a_change_keep_the_promises_in_every_order() -> None:
    """Only with a third operation can one recorder follow another with what it read before."""
    begin = STATES["virtual only, nothing recorded"]
    explore(begin, together("record", "record", "connect"))


@pytest.mark.skipif(not SOAK, reason="three operations take minutes: make soak")
@pytest.mark.parametrize("state", STATES)
def test_a_pair_and_the_cleanup_keep_the_promises_in_every_order(state: str) -> None:
    schedules = 0
    for names in _chosen(state, ONE_IN):
        three = together(*names, "cleanup of all")
        schedules += explore(STATES[state], three).schedules
    print(f"{state}, with the cleanup: {schedules:,} schedules, none left out")  # noqa: T201 - for make soak
