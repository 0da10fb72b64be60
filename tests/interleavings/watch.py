"""Watches whether the promises are kept: every call, and what is stored after it."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.model import Attention, Episode, OverallStatus, Settings
from lambdas.domain.status import judge
from lambdas.domain.transitions import Transition
from lambdas.use_cases.attention import AttentionReport
from tests.builders import B1, RULES
from tests.interleavings.tasks import Caller
from tests.interleavings.truth import Truth
from tests.promises import broken

if TYPE_CHECKING:
    from tests.interleavings.world import World

State = tuple[OverallStatus, Attention | None]
"""What is true of the business at one moment."""


class Watch:
    """Watches every call. `problems` says which promises were broken."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.problems: list[str] = []
        self._removed: set[ConnectionId] = set()
        self.told = False
        """Whether the present need for attention was reported."""
        self._true_since_read: dict[str, set[State]] = {}
        """What was true since each caller last read the business."""
        self._true_since_commit: set[State] = set()
        self._settings_before: Settings | None = None
        self._tickets_taken = 0
        self._has_begun = False
        self.truth = Truth()
        self.has_died = False
        """Whether an operation died, so that what it was about to tell is not told."""

    def begin(self) -> None:
        settings = self._settings()
        episode = settings.episode if settings is not None else None
        self.told = episode is not None and episode.reported
        self._true_since_commit = {self._now()}
        self.truth = Truth()
        self._has_begun = True
        # What is set up has been so for as long as anybody can ask.
        self.truth.add(0, replace(self._world.memory.load(B1), last_transition=None))

    def snapshot(self) -> object:
        return (
            sorted(self._removed),
            self.told,
            sorted((name, sorted(map(str, t))) for name, t in self._true_since_read.items()),
            sorted(map(str, self._true_since_commit)),
            self._tickets_taken,
            self.truth.snapshot(),
            self.has_died,
        )

    def before(self, caller: Caller, call: str, arguments: tuple[Any, ...]) -> None:
        """Look at a call that is about to be made."""
        if not self._world.is_in_memory:
            return
        if call == "close" and "cleanup" in caller.name:
            self._check_is_silent(arguments[0])
        if call == "close" and caller.name.startswith("connect"):
            self._check_is_of_its_device(arguments[0])
        if call == "write_settings":
            self._settings_before = self._settings()

    def after(self, caller: Caller, call: str, arguments: tuple[Any, ...], result: Any) -> None:
        """Look at a call that was made, and at what is stored now."""
        if not self._world.is_in_memory:
            return
        if call == "remove_real" and result is not None:
            self._check_was_dead(caller, result.connection_id)
        elif call == "announce_removal":
            self.truth.announced.add(arguments[1].cause.value)
        elif call == "write_settings":
            self._after_write(arguments[1])
        elif call == "report":
            self.told = True
            self._check_is_true(caller, "report", cast(AttentionReport, arguments[0]).attention)
        elif call == "mark_episode" and result:
            episode: Episode | None = arguments[1]
            self._check_is_true(caller, "mark", episode.attention if episode else None)
            self.told = self.told and episode is not None
        elif call == "commit":
            self._check_transition(arguments[0])
        elif call == "take_ticket" and result is not None:
            self._tickets_taken += 1
            self._require(self._tickets_taken == 1, 4)
        self._look(caller, has_read=call == "load")

    def _look(self, caller: Caller, *, has_read: bool) -> None:
        """Check what must be so at every moment."""
        memory = self._world.memory
        came_back = [c for _, c in memory.real if c in self._removed]
        self._require(not came_back, 3, came_back)
        settings = self._settings()
        if settings is not None and not settings.available:
            self._require(not memory.virtual, 5)
        self.truth.add(self._world.clock(), replace(memory.load(B1), last_transition=None))
        now = self._now()
        for true in self._true_since_read.values():
            true.add(now)
        self._true_since_commit.add(now)
        if has_read:
            self._true_since_read[caller.name] = {now}

    def _check_is_silent(self, connection_id: ConnectionId) -> None:
        stored = self._world.memory.real.get((B1, connection_id))
        if stored is not None and connection_id in self._world.sockets.open:
            silent = not RULES.is_active(stored, self._world.clock())
            self._require(silent, 1, "the cleanup closed", connection_id)

    def _check_is_of_its_device(self, connection_id: ConnectionId) -> None:
        """There is room for all, so a newcomer may close sockets of its own device only."""
        closed = self._world.memory.real.get((B1, connection_id))
        if closed is not None:
            self._require(closed.device_id is not None, 1, "a newcomer closed", connection_id)

    def _check_was_dead(self, caller: Caller, connection_id: ConnectionId) -> None:
        self._removed.add(connection_id)
        self.truth.removals.append(caller.name)
        self.truth.last_removal = self._world.clock()
        alive = self._world.sockets.open | self._world.opening
        self._require(connection_id not in alive, 1, connection_id)

    def _after_write(self, after: Settings) -> None:
        before, now = self._settings_before, self._world.clock()
        if before is not None and before.is_held_by_operator(now):
            released = not after.is_held_by_operator(now) and after.updated_as != "operator"
            self._require(not released, 7)
        if self._now()[1] is None:
            self.told = False  # the episode is over

    def _check_is_true(self, caller: Caller, what: str, attention: Attention | None) -> None:
        # Which need it is may have changed since the business was read, but not whether there was.
        true = {need for _, need in self._true_since_read.get(caller.name, ())}
        was_so = any((need is None) == (attention is None) for need in true)
        self._require(was_so, 9, what, attention, true)

    def _check_transition(self, transition: Transition) -> None:
        recorded = self._world.recorded.transitions
        before = recorded[-2] if len(recorded) > 1 else None
        self._require(recorded[-1] == transition, 10, transition)
        if before is not None:
            follows = (transition.sequence, transition.before, transition.since) == (
                before.sequence + 1,
                before.after,
                before.at,
            )
            self._require(follows, 10, before, transition)
        if self._has_begun:
            late = self.has_died
            takes = self._world.walk_takes
            for problem in self.truth.problems(
                transition, before, may_be_late=late, walk_takes=takes
            ):
                self._require(False, 10, transition, problem)
        true = self._true_since_commit
        if transition.attention is not None:
            told = (transition.after, transition.attention) in true
            self._require(told, 10, transition, true)
        self._true_since_commit = set()

    def _settings(self) -> Settings | None:
        return self._world.memory.settings.get(B1)

    def _now(self) -> State:
        status = judge(self._world.memory.load(B1), self._world.clock(), RULES)
        return status.overall_status, status.attention

    def _require(self, kept: bool, promise: int, *seen: object) -> None:
        if not kept:
            self.problems.append(broken(promise, *seen))
