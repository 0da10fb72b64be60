"""Pauses, opening hours, and whether a socket is expected."""

from dataclasses import replace
from typing import Any

import pytest

from lambdas.domain.errors import Forbidden, InvalidValue, NotDeclared
from lambdas.domain.identifiers import UserId
from lambdas.domain.model import ActingAs, Attention, Business, Episode, Pause, Settings
from lambdas.domain.status import OverallStatus
from lambdas.use_cases.settings import MAX_PAUSE, SettingsWriter, write_settings
from tests.builders import (
    B1,
    CLOSED,
    NOW,
    OPEN,
    U1,
    FakeClock,
    at,
    business,
    hours,
    real,
    settings,
    settings_writer,
    virtual,
)
from tests.fakes import MemoryStore

U2 = UserId("u2")
OPERATOR = UserId("o1")
END = NOW + 60
HELD = Pause(END, "no device since noon", OPERATOR, by_operator=True)
"""An operator's pause."""


@pytest.fixture
def writer(store: MemoryStore, clock: FakeClock) -> SettingsWriter:
    return settings_writer(store, clock)


def test_a_pause_drops_nothing_and_ends_by_itself(
    writer: SettingsWriter, store: MemoryStore, clock: FakeClock
) -> None:
    before = business(real(), virtual(), declared=settings())
    store.seed(before)
    status = writer.pause_business(B1, U2, NOW + 60, "busy")
    assert status.overall_status is OverallStatus.CONNECTED_NOT_ACCEPTING
    assert status.pause == Pause(NOW + 60, "busy", U2)
    after = store.load(B1)
    assert (after.real, after.virtual) == (before.real, before.virtual)
    assert after.settings == settings(
        version=2, updated_at=NOW, updated_by=U2,
        pause=Pause(NOW + 60, "busy", U2),
    )  # fmt: skip
    clock.advance(60)
    assert after.settings.accepts_orders(clock())


def test_a_pause_can_be_moved_and_ended(writer: SettingsWriter, store: MemoryStore) -> None:
    store.seed(business(real(), declared=settings()))
    writer.pause_business(B1, U2, NOW + 60, "busy")
    writer.pause_business(B1, U2, NOW + 120, None)
    assert store.settings[B1].pause == Pause(NOW + 120, by=U2)
    status = writer.resume_business(B1, U2)
    assert status.overall_status is OverallStatus.ONLINE
    assert store.settings[B1].pause is None
    assert writer.resume_business(B1, U2).overall_status is OverallStatus.ONLINE


@pytest.mark.parametrize("until", [NOW - 1, NOW, NOW + MAX_PAUSE + 1, 0])
def test_a_pause_that_is_over_or_too_long_is_refused(
    writer: SettingsWriter, store: MemoryStore, until: int
) -> None:
    store.seed(business(declared=settings()))
    with pytest.raises(InvalidValue, match="until: must be"):
        writer.pause_business(B1, U2, until, None)
    assert store.settings[B1] == settings()


def test_a_pause_may_last_seven_days(writer: SettingsWriter, store: MemoryStore) -> None:
    store.seed(business(declared=settings()))
    assert writer.pause_business(B1, U2, NOW + MAX_PAUSE, None).pause == Pause(
        NOW + MAX_PAUSE, by=U2
    )


def test_a_business_that_nobody_declared_cannot_be_changed(
    writer: SettingsWriter, store: MemoryStore
) -> None:
    with pytest.raises(NotDeclared):
        writer.pause_business(B1, U2, NOW + 60, None)
    with pytest.raises(NotDeclared):
        writer.resume_business(B1, U2)
    with pytest.raises(NotDeclared):
        writer.expect_socket(B1, U2, False)
    for opening in (OPEN, None):
        with pytest.raises(NotDeclared):
            writer.set_opening_hours(B1, U2, opening)
    assert not store.settings


