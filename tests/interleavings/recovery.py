"""What happens after everything that can go wrong: devices ping, the cleanup runs, time passes."""

from collections.abc import Iterator
from typing import Final

from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.model import Business
from lambdas.handlers.cleanup import census
from lambdas.use_cases.cleanup_run import CleanupRun
from tests import promises
from tests.builders import B1, RULES, in_time
from tests.interleavings.world import DEVICE, Service, World, at_once

_STEP: Final = 330
"""Seconds between two runs of the cleanup."""

_LONG: Final = 60 * 60
"""Seconds after which a device moves to a new socket, well before the gateway ends the old one."""


def recover(world: World) -> tuple[Business, CleanupRun]:
    """Let time pass until a silent device counts as gone and the need for attention that follows is
    reported; return what was stored before the last run of the cleanup, and that run.

    The gateway answers again. Devices whose sockets are open ping, and connect again when they are
    told to.
    """
    service = at_once(world, "cleanup in the end")
    world.sockets.unknown.clear()
    for connection_id in [*world.opening]:
        world.end_handshake(connection_id)
    for old in [c for c in world.memory.real.values() if world.clock() - c.connected_at > _LONG]:
        if old.connection_id in world.sockets.open:
            _connect_again(service, old.connection_id)
            service.presence.disconnect(B1, old.connection_id)
    for step in range((RULES.silent_after + RULES.attention_grace) // _STEP + 3):
        if step:
            world.pass_time(_STEP)
        for name in sorted(world.sockets.open):
            connection_id = ConnectionId(name)
            if service.presence.heard_from(B1, connection_id, is_ping=True) is None:
                _connect_again(service, connection_id)
        service.recorder.record(B1)
        stored = world.memory.load(B1)
        run = service.cleanup.cleanup_all_connections(out_of_time=in_time)
        if run.error is not None:
            raise run.error
        service.recorder.record(B1)
    return stored, run


def problems_after_recovery(world: World) -> Iterator[str]:
    """Let everything recover, and yield which promises are then broken."""
    before, run = recover(world)
    now, stored = world.clock(), [world.memory.load(B1)]
    published: dict[str, float] = {str(n): v for n, v in census(run.report).items()}
    reported = {B1} if world.watch.told else set()
    yield from promises.dead_connections(stored, world.sockets.open, now, RULES)
    yield from promises.leases_without_declaration(stored)
    yield from promises.wrong_marks(stored, now, RULES)
    yield from promises.unreported_episodes(stored, reported, now, RULES)
    yield from promises.gaps_in_history(stored, world.recorded.transitions, now, RULES)
    yield from promises.wrong_census(stored, published, now, RULES)
    if (run.report.real, run.report.virtual) != (len(before.real), len(before.virtual)):
        yield promises.broken(8, run.report, before)
    if not run.complete or run.report.failed:
        yield promises.broken(2, run)


def _connect_again(service: Service, connection_id: ConnectionId) -> None:
    world = service.world
    again = ConnectionId(f"{connection_id}+")
    service.admission.connect(B1, DEVICE, again)
    world.end_handshake(again)
    world.lose(connection_id)
