"""The operations that are played against each other. Each is what one event or request does."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from lambdas.domain.errors import NotFound
from lambdas.domain.identifiers import ConnectionId, DeviceId, UserId
from lambdas.domain.model import ActingAs
from lambdas.domain.rules import CLAIM_HOLDS
from lambdas.domain.socket_messages import NotRegistered, PushedMessage
from lambdas.domain.transitions import RemovedConnection
from lambdas.handlers.cleanup import census
from operations.data.business_file import Declaration
from tests.builders import B1, CLOSED, RULES, U1, in_time
from tests.interleavings.tasks import Caller
from tests.interleavings.world import DEVICE, SECRET, Service, World
from tests.promises import wrong_census

SOON: Final = 10
"""Seconds that may pass while an operation is under way."""

C1: Final = ConnectionId("c1")
U2: Final = UserId("u2")
OPERATOR: Final = UserId("o1")
TILL: Final = DeviceId("till-1")
"""The device that connects."""

Operation = Callable[[Service], object]


@dataclass(frozen=True)
class Named:
    """An operation, with a name of its own among those that run at the same time."""

    name: str
    operation: Operation
    skew: int = 0
    """Seconds by which the clock of its machine is ahead."""

    def __call__(self, world: World, caller: Caller) -> object:
        return self.operation(Service(world, caller, self.skew))


def new_connection(caller: str) -> ConnectionId:
    """The connection that an operation makes, if it makes one."""
    return ConnectionId(f"of {caller}")


def connect(service: Service) -> object:
    """A device connects: the gateway opens its socket once `$connect` has answered."""
    new = new_connection(service.caller.name)
    world = service.world
    service.happens(lambda: world.opening.add(new))
    service.admission.connect(B1, DEVICE, new, device_id=TILL)
    service.happens(lambda: world.end_handshake(new))
    return "connected"


def connect_with_ticket(service: Service) -> object:
    """A browser connects: the authorizer redeems its ticket first."""
    if service.tickets.redeem(SECRET) is None:
        return "no ticket"
    return connect(service)


def disconnect(service: Service) -> object:
    """The device closes its socket, and the gateway says so."""
    service.happens(lambda: service.world.lose(C1))
    service.presence.disconnect(B1, C1)
    return None


def ping(service: Service) -> object:
    """The device sends a ping. If it is not registered, it is told so and its socket is closed."""
    if C1 not in service.world.sockets.open:
        return "cannot send"
    if service.presence.heard_from(B1, C1, is_ping=True) is None:
        service.sockets.post(C1, NotRegistered(None))
        service.sockets.close(C1)
        return "not registered"
    return "pong"


def declare(available: bool, user_id: UserId) -> Operation:
    """A user declares the business available or unavailable."""

    def operation(service: Service) -> object:
        service.availability.set_business_availability(B1, user_id, available, out_of_time=in_time)
        return None

    return operation


def pause(acting_as: ActingAs) -> Operation:
    def operation(service: Service) -> object:
        by = OPERATOR if acting_as is ActingAs.OPERATOR else U2
        until = service.world.clock() + 3600
        service.settings.pause_business(B1, by, until, "busy", acting_as=acting_as)
        return None

    return operation


def resume(acting_as: ActingAs) -> Operation:
    def operation(service: Service) -> object:
        by = OPERATOR if acting_as is ActingAs.OPERATOR else U2
        service.settings.resume_business(B1, by, acting_as=acting_as)
        return None

    return operation


def close_by_hours(service: Service) -> object:
    service.settings.set_opening_hours(B1, U2, CLOSED)
    return None


def remove_hours(service: Service) -> object:
    service.settings.set_opening_hours(B1, U2, None)
    return None


def expect_no_socket(service: Service) -> object:
    service.settings.expect_socket(B1, U2, False)
    return None


def push(service: Service) -> object:
    message = PushedMessage("m1", {"order": 1})
    return service.messaging.push(B1, message, in_time).reached


def close_by_operator(service: Service) -> object:
    """Whether it was there does not matter: two operators may both have closed it."""
    with suppress(NotFound):
        service.operators.close_connection(B1, C1, OPERATOR)
    return None


def clean_one(service: Service) -> object:
    run = service.cleanup.cleanup_business_connections(B1, out_of_time=in_time)
    if run.error is not None:
        raise run.error
    return None


def clean_all(service: Service) -> object:
    run = service.cleanup.cleanup_all_connections(out_of_time=in_time)
    if run.error is not None:
        raise run.error
    world = service.world
    if world.is_left_alone and run.complete:
        counted = {str(name): value for name, value in census(run.report).items()}
        stored = [world.memory.load(B1)]
        world.watch.problems += wrong_census(stored, counted, world.clock(), RULES)
    return None


def expire(service: Service) -> object:
    """The store removes what has expired, as DynamoDB's TTL does."""
    service.happens(service.world.remove_expired)
    return None


def import_line(accepting: bool) -> Operation:
    def operation(service: Service) -> object:
        line = Declaration(1, B1, accepting, expects_socket=True)
        return service.importer.take(line)

    return operation


def record(service: Service) -> object:
    """The recorder is called for a removed connection, whatever has become of it."""
    service.recorder.record(B1, RemovedConnection(C1, service.world.clock()))
    return None


def time_passes(service: Service) -> object:
    """Some seconds pass: in some states, something ends by itself."""
    service.happens(lambda: service.world.pass_time(SOON))
    return None


def clean_slowly(service: Service) -> object:
    """A run of the cleanup that takes longer than a claim holds, until it comes to a business."""
    service.world.walk_takes = CLAIM_HOLDS + 1
    return clean_all(service)


OPERATIONS: Final[Mapping[str, tuple[Operation, Operation]]] = {
    name: operation if isinstance(operation, tuple) else (operation, operation)
    for name, operation in {
        "connect": connect,
        "connect with a ticket": connect_with_ticket,
        "disconnect": disconnect,
        "ping": ping,
        "available": (declare(True, U1), declare(True, U2)),
        "unavailable": (declare(False, U1), declare(False, U2)),
        "pause": pause(ActingAs.MEMBER),
        "pause by an operator": pause(ActingAs.OPERATOR),
        "resume": resume(ActingAs.MEMBER),
        "resume by an operator": resume(ActingAs.OPERATOR),
        "close by hours": close_by_hours,
        "remove the hours": remove_hours,
        "expect no socket": expect_no_socket,
        "push": push,
        "close by an operator": close_by_operator,
        "cleanup of one": clean_one,
        "cleanup of all": clean_all,
        "expiry by TTL": expire,
        "import as accepting": import_line(True),
        "import as not accepting": import_line(False),
        "record": record,
        "time passes": time_passes,
    }.items()
}
"""Each operation, and the one that is played against it when it meets itself."""


_LONG: Final = {"slow cleanup of all": (clean_slowly, clean_slowly)}


def together(*names: str) -> list[Named]:
    """Operations that meet."""
    return [
        Named(f"{name} ({number + 1})", {**OPERATIONS, **_LONG}[name][number % 2])
        for number, name in enumerate(names)
    ]