@pytest.mark.parametrize("act", ["pause", "expect no socket", "close by hours"])
def test_an_episode_ends_at_once_when_a_call_ends_the_need(
    writer: SettingsWriter, store: MemoryStore, act: str
) -> None:
    episode = Episode(Attention.VIRTUAL_ONLY, 1, reported=True)
    store.seed(business(virtual(), declared=settings(episode=episode)))
    if act == "pause":
        status = writer.pause_business(B1, U2, NOW + 60, None)
    elif act == "close by hours":
        status = writer.set_opening_hours(B1, U2, CLOSED)
    else:
        status = writer.expect_socket(B1, U2, False)
    assert status.attention is None
    assert store.settings[B1].episode is None


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        ({"updated_by": U2}, True),
        ({"available": False}, False),
        ({"expects_socket": False}, False),
        ({"pause": Pause(NOW + 60), "updated_at": NOW}, False),
        ({"opening_hours": CLOSED}, False),
    ],
)
def test_a_mark_that_is_set_between_read_and_write_stays_unless_the_need_ends(
    store: MemoryStore, change: dict[str, Any], is_kept: bool
) -> None:
    store.seed(business(virtual(), declared=settings()))
    before, episode = store.load(B1), Episode(Attention.VIRTUAL_ONLY, NOW)
    store.mark_episode(before, episode)
    write_settings(store, before, settings(version=2, **change))
    expected = episode if is_kept else None
    assert store.settings[B1] == settings(version=2, **change, episode=expected)


class TestOperatorsPause:
    @pytest.mark.parametrize("reason", [None, "", " \t"])
    def test_needs_a_reason(
        self, writer: SettingsWriter, store: MemoryStore, reason: str | None
    ) -> None:
        store.seed(business(declared=settings()))
        with pytest.raises(InvalidValue, match="is required of an operator") as refused:
            writer.pause_business(B1, OPERATOR, END, reason, acting_as=ActingAs.OPERATOR)
        assert refused.value.field == "reason"
        assert store.settings[B1] == settings()

    def test_names_its_operator(self, writer: SettingsWriter, store: MemoryStore) -> None:
        store.seed(business(declared=settings()))
        status = writer.pause_business(
            B1, OPERATOR, END, "no device since noon", acting_as=ActingAs.OPERATOR
        )
        assert status.pause == HELD
        assert store.settings[B1] == settings(
            version=2,
            updated_at=NOW,
            updated_by=OPERATOR,
            updated_as=ActingAs.OPERATOR,
            pause=HELD,
        )

    @pytest.mark.parametrize("call", ["pause", "resume"])
    def test_is_not_changed_by_anybody_else_until_its_last_second(
        self, writer: SettingsWriter, store: MemoryStore, clock: FakeClock, call: str
    ) -> None:
        def act() -> None:
            if call == "pause":
                writer.pause_business(B1, U2, END + 600, None)
            else:
                writer.resume_business(B1, U2)

        store.seed(business(declared=settings(pause=HELD)))
        for now in (NOW, END - 1):
            clock.now = now
            with pytest.raises(Forbidden) as refused:
                act()
            for told in ("o1", "2027-01-15T08:01:00Z", "no device since noon"):
                assert told in str(refused.value)
            assert store.settings[B1] == settings(pause=HELD)
        clock.now = END
        act()
        assert store.settings[B1].pause == (Pause(END + 600, by=U2) if call == "pause" else None)

    def test_is_moved_and_ended_by_another_operator(
        self, writer: SettingsWriter, store: MemoryStore
    ) -> None:
        store.seed(business(real(), declared=settings(pause=HELD)))
        status = writer.pause_business(B1, U2, END + 600, "still none", acting_as=ActingAs.OPERATOR)
        assert status.pause == Pause(END + 600, "still none", U2, by_operator=True)
        status = writer.resume_business(B1, U2, acting_as=ActingAs.OPERATOR)
        assert (status.overall_status, status.pause) == (OverallStatus.ONLINE, None)
        assert store.settings[B1] == settings(
            version=3, updated_at=NOW, updated_by=U2, updated_as=ActingAs.OPERATOR
        )

    def test_replaces_a_members_pause(self, writer: SettingsWriter, store: MemoryStore) -> None:
        store.seed(business(declared=settings(pause=Pause(END, by=U1))))
        writer.pause_business(B1, OPERATOR, END, "no device", acting_as=ActingAs.OPERATOR)
        with pytest.raises(Forbidden):
            writer.resume_business(B1, U1)

    def test_that_is_over_does_not_hold_for_the_next_pause(
        self, writer: SettingsWriter, store: MemoryStore, clock: FakeClock
    ) -> None:
        store.seed(business(declared=settings(pause=HELD)))
        clock.now = END
        writer.pause_business(B1, U2, END + 60, None)
        writer.resume_business(B1, U1)
        assert store.settings[B1].pause is None

    def test_is_kept_by_all_other_changes_of_the_settings(
        self, writer: SettingsWriter, store: MemoryStore
    ) -> None:
        store.seed(business(declared=settings(pause=HELD)))
        writer.expect_socket(B1, U2, False)
        writer.set_opening_hours(B1, U2, OPEN)
        assert store.settings[B1].is_held_by_operator(END - 1)

    def test_with_damaged_details_is_refused_with_what_is_known(
        self, writer: SettingsWriter, store: MemoryStore
    ) -> None:
        damaged = replace(HELD, by=None, reason=None)
        store.seed(business(declared=settings(pause=damaged)))
        with pytest.raises(Forbidden) as refused:
            writer.resume_business(B1, U2)
        assert "None" not in str(refused.value)


