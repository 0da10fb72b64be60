"""Recording in races, with lost answers and with repeated, late and reordered calls."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.domain.errors import Conflict, Forbidden, InvalidValue, NotDeclared, Unavailable
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import ActingAs, Cause, OverallStatus
from lambdas.domain.status import judge
from lambdas.domain.transitions import Transition, has_transition
from lambdas.use_cases.recorder import Recorder
from tests.builders import B1, NOW, RULES, U1, FakeClock, hours, no_wait
from tests.fakes import MemoryHistory, MemoryStore, raising
from tests.unit.use_cases.feed import OPERATOR, Followed

ONLINE = OverallStatus.ONLINE
VIRTUAL_ONLY = OverallStatus.VIRTUAL_ONLY


@pytest.fixture
def b1() -> Followed:
    """A business with a device, recorded as online a minute ago."""
    b1 = Followed()
    b1.connect()
    b1.declare(True)
    b1.record()
    b1.pass_time(60)
    return b1


def _before_commit(b1: Followed, act: Callable[[], None]) -> None:
    """Let something happen just before the next commit."""
    commit = b1.history.commit

    def racing(*arguments: Any, **more: Any) -> None:
        b1.history.commit = commit  # type: ignore[method-assign]
        act()
        commit(*arguments, **more)

    b1.history.commit = racing  # type: ignore[method-assign]


def _is_recorded(b1: Followed) -> bool:
    """Whether the last transition says what the business is."""
    business = b1.store.load(B1)
    return not has_transition(business, judge(business, b1.clock(), RULES))


def test_the_loser_of_a_race_records_nothing(b1: Followed) -> None:
    b1.disconnect()
    _before_commit(b1, b1.record)
    b1.record("c1")
    assert [t.sequence for t in b1.recorded] == [1, 2]


def test_the_loser_of_a_race_records_what_has_changed_since(b1: Followed) -> None:
    def meanwhile() -> None:
        b1.record("c1")
        b1.connect("c2")

    b1.disconnect()
    _before_commit(b1, meanwhile)
    b1.record("c1")
    assert [(t.sequence, t.after) for t in b1.recorded] == [
        (1, ONLINE), (2, VIRTUAL_ONLY), (3, ONLINE),
    ]  # fmt: skip


def test_what_changed_while_a_transition_was_written_is_recorded_too(b1: Followed) -> None:
    """The recorder that is told of the second change still sees the old last transition."""

    def meanwhile() -> None:
        b1.connect("c2")
        b1.record()  # finds the business as it was last recorded

    b1.disconnect()
    _before_commit(b1, meanwhile)
    b1.record("c1")
    assert [(t.sequence, t.after) for t in b1.recorded] == [
        (1, ONLINE), (2, VIRTUAL_ONLY), (3, ONLINE),
    ]  # fmt: skip
    assert _is_recorded(b1)


def test_calls_that_are_repeated_late_or_wrong_record_nothing(b1: Followed) -> None:
    b1.disconnect()
    b1.record("c1")
    b1.pass_time(60)
    b1.connect("c2")
    for removed in (None, "c1", "c1", "never there", None):
        b1.record(removed)
    assert [t.sequence for t in b1.recorded] == [1, 2, 3]


def test_a_transition_whose_answer_was_lost_is_not_recorded_twice(b1: Followed) -> None:
    commit = b1.history.commit

    def lost(*arguments: Any, **more: Any) -> None:
        commit(*arguments, **more)
        raise Unavailable("the answer was lost")

    b1.disconnect()
    b1.history.commit = lost  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        b1.record("c1")
    b1.history.commit = commit  # type: ignore[method-assign]
    b1.record("c1")
    assert [t.sequence for t in b1.recorded] == [1, 2]


def test_a_business_that_never_stops_racing_is_an_outage(b1: Followed) -> None:
    b1.disconnect()
    b1.history.commit = raising(Conflict("again"))  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        b1.record("c1")


def test_a_business_that_changes_all_the_time_does_not_hold_the_recorder_forever(
    b1: Followed,
) -> None:
    class Flapping(MemoryHistory):
        def commit(self, transition: Transition, *, settings_version: int | None) -> None:
            super().commit(transition, settings_version=settings_version)
            act = b1.disconnect if transition.after is ONLINE else b1.connect
            act()

    history = Flapping(b1.store)
    b1.disconnect()
    recorded = Recorder(b1.store, history, RULES, b1.clock, no_wait).record(B1)
    assert 1 < len(recorded) < 10
    assert [t.sequence for t in recorded] == list(range(2, 2 + len(recorded)))


class TestCleanup:
    def test_records_what_only_the_time_changed(self, b1: Followed) -> None:
        b1.pause(100)
        b1.record()
        b1.pass_time(130)
        run = b1.clean_up()
        assert run.report.recorded == 1
        assert b1.last_change() == (
            OverallStatus.CONNECTED_NOT_ACCEPTING, ONLINE, Cause.PAUSE_ENDED, None, 30,
        )  # fmt: skip
        assert b1.clean_up().report.recorded == 0

    def test_records_silence_before_it_removes_the_connection(self, b1: Followed) -> None:
        b1.clock.advance(RULES.silent_after + 1)
        run = b1.clean_up()
        assert (run.report.recorded, run.report.silent) == (1, 1)
        assert b1.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.SILENCE, None, 0)

    def test_records_what_the_stream_missed(self, b1: Followed) -> None:
        b1.disconnect()
        assert b1.clean_up().report.recorded == 1
        assert b1.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None, 0)

    def test_records_nothing_in_a_dry_run(self, b1: Followed) -> None:
        b1.disconnect()
        run = b1.clean_up(dry_run=True)
        assert (run.report.recorded, run.report.unrecorded, len(b1.recorded)) == (0, 0, 1)

    def test_takes_the_census_also_if_transitions_cannot_be_recorded(self, b1: Followed) -> None:
        b1.disconnect()
        b1.history.commit = raising(Unavailable("down"))  # type: ignore[method-assign]
        run = b1.clean_up()
        assert run.complete
        assert (run.report.recorded, run.report.unrecorded, run.report.failed) == (0, 1, 0)
        assert run.error is None

    def test_soon_gives_up_a_history_that_does_not_answer(self, b1: Followed) -> None:
        for number in range(2, 500):
            b1.store.settings[BusinessId(f"b{number}")] = b1.store.settings[B1]
        asked: list[Transition] = []

        def down(transition: Transition, *, settings_version: int | None) -> None:
            asked.append(transition)
            raise Unavailable("down")

        b1.history.commit = down  # type: ignore[method-assign]
        run = b1.clean_up()
        assert (run.complete, run.report.unrecorded) == (True, 498)
        assert len(asked) <= b1.cleanup.threads

    def test_raises_a_defect_of_the_recorder_at_its_end(self, b1: Followed) -> None:
        b1.disconnect()
        b1.history.commit = raising(RuntimeError("defect"))  # type: ignore[method-assign]
        run = b1.clean_up()
        assert run.complete
        assert isinstance(run.error, RuntimeError)

    def test_records_the_others_if_one_business_is_poisoned(self, b1: Followed) -> None:
        others = [BusinessId(f"b{n}") for n in range(2, 40)]
        for name in others:
            b1.store.settings[name] = b1.store.settings[B1]
        b1.disconnect()
        commit = b1.history.commit

        def poisoned(transition: Transition, *, settings_version: int | None) -> None:
            if transition.business_id == B1:
                raise RuntimeError("defect")
            commit(transition, settings_version=settings_version)

        b1.history.commit = poisoned  # type: ignore[method-assign]
        run = b1.clean_up()
        assert (run.report.recorded, run.report.unrecorded) == (len(others), 1)

    def test_removes_connections_also_if_their_removal_cannot_be_announced(
        self, b1: Followed
    ) -> None:
        b1.connect("c2")
        b1.sockets.open.clear()
        b1.store.announce_removal = raising(Unavailable("held"))  # type: ignore[method-assign]
        b1.clock.advance(RULES.ping_interval + 1)
        run = b1.clean_up()
        assert (run.report.gone, run.report.failed, run.complete) == (2, 0, True)

    def test_tells_of_the_silence_that_it_could_not_record_itself(self, b1: Followed) -> None:
        b1.clock.advance(RULES.silent_after + 1)
        run = b1.clean_up(half_time=lambda: True)
        assert (run.report.unrecorded, run.report.silent) == (1, 1)
        b1.record("c1")
        assert b1.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.SILENCE, None, 0)

    def test_stops_recording_at_half_time_and_is_still_complete(self, b1: Followed) -> None:
        b1.disconnect()
        run = b1.clean_up(half_time=lambda: True)
        assert run.complete
        assert (run.report.recorded, run.report.unrecorded) == (0, 1)
        assert b1.clean_up().report.recorded == 1

    def test_waits_its_turn_for_each_transition(self, b1: Followed) -> None:
        waited: list[None] = []
        b1.disconnect()
        cleanup = replace(b1.cleanup, pace_transitions=lambda: waited.append(None))
        for _ in range(2):
            cleanup.cleanup_all_connections(out_of_time=lambda: False)
        assert len(waited) == 1

    def test_without_a_feed_announces_and_records_nothing(self, b1: Followed) -> None:
        b1.sockets.open.clear()
        b1.clock.advance(RULES.ping_interval + 1)
        replace(b1.cleanup, recorder=None).cleanup_all_connections(out_of_time=lambda: False)
        assert b1.store.last_transitions[B1].removal is None
        assert len(b1.recorded) == 1


ACTIONS: dict[str, Callable[[Followed], object]] = {
    "connect": lambda b1: b1.connect("c1"),
    "connect another": lambda b1: b1.connect("c2"),
    "disconnect": lambda b1: b1.disconnect("c1"),
    "disconnect another": lambda b1: b1.disconnect("c2"),
    "socket dies": lambda b1: b1.sockets.open.clear(),
    "open": lambda b1: b1.declare(True),
    "close": lambda b1: b1.declare(False),
    "pause": lambda b1: b1.settings.pause_business(B1, U1, b1.clock() + 200, None),
    "operator": lambda b1: b1.pause(100, ActingAs.OPERATOR, OPERATOR),
    "hours": lambda b1: b1.settings.set_opening_hours(
        B1, U1, hours(("08:10", "08:20"), ("08:30", "23:00"))
    ),
    "time": lambda b1: b1.pass_time(120),
    "silence": lambda b1: b1.clock.advance(500),
    "record": lambda b1: b1.record(),
    "record a removal": lambda b1: b1.record("c1"),
    "clean up": lambda b1: b1.clean_up(),
}


@settings(max_examples=150)
@given(st.lists(st.sampled_from([*ACTIONS]), max_size=40), st.randoms(use_true_random=False))
def test_in_any_history_the_feed_has_no_gap_and_ends_with_what_is(
    names: list[str], chance: random.Random
) -> None:
    b1 = Followed(FakeClock(NOW), MemoryStore())
    for name in names:
        try:
            ACTIONS[name](b1)
        except Exception as error:
            if type(error).__name__ not in ("NotDeclared", "Forbidden", "InvalidValue"):
                raise
        if chance.random() < 0.5:
            b1.clock.advance(30)  # a call that closes devices is over
            b1.record()
            assert _is_recorded(b1)
            if b1.recorded:
                assert b1.last.after is b1.status()
    b1.clock.advance(30)
    b1.clean_up()
    b1.record()
    _check_the_chain(b1)


@settings(max_examples=100)
@given(st.lists(st.sampled_from([*ACTIONS]), max_size=25), st.randoms(use_true_random=False))
def test_the_same_if_others_act_at_any_call_and_answers_are_lost(
    names: list[str], chance: random.Random
) -> None:
    b1 = Followed(FakeClock(NOW), MemoryStore())
    busy = False

    def act(name: str) -> None:
        with suppress(NotDeclared, Forbidden, InvalidValue, Unavailable):
            ACTIONS[name](b1)

    def interrupted(call: Callable[..., Any]) -> Callable[..., Any]:
        def racing(*arguments: Any, **more: Any) -> Any:
            nonlocal busy
            if not busy and chance.random() < 0.3:
                busy = True
                act(chance.choice([*ACTIONS]))
                busy = False
            answer = call(*arguments, **more)
            if chance.random() < 0.05:
                raise Unavailable("the answer was lost")
            return answer

        return racing

    calls = [(b1.history, "commit")] + [
        (b1.store, name) for name in ("load", "announce_removal", "mark_episode", "remove_real")
    ]
    for part, call in calls:
        setattr(part, call, interrupted(getattr(part, call)))
    for name in names:
        act(name)
    for part, call in calls:
        delattr(part, call)
    b1.record("c1")
    b1.clean_up()
    b1.record()
    assert _is_recorded(b1)
    _check_the_chain(b1)


def _check_the_chain(b1: Followed) -> None:
    """The transitions of b1 follow from each other."""
    before, at, seconds = OverallStatus.UNKNOWN, 0, 0
    for number, transition in enumerate(b1.recorded, start=1):
        assert transition.sequence == number
        assert transition.before is before
        assert (transition.after, transition.attention) != (
            (before, b1.recorded[number - 2].attention) if number > 1 else (before, None)
        )
        assert at <= transition.at <= b1.clock()
        assert transition.since == (at if number > 1 else None)
        seconds += transition.at - at if number > 1 else 0
        assert sum(transition.seconds.values()) == seconds
        before, at = transition.after, transition.at
