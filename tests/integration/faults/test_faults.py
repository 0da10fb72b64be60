"""Each HTTP request of each operation goes wrong once, in every way, and the promises still hold.

Afterwards the client repeats its call as docs/protocol.md says, time passes, and two cleanups run.
`make test` tries the most telling faults, `make soak` all of them.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from lambdas.handlers import websocket
from tests.integration.faults.network import (
    FAULTS,
    KILLED_AFTER,
    LOST_ANSWER,
    THROTTLED,
    TIMED_OUT,
    Fault,
    Lasting,
    Network,
    Plan,
    Request,
    without_network,
)
from tests.integration.faults.operations import OPERATIONS, Operation
from tests.integration.faults.world import Outcome, Shared, World
from tests.soak import SOAK

MOST_TELLING: Final = (
    (LOST_ANSWER, Lasting.ONCE),
    (LOST_ANSWER, Lasting.ALWAYS),
    (THROTTLED, Lasting.ALWAYS),
    (KILLED_AFTER, Lasting.ONCE),
)
ALL: Final = tuple(
    (fault, lasting)
    for fault in FAULTS
    for lasting in Lasting
    if lasting is Lasting.ONCE or not fault.kills
)


class Worlds:
    """Makes worlds, and answers the requests of the last one."""

    def __init__(self) -> None:
        self._shared: Shared | None = None
        self.current: World | None = None
        self.recorded: dict[str, tuple[Outcome, list[tuple[str, int, Request]]]] = {}
        self.settled: set[str] = set()
        """The states from which everything ends well."""

    def network(self) -> Network:
        return self.current.network if self.current else Network()

    def new(self, operation: Operation) -> World:
        """A marketplace just before an operation."""
        self._shared = self._shared or Shared()
        self.current = World(self._shared)
        self.current.begin()
        operation.prepare(self.current)
        return self.current

    def problems(self, world: World) -> list[str]:
        """Which promises are broken after some time. Many faults lead to the same state."""
        state = world.state
        if not world.problems and state not in self.settled:
            world.settle()
            if not world.problems:
                self.settled.add(state)
        return world.problems

    def without_fault(self, operation: Operation) -> tuple[Outcome, list[tuple[str, int, Request]]]:
        """What an operation does, and its requests, when nothing goes wrong."""
        if operation.name not in self.recorded:
            world = self.new(operation)
            outcome = operation.call(world, None)
            calls = sorted(world.network.calls, key=lambda call: call[:2])
            assert operation.done(world, outcome), outcome
            self.recorded[operation.name] = outcome, calls
        return self.recorded[operation.name]


@pytest.fixture(scope="module")
def known_worlds() -> Worlds:
    return Worlds()


@pytest.fixture
def worlds(known_worlds: Worlds) -> Iterator[Worlds]:
    with without_network(known_worlds.network):
        yield known_worlds


each_operation: Final = pytest.mark.parametrize(
    "operation",
    [
        # One worker of pytest-xdist tries all faults of an operation: it knows where they lead.
        pytest.param(each, id=each.name, marks=pytest.mark.xdist_group(f"faults of {each.name}"))
        for each in OPERATIONS
    ],
)


def signs(outcome: Outcome) -> set[str]:
    """What shows people or alarms that a call did not do all of its work."""
    found = {
        f"log: {line['message']}" for line in outcome.log if line["level"] in ("WARNING", "ERROR")
    }
    found |= {f"metric: {n}" for line in outcome.metrics for n in _failures(line)}
    return found | {f"answer: {name}" for name in _failures(outcome.document)}


def _failures(document: dict[str, Any]) -> Iterator[str]:
    for name in ("failed", "unknown", "unrecorded", "socketsRemaining", "ProbesUnknown"):
        value = document.get(name)
        if value and value != [0]:
            yield name
    if document.get("complete") is False:
        yield "complete"


@each_operation
def test_an_operation_without_faults_keeps_all_promises(
    worlds: Worlds, operation: Operation
) -> None:
    world = worlds.new(operation)
    outcome = operation.call(world, None)
    assert not operation.is_refused(outcome)
    assert operation.done(world, outcome)
    assert worlds.problems(world) == []
    for connection_id in sorted(world.removed):
        world.call(websocket.on_ping, world.socket(connection_id, action="ping"))
    assert world.problems == [], "a late ping brought a connection back"


@pytest.mark.parametrize(
    ("fault", "lasting"),
    [
        pytest.param(fault, lasting, id=f"{fault.name}, {lasting.value}")
        for fault, lasting in (ALL if SOAK else MOST_TELLING)
    ],
)
@each_operation
def test_a_fault_breaks_no_promise_and_does_not_go_unnoticed(
    worlds: Worlds, operation: Operation, fault: Fault, lasting: Lasting
) -> None:
    usual, calls = worlds.without_fault(operation)
    problems: dict[str, list[str]] = {}
    for label, occurrence, request in calls:
        if not fault.hits(request) or not (SOAK or _is_telling(fault, lasting, request)):
            continue
        plan = Plan(fault, lasting, label, occurrence)
        world = worlds.new(operation)
        found = _problems(world, operation, plan, usual) + worlds.problems(world)
        if found:
            problems[f"{label}, {occurrence}"] = found
    assert problems == {}


@each_operation
def test_an_operation_ends_by_itself_before_its_time_is_up_whatever_is_down(
    worlds: Worlds, operation: Operation
) -> None:
    _, calls = worlds.without_fault(operation)
    killed = [
        label
        for label, occurrence, _ in calls
        if operation.call(
            worlds.new(operation), Plan(TIMED_OUT, Lasting.OUTAGE, label, occurrence)
        ).was_killed
    ]
    assert killed == []


def test_a_handshake_that_fails_leaves_no_connection_although_its_write_was_executed(
    worlds: Worlds,
) -> None:
    connect = next(each for each in OPERATIONS if each.name == "$connect")
    world = worlds.new(connect)
    plan = Plan(LOST_ANSWER, Lasting.ALWAYS, "PutItem BUSINESS#b1 CONNECTION#n1", 1)
    outcome = connect.call(world, plan)
    assert outcome.failed
    assert "n1" not in world.real()


def _is_telling(fault: Fault, lasting: Lasting, request: Request) -> bool:
    """To a function, a read whose answer is lost for good is like one that is throttled for good.
    And it makes no difference whether it is killed after a read or after the write before.
    """
    is_same = (fault, lasting) == (LOST_ANSWER, Lasting.ALWAYS) or fault is KILLED_AFTER
    return request.has_effect or not is_same


def _problems(world: World, operation: Operation, plan: Plan, usual: Outcome) -> list[str]:
    before = world.business()
    outcome = operation.call(world, plan)
    if not world.network.faults:
        return ["this request was not made"]
    found = []
    is_refused = operation.is_refused(outcome)
    shown = signs(outcome) - signs(usual)
    if not is_refused and not shown:
        if not operation.done(world, outcome):
            found.append(f"its work is not done, and nothing shows it: {outcome}")
        elif plan.lasting is not Lasting.ONCE and not plan.fault.is_executed:
            found.append(f"a request failed for good, and nothing shows it: {outcome}")
    if operation.is_set is not None:
        after = world.business()
        if after.settings == before.settings:
            if after.virtual != before.virtual:
                found.append("the leases changed without the settings")
        elif not operation.is_set(after):
            found.append(f"the settings are neither old nor new: {after}")
    if is_refused and operation.is_repeated:
        again = (operation.again or operation.call)(world, None)
        status = (again.answer or {}).get("statusCode", 200)
        if operation.is_refused(again) and status not in operation.also_fine:
            found.append(f"the repeated call was refused: {again}")
        elif not operation.is_refused(again) and not operation.done(world, again):
            found.append(f"the repeated call did not do the work: {again}")
    return found
