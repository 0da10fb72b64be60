"""Pauses, and whether a socket is expected."""

import pytest

from lambdas.domain.errors import InvalidValue, NotDeclared
from lambdas.domain.identifiers import UserId
from lambdas.domain.model import Attention, Business, Settings
from lambdas.domain.settings import MAX_PAUSE, SettingsWriter
from lambdas.domain.status import OverallStatus
from tests.builders import B1, NOW, FakeClock, business, real, settings, settings_writer, virtual
from tests.fakes import MemoryStore

U2 = UserId("u2")


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
    assert status.paused_until == NOW + 60
    after = store.load(B1)
    assert (after.real, after.virtual) == (before.real, before.virtual)
    assert after.settings == settings(
        version=2, updated_at=NOW, updated_by=U2, paused_until=NOW + 60, pause_reason="busy"
    )
    clock.advance(60)
    assert after.settings.accepts_orders(clock())


def test_a_pause_can_be_moved_and_ended(writer: SettingsWriter, store: MemoryStore) -> None:
    store.seed(business(real(), declared=settings()))
    writer.pause_business(B1, U2, NOW + 60, "busy")
    writer.pause_business(B1, U2, NOW + 120, None)
    assert store.settings[B1].paused_until == NOW + 120
    assert store.settings[B1].pause_reason is None
    status = writer.resume_business(B1, U2)
    assert status.overall_status is OverallStatus.ONLINE
    assert store.settings[B1].paused_until is None
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
    assert writer.pause_business(B1, U2, NOW + MAX_PAUSE, None).paused_until == NOW + MAX_PAUSE


def test_a_business_that_nobody_declared_cannot_be_changed(
    writer: SettingsWriter, store: MemoryStore
) -> None:
    with pytest.raises(NotDeclared):
        writer.pause_business(B1, U2, NOW + 60, None)
    with pytest.raises(NotDeclared):
        writer.resume_business(B1, U2)
    with pytest.raises(NotDeclared):
        writer.expect_socket(B1, U2, False)
    assert not store.settings


@pytest.mark.parametrize("act", ["pause", "expect no socket"])
def test_an_episode_ends_at_once_when_the_business_is_paused_or_expects_no_socket(
    writer: SettingsWriter, store: MemoryStore, act: str
) -> None:
    marks = {"attention": Attention.VIRTUAL_ONLY, "attention_since": 1, "attention_reported": True}
    store.seed(business(virtual(), declared=settings(**marks)))
    if act == "pause":
        status = writer.pause_business(B1, U2, NOW + 60, None)
    else:
        status = writer.expect_socket(B1, U2, False)
    assert status.attention is None
    assert store.settings[B1].attention is None
    assert store.settings[B1].attention_since is None


def test_an_availability_call_between_read_and_write_is_not_lost(clock: FakeClock) -> None:
    class Raced(MemoryStore):
        raced = False

        def write_settings(self, before: Business, settings: Settings, **changes: object) -> None:
            if not self.raced:
                self.raced = True
                declared = self.settings[B1]
                self.settings[B1] = Settings(
                    available=False, version=declared.version + 1,
                    updated_at=NOW, updated_by=U2,
                )  # fmt: skip
            super().write_settings(before, settings, **changes)  # type: ignore[arg-type] # as given

    store = Raced()
    store.seed(business(declared=settings()))
    settings_writer(store, clock).expect_socket(B1, U2, False)
    assert store.settings[B1] == settings(
        available=False, version=3, updated_at=NOW, updated_by=U2, expects_socket=False
    )
