"""How things stand when the operations begin: one state of each kind."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from lambdas.domain.model import (
    Attention,
    Episode,
    Pause,
    RealConnection,
    Settings,
    VirtualConnection,
)
from tests.builders import B1, CLOSED, NOW, RULES, U1, business, real, settings, virtual
from tests.interleavings.operations import C1, OPERATOR, SOON, TILL
from tests.interleavings.world import DEVICE, World, at_once

DUE: Final = Episode(Attention.VIRTUAL_ONLY, NOW - RULES.attention_grace)
SILENT: Final = RULES.silent_after + 1
"""A device that was last heard from this many seconds ago counts as gone."""


def _state(
    *connections: RealConnection | VirtualConnection,
    declared: Settings | None = None,
    sockets: str = "open",
    cannot_tell: str | None = None,
    recorded: bool = True,
    then_passed: int = 0,
) -> World:
    """A world with one business, and the sockets of its devices: open, gone, opening, or such that
    the gateway cannot tell. Since it was recorded, so many seconds passed.
    """
    world = World()
    service = at_once(world)
    service.tickets.issue(B1, DEVICE)
    world.memory.seed(business(*connections, declared=declared))
    names = {c.connection_id for c in connections if isinstance(c, RealConnection)}
    if sockets == "opening":
        world.opening |= names
    elif sockets != "gone":
        world.sockets.open |= names
    if sockets == "unknown":
        world.sockets.unknown |= names
    if cannot_tell is not None:
        world.sockets.unknown.add(cannot_tell)
    if recorded:
        service.recorder.record(B1)
    world.pass_time(then_passed)
    world.begin()
    return world


STATES: Final[Mapping[str, Callable[[], World]]] = {
    "nothing is known": _state,
    "online": partial(_state, real(C1), virtual("u1"), declared=settings()),
    "a device with two sockets": partial(
        _state,
        *(real(C1, seen=90, device_id=TILL), real("c2", seen=50, device_id=TILL)),
        declared=settings(),
    ),
    "connected, not accepting": partial(_state, real(C1), declared=settings(available=False)),
    "virtual only": partial(_state, virtual("u1"), virtual("u2"), declared=settings()),
    "virtual only, nothing recorded": partial(
        _state, virtual("u1"), declared=settings(), recorded=False
    ),
    "due to be reported": partial(_state, virtual("u2"), declared=settings(episode=DUE)),
    "due to be reported soon": partial(
        _state,
        virtual("u1"),
        declared=settings(episode=replace(DUE, since=NOW - RULES.attention_grace + SOON)),
    ),
    "reported": partial(
        _state, virtual("u1"), declared=settings(episode=replace(DUE, reported=True))
    ),
    "unreachable, with expired leases": partial(
        _state, virtual("u1", left=-1), virtual("u2", left=0), declared=settings()
    ),
    "a lease ends soon": partial(_state, virtual("u1", left=SOON), declared=settings()),
    "a silent device, its socket gone": partial(
        _state, real(C1, seen=SILENT), virtual("u1"), declared=settings(), sockets="gone"
    ),
    "a silent device, its socket open": partial(
        _state, real(C1, seen=SILENT), virtual("u1"), declared=settings()
    ),
    "a silent device, and the gateway cannot tell": partial(
        _state, real(C1, seen=SILENT), virtual("u1"), declared=settings(), sockets="unknown"
    ),
    "a device that fell silent unnoticed": partial(
        _state, real(C1), declared=settings(), then_passed=SILENT + 100
    ),
    "a device that is silent soon": partial(
        _state, real(C1, seen=SILENT - SOON), declared=settings()
    ),
    "a silent device beside a living one": partial(
        _state,
        real("c0", seen=SILENT + 40),
        real(C1),
        declared=settings(),
        cannot_tell="c0",
    ),
    "a device that missed a ping, its socket gone": partial(
        _state, real(C1, seen=400), virtual("u1"), declared=settings(), sockets="gone"
    ),
    "a device that has just connected": partial(
        _state, real(C1, age=5), virtual("u1"), declared=settings(), sockets="opening"
    ),
    "a connection that is expired": partial(
        _state, real(C1, seen=7900, age=7900), declared=settings(), sockets="gone"
    ),
    "paused by an operator": partial(
        _state,
        real(C1),
        declared=settings(pause=Pause(NOW + SOON, by=OPERATOR, by_operator=True)),
    ),
    "paused, and a lease without a device": partial(
        _state, virtual("u1"), declared=settings(pause=Pause(NOW + SOON, by=U1))
    ),
    "closed by its hours": partial(
        _state, virtual("u1"), declared=settings(opening_hours=CLOSED), recorded=False
    ),
}
