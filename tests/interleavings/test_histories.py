"""Random histories: operations begin, go on, meet and die in any order, and time passes."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from lambdas.domain.identifiers import ConnectionId
from tests.builders import B1
from tests.interleavings.operations import OPERATIONS, Named
from tests.interleavings.play import Play
from tests.interleavings.states import STATES
from tests.interleavings.world import Service, at_once
from tests.soak import SOAK

SKEW = 4
"""Seconds by which the clocks of two operations differ, at most."""

AT_ONCE = 4
"""Operations under way at the same time."""


class Histories(RuleBasedStateMachine):
    """Whatever happens, the promises are kept."""

    @initialize(state=st.sampled_from(list(STATES)))
    def begin(self, state: str) -> None:
        world = STATES[state]()
        world.clock_is_asked = True
        world.watch.truth.skew = 2 * SKEW
        self._play = Play(world)
        self._begun = 0

    @property
    def _others(self) -> Service:
        return at_once(self._play.world)

    @precondition(lambda self: len(self._play.under_way) < AT_ONCE)
    @rule(
        name=st.sampled_from(list(OPERATIONS)),
        variant=st.integers(0, 1),
        skew=st.sampled_from([0, -SKEW, SKEW]),
    )
    def an_operation_begins(self, name: str, variant: int, skew: int) -> None:
        self._begun += 1
        named = Named(f"{name} ({self._begun})", OPERATIONS[name][variant], skew)
        self._play.begin(named)

    @precondition(lambda self: self._play.under_way)
    @rule(which=st.integers(0, AT_ONCE - 1), calls=st.integers(1, 8))
    def an_operation_goes_on(self, which: int, calls: int) -> None:
        number = self._play.under_way[which % len(self._play.under_way)]
        for _ in range(calls):
            if number in self._play.under_way:
                self._play.take(("step", number))

    @precondition(lambda self: self._play.under_way)
    @rule(which=st.integers(0, AT_ONCE - 1))
    def an_operation_dies(self, which: int) -> None:
        self._play.take(("kill", self._play.under_way[which % len(self._play.under_way)]))

    @precondition(lambda self: not self._play.under_way)
    @rule(seconds=st.sampled_from([5, 61, 301, 400, 700, 3600, 13 * 3600]))
    def time_passes(self, seconds: int) -> None:
        world = self._play.world
        world.sockets.open |= world.opening  # no handshake takes that long
        world.opening.clear()
        self._others.happens(lambda: world.pass_time(seconds))
        self._play.require()

    @rule()
    def devices_ping(self) -> None:
        for connection_id in sorted(self._play.world.sockets.open):
            self._others.presence.heard_from(B1, ConnectionId(connection_id))
        self._play.require()

    @rule()
    def the_feed_catches_up(self) -> None:
        self._others.recorder.record(B1)
        self._play.require()

    def teardown(self) -> None:
        if not hasattr(self, "_play"):
            return
        for number in self._play.under_way:
            while number in self._play.under_way:
                self._play.take(("step", number))
        self._play.check_end()


TestHistories: Any = Histories.TestCase
TestHistories.settings = settings(max_examples=10_000 if SOAK else 40, stateful_step_count=40)