def _declare(before: Settings, available: bool, now: int) -> Settings:
    return before.declared(available, at=now, by=U2)


def _import(before: Settings, available: bool, now: int) -> Settings:
    return before.imported(available, True, before.opening_hours, at=now, by=U2)


PAUSED_BY_MEMBER = Pause(END, "busy", U1)


@pytest.mark.parametrize(
    ("write", "pause", "was", "becomes", "now", "stays"),
    [
        # A declaration ends a member's pause in any case.
        (_declare, PAUSED_BY_MEMBER, True, True, NOW, False),
        (_declare, PAUSED_BY_MEMBER, True, False, NOW, False),
        (_declare, PAUSED_BY_MEMBER, False, True, NOW, False),
        # An operator's pause holds until its last second.
        (_declare, HELD, True, True, NOW, True),
        (_declare, HELD, True, False, NOW, True),
        (_declare, HELD, False, True, END - 1, True),
        (_declare, HELD, True, True, END, False),
        # An import ends a pause if it changes the availability.
        (_import, PAUSED_BY_MEMBER, True, True, NOW, True),
        (_import, PAUSED_BY_MEMBER, True, False, NOW, False),
        (_import, PAUSED_BY_MEMBER, False, True, NOW, False),
        (_import, HELD, True, True, NOW, True),
        (_import, HELD, True, False, NOW, True),
        (_import, HELD, False, True, END - 1, True),
        (_import, HELD, True, False, END, False),
    ],
)
def test_which_declarations_end_which_pause(
    write: Any, pause: Pause, was: bool, becomes: bool, now: int, stays: bool
) -> None:
    after: Settings = write(settings(available=was, pause=pause), becomes, now)
    assert after.pause == (pause if stays else None)


@pytest.mark.parametrize(
    ("write", "was", "becomes", "declared_by"),
    [
        (_declare, True, False, U2),
        (_declare, True, True, U2),
        (_import, True, False, U2),
        (_import, True, True, U1),
    ],
)
def test_declared_by_is_who_last_declared_the_business(
    write: Any, was: bool, becomes: bool, declared_by: UserId
) -> None:
    assert write(settings(available=was), becomes, NOW).declared_by == declared_by


def test_no_other_change_of_the_settings_is_a_declaration(
    writer: SettingsWriter, store: MemoryStore
) -> None:
    store.seed(business(declared=settings()))
    writer.pause_business(B1, U2, END, "busy", acting_as=ActingAs.OPERATOR)
    writer.resume_business(B1, U2, acting_as=ActingAs.OPERATOR)
    writer.expect_socket(B1, U2, False)
    writer.set_opening_hours(B1, U2, OPEN)
    assert store.settings[B1].declared_by == U1
    assert store.settings[B1].updated_by == U2


