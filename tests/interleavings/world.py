"""One business, its devices, the gateway that holds their sockets, and what watches them all."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import ConnectionId, UserId
from lambdas.domain.model import Business, Clock
from lambdas.domain.rules import MAX_CONNECTION_AGE
from lambdas.use_cases.admission import Admission
from lambdas.use_cases.attention import AttentionReport
from lambdas.use_cases.availability import Availability
from lambdas.use_cases.cleanup import Cleanup
from lambdas.use_cases.operators import Operators
from lambdas.use_cases.ports import History, SocketAnswer, Sockets, Store
from lambdas.use_cases.presence import Presence
from lambdas.use_cases.push_messages import Messaging
from lambdas.use_cases.recorder import Recorder
from lambdas.use_cases.settings import SettingsWriter
from lambdas.use_cases.tickets import Tickets
from operations.data.import_businesses import Importer
from tests.builders import B1, RULES, FakeClock, make_cleanup, no_wait
from tests.fakes import FakeSockets, MemoryHistory, MemoryStore
from tests.interleavings.tasks import AtOnce, Caller
from tests.interleavings.watch import Watch

SECRET: Final = "s" * 43
"""The secret of the one ticket."""

DEVICE: Final = UserId("device")


class World:
    """What the operations share. The store is in memory, or real tables."""

    def __init__(self, store: Store | None = None, history: History | None = None) -> None:
        self.clock = FakeClock()
        self.memory = MemoryStore()
        self.recorded = MemoryHistory(self.memory)
        self.store: Store = store or self.memory
        self.history: History = history or self.recorded
        self.sockets = FakeSockets()
        self.opening: set[ConnectionId] = set()
        """Sockets that the gateway opens as soon as `$connect` has answered."""
        self.reports: list[AttentionReport] = []
        self.clock_is_asked = False
        """Whether others can come in between when an operation reads the clock, too."""
        self.is_left_alone = False
        """Whether only one operation runs, so that what it counts must be exact."""
        self.walk_takes = 0
        """Seconds that pass between the walk of a cleanup and what it does with what it found."""
        self.watch = Watch(self)

    @property
    def is_in_memory(self) -> bool:
        """Whether it can be watched, and compared with other situations."""
        return self.store is self.memory

    def begin(self) -> None:
        """Watch from here on: what was set up until now is where everything begins."""
        self.watch.begin()

    def end_handshake(self, connection_id: ConnectionId) -> None:
        """Open a socket."""
        self.opening.discard(connection_id)
        self.sockets.open.add(connection_id)

    def lose(self, connection_id: ConnectionId) -> None:
        """Let a client close its socket, or give up before it is open."""
        self.opening.discard(connection_id)
        self.sockets.open.discard(connection_id)

    def pass_time(self, seconds: int) -> None:
        """Let time pass. The gateway ends sockets that are two hours old."""
        self.clock.advance(seconds)
        for connection in self.memory.real.values():
            if self.clock() - connection.connected_at >= MAX_CONNECTION_AGE:
                self.sockets.open.discard(connection.connection_id)

    def remove_expired(self) -> None:
        """Remove what has expired from the store, as DynamoDB's TTL does."""
        memory, now = self.memory, self.clock()
        if any(c.expires_at <= now for c in memory.real.values()):
            self.watch.truth.removals.append("expiry")
        memory.real = {key: c for key, c in memory.real.items() if c.expires_at > now}
        memory.virtual = {key: c for key, c in memory.virtual.items() if c.expires_at > now}
        memory.tickets = {key: t for key, t in memory.tickets.items() if t.expires_at > now}

    def snapshot(self) -> str:
        """Everything that can make a difference from here on."""
        memory = self.memory
        return repr(
            (
                self.clock.now,
                sorted(memory.settings.items()),
                sorted(memory.real.items()),
                sorted(memory.virtual.items()),
                sorted(memory.tickets),
                memory.censuses,
                memory.last_transitions,
                self.recorded.transitions,
                sorted(self.sockets.open),
                sorted(self.opening),
                self.watch.snapshot(),
            )
        )

    def outside(self) -> object:
        """What callers and devices can see of the business in the end.

        It leaves out what only the cleanup writes: it is judged by its own promises.
        """
        stored = self.store.load(B1)
        settings = stored.settings
        return (
            settings
            and [
                getattr(settings, name)
                for name in settings.__dataclass_fields__
                if name != "episode"
            ],
            sorted(
                (c.connection_id, c.last_seen_at, c.closing_at is not None) for c in stored.real
            ),
            sorted(stored.virtual, key=lambda c: c.user_id),
            sorted(self.sockets.open),
        )


