"""Attention in random histories: calls, runs and faults in any order, and one rule that must hold.

A fault hits one write of one step: the write fails before it is done; or it is done and its answer
is lost; or it is done and repeated, and the repeated write meets its own effect.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambdas.domain.errors import Conflict, Forbidden, NotDeclared, Unavailable
from lambdas.domain.identifiers import ConnectionId, UserId
from lambdas.domain.model import ActingAs, Business, Episode, Instant, RealConnection
from lambdas.domain.opening_hours import OpeningHours
from lambdas.domain.status import judge
from lambdas.use_cases.admission import Admission
from lambdas.use_cases.attention import AttentionReport
from lambdas.use_cases.cleanup_run import CleanupRun
from lambdas.use_cases.settings import SettingsWriter
from tests.builders import (
    B1,
    NOW,
    RULES,
    U1,
    FakeClock,
    clean_up,
    declare,
    hours,
    in_time,
    make_cleanup,
    settings_writer,
)
from tests.fakes import FakeSockets, MemoryStore

STEP = 60
"""Seconds between two steps."""


OPERATOR = UserId("operator")


def _in_steps(*spans: tuple[int, int]) -> OpeningHours:
    """Opening hours that begin and end this many steps after a history begins."""

    def time(steps: int) -> str:
        return datetime.fromtimestamp(NOW + steps * STEP, UTC).strftime("%H:%M")

    return hours(*[(time(opens), time(closes)) for opens, closes in spans])


EARLY = ((0, 8), (10, 19), (20, 29), (31, 38), (40, 55))
LATE = ((9, 21), (22, 35), (37, 59))
OPEN_IN_STEPS = {None: ((0, 1440),), _in_steps(*EARLY): EARLY, _in_steps(*LATE): LATE}
"""When the business is open, by its opening hours: several times in one history."""


class Fault(Enum):
    NONE = auto()
    BEFORE = auto()
    AFTER = auto()
    REPEATED = auto()
    CRASH = auto()


class FaultyStore(MemoryStore):
    """Lets one write fail, as its `fault` says."""

    fault = Fault.NONE
    meanwhile: Callable[[], None] | None = None
    """Happens just before the next write of a mark."""

    def _write(self, write: Callable[[], Any], repeated: Any) -> Any:
        fault, self.fault = self.fault, Fault.NONE
        if fault is Fault.BEFORE:
            raise Unavailable("it was not done")
        if fault is Fault.CRASH:
            raise RuntimeError("the process died")
        answer = write()
        if fault is Fault.AFTER:
            raise Unavailable("it was done, but the answer was lost")
        if fault is Fault.REPEATED:
            if repeated is Conflict:
                raise Conflict("the repeated write met its own effect")
            return repeated
        return answer

    def write_settings(self, *arguments: Any, **more: Any) -> None:
        self._write(lambda: super(FaultyStore, self).write_settings(*arguments, **more), Conflict)

    def mark_episode(self, before: Business, episode: Episode | None) -> bool:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        done: bool = self._write(
            lambda: super(FaultyStore, self).mark_episode(before, episode), False
        )
        return done

    def remove_real(self, *arguments: Any) -> RealConnection | None:
        removed: RealConnection | None = self._write(
            lambda: super(FaultyStore, self).remove_real(*arguments), None
        )
        return removed


@dataclass
class World:
    """One business, everybody who acts for it, and the reports."""

    clock: FakeClock = field(default_factory=FakeClock)
    store: FaultyStore = field(default_factory=FaultyStore)
    sockets: FakeSockets = field(default_factory=FakeSockets)
    reports: list[AttentionReport] = field(default_factory=list)
    devices: int = 0

    def act(self, name: str) -> CleanupRun | None:
        """Let one thing happen. It may fail, as its caller would notice."""
        try:
            result: CleanupRun | None = getattr(self, name)()
        except (Unavailable, NotDeclared, Forbidden, RuntimeError):
            return None
        return result

    def renew(self) -> None:
        declare(self.store, True, sockets=self.sockets, clock=self.clock)

    def end(self) -> None:
        declare(self.store, False, sockets=self.sockets, clock=self.clock)

    @property
    def _writer(self) -> SettingsWriter:
        return settings_writer(self.store, self.clock)

    def pause(self) -> None:
        self._writer.pause_business(B1, U1, self.clock() + 5 * STEP, None)

    def resume(self) -> None:
        self._writer.resume_business(B1, U1)

    def pause_as_operator(self) -> None:
        until = self.clock() + 3 * STEP
        self._writer.pause_business(B1, OPERATOR, until, "no device", acting_as=ActingAs.OPERATOR)

    def resume_as_operator(self) -> None:
        self._writer.resume_business(B1, OPERATOR, acting_as=ActingAs.OPERATOR)

    def set_early_hours(self) -> None:
        self._writer.set_opening_hours(B1, U1, _in_steps(*EARLY))

    def set_late_hours(self) -> None:
        self._writer.set_opening_hours(B1, U1, _in_steps(*LATE))

    def remove_hours(self) -> None:
        self._writer.set_opening_hours(B1, U1, None)

    def expect(self) -> None:
        self._writer.expect_socket(B1, U1, True)

    def expect_none(self) -> None:
        self._writer.expect_socket(B1, U1, False)

    def connect(self) -> None:
        self.devices += 1
        socket = ConnectionId(f"c{self.devices}")
        self.sockets.open.add(socket)
        Admission(self.store, self.sockets, RULES, self.clock).connect(B1, UserId("device"), socket)

    def lose_sockets(self) -> None:
        """Lose them without an event: their connections stay stored."""
        self.sockets.open.clear()

    def run(self) -> CleanupRun:
        return clean_up(self.store, self.sockets, self.clock, reports=self.reports)

    def clean_one(self) -> None:
        cleanup = make_cleanup(
            self.store, self.sockets, self.clock, report_attention=self.reports.append
        )
        cleanup.cleanup_business_connections(B1, out_of_time=in_time)

    def needs_attention(self) -> bool:
        return judge(self.store.load(B1), self.clock(), RULES).attention is not None

    def is_closed(self) -> bool:
        """Whether the stored opening hours are over at this step, without the code under test."""
        stored = self.store.settings.get(B1)
        spans = OPEN_IN_STEPS[stored.opening_hours if stored else None]
        step = (self.clock() - NOW) // STEP
        return not any(opens <= step < closes for opens, closes in spans)


ACTS = [
    *("renew", "end", "pause", "resume", "expect", "expect_none"),
    *("pause_as_operator", "resume_as_operator"),
    *("set_early_hours", "set_late_hours", "remove_hours"),
    *("connect", "lose_sockets", "run", "clean_one"),
]
QUIET = ["renew", "resume", "expect", "run", "clean_one"]
"""Acts that do not change whether a business without a device needs attention."""

RUN = ("run", Fault.NONE, None)
RENEW = ("renew", Fault.NONE, None)
EARLY_HOURS, LATE_HOURS, NO_HOURS = (
    (name, Fault.NONE, None) for name in ("set_early_hours", "set_late_hours", "remove_hours")
)
NOTHING = ("lose_sockets", Fault.NONE, None)
"""There are no sockets to lose."""
REPORTED_THEN_CLOSED_AND_REOPENED = [EARLY_HOURS, *[RUN] * 6, *[NOTHING] * 3]
"""Reported by step 7, closed from step 8 to 10 without a run."""
ANSWER_OF_THE_MARK_IS_LOST = [
    *[RUN] * (RULES.attention_grace // STEP),
    ("run", Fault.AFTER, None),
    RUN,
]
"""The run at the end of the grace writes its mark, but fails after that."""

steps = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(ACTS), st.sampled_from(QUIET), st.just("run")),
        st.sampled_from([Fault.NONE, Fault.NONE, *Fault]),
        st.one_of(st.none(), st.sampled_from(QUIET)),
    ),
    min_size=5,
    max_size=60,
)


@settings(max_examples=150)
@given(steps)
@example(ANSWER_OF_THE_MARK_IS_LOST)
@example([*REPORTED_THEN_CLOSED_AND_REOPENED, *[RUN] * 6])
@example([*REPORTED_THEN_CLOSED_AND_REOPENED, RENEW, *[RUN] * 6])
@example([*REPORTED_THEN_CLOSED_AND_REOPENED, NO_HOURS, *[RUN] * 6])
@example([*REPORTED_THEN_CLOSED_AND_REOPENED, LATE_HOURS, *[RUN] * 6])
def test_a_business_that_needs_attention_for_longer_than_the_grace_is_counted_and_reported(
    history: list[tuple[str, Fault, str | None]],
) -> None:
    world = World()
    world.act("renew")
    first_seen: Instant | None = None
    """When a complete run first saw this need, which has not been interrupted since."""
    reports_before = 0
    for name, fault, meanwhile in history:
        world.clock.advance(STEP)
        assert not (world.is_closed() and world.needs_attention())
        if not world.needs_attention():
            first_seen, reports_before = None, len(world.reports)
        world.store.fault = fault
        if meanwhile is not None:
            world.store.meanwhile = lambda act=meanwhile: void(world.act(act))
        run = world.act(name)
        world.store.fault, world.store.meanwhile = Fault.NONE, None
        assert not (world.is_closed() and world.needs_attention())
        if not world.needs_attention():
            first_seen, reports_before = None, len(world.reports)
            continue
        if run is None or not run.complete or run.report.failed:
            continue
        if first_seen is None:
            first_seen = world.clock()
        if world.clock() - first_seen >= RULES.attention_grace:
            assert run.report.virtual_only + run.report.unreachable == 1
            assert len(world.reports) > reports_before


def void(_: object) -> None:
    """Drop a result."""
