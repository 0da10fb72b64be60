"""Plays operations against each other in every order.

A schedule says whose call comes next, call by call. Many schedules lead to the same situation: the
same is stored, and each operation has got the same answers. What can happen from there on is the
same too, so it is played once. `Explored.schedules` counts the schedules that were covered this
way; none is left out.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations

from tests.interleavings.operations import Named, clean_slowly, time_passes
from tests.interleavings.play import Play, Schedule
from tests.interleavings.tasks import Note, digest, no_note
from tests.interleavings.world import World
from tests.promises import broken


@dataclass(frozen=True)
class Explored:
    """What was played."""

    schedules: int
    """Orders of calls, from the beginning to the end."""
    ends: Sequence[Schedule] = field(repr=False)
    """One schedule for each situation at the end."""


class Answers:
    """Numbers for what operations were answered: the same number for the same answers."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, bytes], int] = {}
        self.needed = True
        """False while a schedule is repeated: the numbers are known."""

    def note(self, heard: int, answer: object) -> int:
        if not self.needed:
            return heard
        return self._numbers.setdefault((heard, digest(answer)), len(self._numbers) + 1)


def explore(
    begin: Callable[[], World],
    operations: Sequence[Named],
    *,
    may_die: bool = False,
    may_lose: bool = False,
) -> Explored:
    """Play all schedules of these operations. Raises `PromiseBroken`.

    With `may_die`, each operation can also die before each of its calls; with `may_lose`, the
    answer of each call can be lost.
    """
    # Time that passes in the middle of an operation is no call that comes before or after it.
    serial = None if _asks_clock(operations) else _one_after_the_other(begin, operations)
    kinds = ("step", *(["kill"] if may_die else []), *(["lose"] if may_lose else []))
    answers = Answers()
    numbers: dict[bytes, int] = {}
    followers: dict[int, list[int]] = defaultdict(list)
    ends: list[Schedule] = []
    open_choices: list[tuple[int | None, Schedule, tuple[int, ...]]] = [(None, (), ())]
    while open_choices:
        came_from, schedule, heard = open_choices.pop()
        play = _play(begin, operations, answers.note)
        answers.needed = False
        for choice in schedule[:-1]:
            play.take(choice)
        answers.needed = True
        if schedule:
            play.heard = heard
            play.take(schedule[-1])
        while True:
            situation = play.situation
            is_new = situation not in numbers
            number = numbers.setdefault(situation, len(numbers))
            if came_from is not None:
                followers[came_from].append(number)
            if not is_new:
                break
            choices = [(kind, task) for kind in kinds for task in play.under_way]
            if not choices:
                ends.append(play.schedule)
                _check_end(play, serial)
                break
            first, *others = choices
            open_choices += [(number, (*play.schedule, each), play.heard) for each in others]
            came_from = number
            play.take(first)
    return Explored(_count(followers), ends)


def _one_after_the_other(begin: Callable[[], World], operations: Sequence[Named]) -> frozenset[str]:
    """What can be seen from outside when nobody comes in between."""
    results = set()
    for order in permutations(range(len(operations))):
        play = _play(begin, operations)
        for number in order:
            while number in play.under_way:
                play.take(("step", number))
        results.add(play.result())
    return frozenset(results)


def _play(begin: Callable[[], World], operations: Sequence[Named], note: Note = no_note) -> Play:
    world = begin()
    world.clock_is_asked = _asks_clock(operations)
    world.is_left_alone = len(operations) == 1
    play = Play(world, note)
    play.begin(*operations)
    return play


def _asks_clock(operations: Sequence[Named]) -> bool:
    return any(each.operation in (time_passes, clean_slowly) for each in operations)


def _check_end(play: Play, serial: frozenset[str] | None) -> None:
    if serial is not None and not play.was_disturbed() and play.result() not in serial:
        play.world.watch.problems.append(
            "\n  ".join([broken(6, play.result()), "one after the other:", *serial])
        )
    play.require()
    play.check_end()


def _count(followers: dict[int, list[int]]) -> int:
    """How many ways lead from the first situation to an end."""

    @cache
    def ways(number: int) -> int:
        return sum(map(ways, followers[number])) if number in followers else 1

    return ways(0)