class Service:
    """The use cases of the domain, for one caller."""

    def __init__(self, world: World, caller: Caller, skew: int = 0) -> None:
        self.world = world
        self.caller = caller
        self.store = cast(Store, _Calls(world.store, world, caller))
        self.sockets = cast(Sockets, _Calls(world.sockets, world, caller))
        self.history = cast(History, _Calls(world.history, world, caller))
        asked = world.clock_is_asked
        clock: Clock = (lambda: caller.call(world.clock)) if asked else world.clock
        self.clock: Clock = lambda: clock() + skew

    @property
    def admission(self) -> Admission:
        return Admission(self.store, self.sockets, RULES, self.clock)

    @property
    def presence(self) -> Presence:
        return Presence(self.store, RULES, self.clock)

    @property
    def availability(self) -> Availability:
        return Availability(
            *(self.store, self.sockets, RULES, self.clock, no_wait), self.recorder.record_if_due
        )

    @property
    def settings(self) -> SettingsWriter:
        return SettingsWriter(self.store, RULES, self.clock, no_wait, self.recorder.record_if_due)

    @property
    def messaging(self) -> Messaging:
        return Messaging(self.store, self.sockets, RULES, self.clock, no_wait)

    @property
    def operators(self) -> Operators:
        return Operators(self.store, self.sockets, RULES, self.clock)

    @property
    def tickets(self) -> Tickets:
        return Tickets(self.store, self.clock, lambda: SECRET)

    @property
    def recorder(self) -> Recorder:
        return Recorder(self.store, self.history, RULES, self.clock, no_wait)

    @property
    def importer(self) -> Importer:
        return Importer(self.store, self.clock, no_wait, overwrite=True)

    @property
    def cleanup(self) -> Cleanup:
        return make_cleanup(
            self.store,
            self.sockets,
            self.clock,
            recorder=self.recorder,
            report_attention=self._report,
        )

    def happens(self, do: Callable[[], object]) -> None:
        """Let something happen outside of the service, as one step."""
        self.caller.call(lambda: self._watched(do))

    def _watched(self, do: Callable[[], object]) -> None:
        do()
        self.world.watch.after(self.caller, "", (), None)

    def _report(self, report: AttentionReport) -> None:
        def send() -> None:
            self.world.reports.append(report)
            self.world.watch.after(self.caller, "report", (report,), None)

        self.caller.call(send)


class _Calls:
    """A port whose calls are steps of their caller, and watched."""

    def __init__(self, port: object, world: World, caller: Caller) -> None:
        self._port = port
        self._world = world
        self._caller = caller

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)
        watch, caller = self._world.watch, self._caller

        def call(*arguments: Any, **more: Any) -> Any:
            def do() -> Any:
                watch.before(caller, name, arguments)
                result = method(*arguments, **more)
                watch.after(caller, name, arguments, result)
                return result

            try:
                return caller.call(do)
            except Unavailable:
                if self._port is self._world.sockets:
                    return SocketAnswer.UNKNOWN  # the port never raises
                raise

        return call

    def walk(self, part: int, parts: int) -> Iterator[Business]:
        store = cast(Store, self._port)
        businesses: Sequence[Business] = self._caller.call(lambda: [*store.walk(part, parts)])
        if self._world.walk_takes:
            self._caller.call(self._wait)
        yield from businesses

    def _wait(self) -> None:
        self._world.pass_time(self._world.walk_takes)
        self._world.watch.after(self._caller, "", (), None)


def at_once(world: World, name: str = "at once") -> Service:
    """The use cases for somebody with whom nobody interferes."""
    return Service(world, AtOnce(name))
