"""A business whose transitions are recorded, and everybody who acts for it."""

from dataclasses import dataclass, field
from typing import Any

from lambdas.domain.identifiers import ConnectionId, UserId
from lambdas.domain.model import ActingAs, Cause, OverallStatus
from lambdas.domain.status import judge
from lambdas.domain.transitions import RemovedConnection, Transition
from lambdas.use_cases.admission import Admission
from lambdas.use_cases.cleanup import Cleanup
from lambdas.use_cases.cleanup_run import CleanupRun
from lambdas.use_cases.operators import Operators
from lambdas.use_cases.recorder import Recorder
from lambdas.use_cases.settings import SettingsWriter
from tests.builders import (
    B1,
    RULES,
    U1,
    FakeClock,
    declare,
    in_time,
    make_cleanup,
    no_wait,
    settings_writer,
)
from tests.fakes import FakeSockets, MemoryHistory, MemoryStore

OPERATOR = UserId("o1")


@dataclass
class Followed:
    """b1, with a recorder that is called when a test says so."""

    clock: FakeClock = field(default_factory=FakeClock)
    store: MemoryStore = field(default_factory=MemoryStore)
    sockets: FakeSockets = field(default_factory=FakeSockets)

    def __post_init__(self) -> None:
        self.history = MemoryHistory(self.store)
        self.recorder = Recorder(self.store, self.history, RULES, self.clock, no_wait)

    # What happens to the business.

    def connect(self, connection_id: str = "c1") -> None:
        admission = Admission(self.store, self.sockets, RULES, self.clock)
        admission.connect(B1, U1, ConnectionId(connection_id))
        self.sockets.open.add(connection_id)

    def disconnect(self, connection_id: str = "c1") -> None:
        self.sockets.open.discard(connection_id)
        self.store.remove_real(B1, ConnectionId(connection_id))

    def ping(self, connection_id: str = "c1") -> None:
        self.store.refresh_real(B1, ConnectionId(connection_id), self.clock())

    def declare(self, available: bool, user: UserId = U1) -> None:
        declare(
            self.store,
            available,
            user_id=user,
            sockets=self.sockets,
            clock=self.clock,
            before_change=self.recorder.record_if_due,
        )

    def pause(self, seconds: int, acting_as: ActingAs = ActingAs.MEMBER, by: UserId = U1) -> None:
        until = self.clock() + seconds
        self.settings.pause_business(B1, by, until, "busy", acting_as=acting_as)

    @property
    def settings(self) -> SettingsWriter:
        return settings_writer(self.store, self.clock, self.recorder.record_if_due)

    def close_by_operator(self, connection_id: str = "c1") -> None:
        operators = Operators(self.store, self.sockets, RULES, self.clock)
        operators.close_connection(B1, ConnectionId(connection_id), OPERATOR)

    @property
    def cleanup(self) -> Cleanup:
        return make_cleanup(self.store, self.sockets, self.clock, recorder=self.recorder)

    def clean_up(self, **options: Any) -> CleanupRun:
        return self.cleanup.cleanup_all_connections(out_of_time=in_time, **options)

    def pass_time(self, seconds: int) -> None:
        """Let time pass, with pings of all devices whose sockets are open."""
        until = self.clock() + seconds
        while self.clock() < until:
            self.clock.advance(min(RULES.ping_interval, until - self.clock()))
            for connection_id in self.sockets.open:
                self.ping(connection_id)

    # What is recorded.

    def record(self, removed: str | None = None) -> None:
        """Call the recorder as the stream does, for a removed connection or for anything else."""
        self.recorder.record(
            B1, (removed and RemovedConnection(ConnectionId(removed), self.clock())) or None
        )

    @property
    def recorded(self) -> list[Transition]:
        return self.history.transitions

    @property
    def last(self) -> Transition:
        return self.recorded[-1]

    def last_change(self) -> tuple[OverallStatus, OverallStatus, str, str | None, int]:
        """The last transition: from, to, cause, by, and how many seconds ago."""
        last = self.last
        return last.before, last.after, last.cause, last.by, self.clock() - last.at

    def changes(self) -> list[tuple[int, OverallStatus, Cause, str | None]]:
        """All transitions: how many seconds ago, to what, cause and by."""
        return [(self.clock() - t.at, t.after, t.cause, t.by) for t in self.recorded]

    def status(self) -> OverallStatus:
        return judge(self.store.load(B1), self.clock(), RULES).overall_status