class TestOpeningHours:
    def test_are_set_replaced_and_removed_and_drop_nothing(
        self, writer: SettingsWriter, store: MemoryStore
    ) -> None:
        before = business(real(), virtual(), declared=settings())
        store.seed(before)
        status = writer.set_opening_hours(B1, U2, CLOSED)
        assert status.overall_status is OverallStatus.CONNECTED_NOT_ACCEPTING
        status = writer.set_opening_hours(B1, U2, OPEN)
        assert status.overall_status is OverallStatus.ONLINE
        assert store.settings[B1] == settings(
            version=3, updated_at=NOW, updated_by=U2, opening_hours=OPEN
        )
        for version in (4, 5):  # a second removal is fine
            writer.set_opening_hours(B1, U2, None)
            assert store.settings[B1] == settings(version=version, updated_at=NOW, updated_by=U2)
        assert (store.load(B1).real, store.load(B1).virtual) == (before.real, before.virtual)

    @pytest.mark.parametrize("write", ["hours", "pause", "declaration", "import"])
    def test_lose_their_past_exceptions_with_the_next_write(
        self, writer: SettingsWriter, store: MemoryStore, write: str
    ) -> None:
        days: dict[str, Any] = {"2027-01-13": [], "2027-01-15": [["10:00", "12:00"]]}
        written = hours(("09:00", "22:00"), exceptions=days)
        before = settings(opening_hours=None if write == "hours" else written)
        store.seed(business(declared=before))
        if write == "hours":
            writer.set_opening_hours(B1, U2, written)
        elif write == "pause":
            writer.pause_business(B1, U2, END, None)
        else:
            act = _declare if write == "declaration" else _import
            store.settings[B1] = act(before, False, NOW)
        del days["2027-01-13"]
        assert store.settings[B1].opening_hours == hours(("09:00", "22:00"), exceptions=days)

    def test_of_a_first_declaration_lose_them_too(self) -> None:
        past = hours(("09:00", "22:00"), exceptions={"2027-01-13": []})
        first = Settings.first(True, at=NOW, by=U1, opening_hours=past)
        assert first.opening_hours == hours(("09:00", "22:00"))

    def test_are_not_overridden_by_a_declaration(self) -> None:
        after = settings(available=False, opening_hours=CLOSED).declared(True, at=NOW, by=U1)
        assert after.opening_hours == CLOSED
        assert not after.accepts_orders(NOW)


NINE_TO_TEN_PM = hours(("09:00", "22:00"))
MARKED_AT = at("2027-01-15 21:50")
MARKED: dict[str, Any] = {
    "updated_at": NOW,
    "episode": Episode(Attention.VIRTUAL_ONLY, MARKED_AT, reported=True),
}


@pytest.mark.parametrize(
    ("before", "after", "now", "is_kept"),
    [
        # The hours closed the business since it was marked.
        (NINE_TO_TEN_PM, None, "2027-01-16 09:05", False),
        (NINE_TO_TEN_PM, OPEN, "2027-01-16 09:05", False),
        (NINE_TO_TEN_PM, NINE_TO_TEN_PM, "2027-01-16 09:05", False),
        # The business was open all the time.
        (NINE_TO_TEN_PM, None, "2027-01-15 21:59", True),
        (NINE_TO_TEN_PM, OPEN, "2027-01-15 21:59", True),
        (OPEN, None, "2027-01-16 09:05", True),
        (None, OPEN, "2027-01-16 09:05", True),
        # The new hours would have closed it, but they were not set then.
        (None, NINE_TO_TEN_PM, "2027-01-16 09:05", True),
        (OPEN, NINE_TO_TEN_PM, "2027-01-16 09:05", True),
        # The new hours close it now.
        (None, NINE_TO_TEN_PM, "2027-01-15 22:00", False),
    ],
)
def test_a_change_of_the_hours_ends_an_episode_only_if_the_business_was_or_is_closed(
    writer: SettingsWriter, store: MemoryStore, clock: FakeClock,
    before: Any, after: Any, now: str, is_kept: bool,
) -> None:  # fmt: skip
    store.seed(business(virtual(left=10**6), declared=settings(opening_hours=before, **MARKED)))
    clock.now = at(now)
    status = writer.set_opening_hours(B1, U2, after)
    stored = store.settings[B1]
    assert stored.episode == (MARKED["episode"] if is_kept else None)
    assert stored.current_episode(clock() + 60) == stored.episode
    assert status.attention_since == (MARKED_AT if is_kept else None)


def test_an_availability_call_between_read_and_write_is_not_lost(clock: FakeClock) -> None:
    class Raced(MemoryStore):
        raced = False

        def write_settings(self, before: Business, settings: Settings, **changes: object) -> None:
            if not self.raced:
                self.raced = True
                self.settings[B1] = self.settings[B1].declared(False, at=NOW, by=U2)
            super().write_settings(before, settings, **changes)  # type: ignore[arg-type] # as given

    store = Raced()
    store.seed(business(declared=settings()))
    settings_writer(store, clock).expect_socket(B1, U2, False)
    assert store.settings[B1] == settings(
        available=False, version=3, updated_at=NOW, updated_by=U2, declared_by=U2,
        expects_socket=False,
    )  # fmt: skip
