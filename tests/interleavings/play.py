"""A performance of some operations: whose call comes next is decided from outside."""

from collections.abc import Sequence
from functools import partial

from tests.interleavings.operations import Named, new_connection
from tests.interleavings.recovery import problems_after_recovery
from tests.interleavings.tasks import Note, Task, digest, no_note
from tests.interleavings.world import World
from tests.promises import PromiseBroken

Choice = tuple[str, int]
"""`step`, `kill` or `lose` (the answer of its call), and whose."""

Schedule = tuple[Choice, ...]


class Play:
    """One performance of a schedule."""

    def __init__(self, world: World, note: Note = no_note) -> None:
        self.world = world
        self._note = note
        self._tasks: list[Task] = []
        self.schedule: Schedule = ()

    def begin(self, *operations: Named) -> None:
        """Let operations begin. Each stops before its first call."""
        for each in operations:
            self._tasks.append(Task(each.name, partial(each, self.world), self._note))

    @property
    def under_way(self) -> Sequence[int]:
        """The operations that are not over."""
        return [number for number, task in enumerate(self._tasks) if not task.is_over]

    def take(self, choice: Choice) -> None:
        """Let one operation make its next call, or die. Raises `PromiseBroken`."""
        kind, number = choice
        task = self._tasks[number]
        if kind == "step":
            task.step()
        elif kind == "lose":
            task.lose()
            self.world.watch.has_died = True
        else:
            task.kill()
            self.world.watch.has_died = True
            # The gateway opens no socket if `$connect` does not answer.
            self.world.opening.discard(new_connection(task.name))
        self.schedule = (*self.schedule, choice)
        self.require()

    def check_end(self) -> None:
        """Let everything recover, and check what must be so in the end. Raises `PromiseBroken`."""
        self.world.watch.problems += problems_after_recovery(self.world)
        self.require()

    def require(self) -> None:
        """Raise `PromiseBroken` if a promise was broken."""
        if problems := self.world.watch.problems:
            names = [task.name for task in self._tasks]
            steps = " → ".join(
                names[number] + {"step": "", "kill": " dies", "lose": " gets no answer"}[kind]
                for kind, number in self.schedule
            )
            raise PromiseBroken("\n".join([*problems, f"calls: {steps}"]))

    @property
    def heard(self) -> tuple[int, ...]:
        return tuple(task.heard for task in self._tasks)

    @heard.setter
    def heard(self, numbers: tuple[int, ...]) -> None:
        for task, number in zip(self._tasks, numbers, strict=True):
            task.heard = number

    @property
    def situation(self) -> bytes:
        """A digest of everything that the rest of the performance depends on."""
        outcomes = [task.outcome for task in self._tasks]
        return digest((self.heard, outcomes, self.world.snapshot()))

    def result(self) -> str:
        """What can be seen from outside when all operations are over."""
        return repr((self.world.outside(), [task.outcome for task in self._tasks]))

    def was_disturbed(self) -> bool:
        return any(kind != "step" for kind, _ in self.schedule)
