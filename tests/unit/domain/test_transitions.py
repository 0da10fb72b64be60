"""Which transitions are recorded, when, and with which cause."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import ConnectionId, UserId
from lambdas.domain.model import ActingAs, Attention, Cause, OverallStatus
from lambdas.domain.rules import CONNECTION_AGE_MARGIN, MAX_CONNECTION_AGE
from lambdas.domain.socket_messages import PushedMessage
from lambdas.domain.transitions import RemovedConnection
from lambdas.use_cases.push_messages import Messaging
from tests.builders import B1, CLOSED, NOW, RULES, U1, hours, in_time, no_wait, settings
from tests.fakes import raising
from tests.unit.use_cases.feed import OPERATOR, Followed

ONLINE = OverallStatus.ONLINE
VIRTUAL_ONLY = OverallStatus.VIRTUAL_ONLY
UNREACHABLE = OverallStatus.UNREACHABLE
CONNECTED = OverallStatus.CONNECTED_NOT_ACCEPTING
OFFLINE = OverallStatus.OFFLINE
UNKNOWN = OverallStatus.UNKNOWN

BACKEND = UserId("backend")


@pytest.fixture
def b1() -> Followed:
    return Followed()


@pytest.fixture
def online(b1: Followed) -> Followed:
    """A business with a device, recorded as online an hour ago."""
    b1.connect()
    b1.declare(True)
    b1.record()
    b1.pass_time(3600)
    assert b1.last.after is ONLINE
    return b1


class TestFirst:
    def test_of_a_new_business_has_the_cause_of_its_declaration(self, b1: Followed) -> None:
        b1.declare(True)
        b1.record()
        assert b1.last_change() == (UNKNOWN, VIRTUAL_ONLY, Cause.MEMBER, U1, 0)
        assert (b1.last.sequence, b1.last.since, b1.last.seconds) == (1, None, {})

    def test_of_a_business_that_is_older_than_the_feed_has_no_cause_and_begins_now(
        self, b1: Followed
    ) -> None:
        b1.store.settings[B1] = settings(version=7, updated_at=NOW - 86_400)
        b1.record()
        assert b1.last_change() == (UNKNOWN, UNREACHABLE, Cause.UNKNOWN, None, 0)

    def test_of_a_business_that_was_declared_once_and_long_ago_has_no_cause_either(
        self, b1: Followed
    ) -> None:
        b1.store.settings[B1] = settings(version=1, updated_at=NOW - 86_400)
        b1.record()
        assert b1.last_change() == (UNKNOWN, UNREACHABLE, Cause.UNKNOWN, None, 0)

    def test_is_of_the_moment_of_the_declaration(self, b1: Followed) -> None:
        b1.declare(True)
        b1.clock.advance(6)
        b1.record()
        assert b1.last_change() == (UNKNOWN, VIRTUAL_ONLY, Cause.MEMBER, U1, 6)

    def test_is_not_in_the_future_if_the_clock_of_the_declaration_was_ahead(
        self, b1: Followed
    ) -> None:
        b1.store.settings[B1] = settings(updated_at=NOW + 30)
        b1.record()
        assert b1.last_change() == (UNKNOWN, UNREACHABLE, Cause.MEMBER, U1, 0)

    def test_is_of_the_moment_at_which_a_device_connected_if_that_was_later(
        self, b1: Followed
    ) -> None:
        b1.declare(True)
        b1.clock.advance(2)
        b1.connect()
        b1.clock.advance(4)
        b1.record()
        assert b1.last_change() == (UNKNOWN, ONLINE, Cause.MEMBER, U1, 4)

    def test_of_a_new_business_that_the_hours_have_closed_since_has_no_cause(
        self, b1: Followed
    ) -> None:
        b1.store.settings[B1] = settings(updated_at=NOW, opening_hours=hours(("07:00", "08:10")))
        b1.clock.advance(900)
        b1.record()
        assert b1.last_change() == (UNKNOWN, OFFLINE, Cause.UNKNOWN, None, 0)

    def test_is_not_recorded_while_the_business_is_unknown(self, b1: Followed) -> None:
        b1.connect()
        b1.record()
        assert b1.recorded == []

    def test_goes_on_with_the_sequence_if_the_last_one_was_deleted(self, online: Followed) -> None:
        online.disconnect()
        online.record("c1")
        del online.store.last_transitions[B1]
        online.pass_time(100)
        online.connect("c2")
        online.record()
        assert [t.sequence for t in online.recorded] == [1, 2, 3]
        assert online.last_change() == (VIRTUAL_ONLY, ONLINE, Cause.UNKNOWN, None, 0)
        assert online.last.since == online.recorded[1].at
        assert online.last.seconds == {ONLINE: 3600, VIRTUAL_ONLY: 100}


Write = Callable[[Followed], object]


def _pause_of(acting_as: ActingAs, user: UserId) -> Write:
    return lambda b1: b1.pause(60, acting_as, user)


SETTINGS_WRITTEN: dict[str, tuple[Write, OverallStatus, Cause, str | None]] = {
    "member closes": (lambda b1: b1.declare(False), OFFLINE, Cause.MEMBER, U1),
    "member pauses": (_pause_of(ActingAs.MEMBER, U1), CONNECTED, Cause.MEMBER, U1),
    "operator pauses": (
        _pause_of(ActingAs.OPERATOR, OPERATOR), CONNECTED, Cause.OPERATOR, OPERATOR,
    ),
    "back end pauses": (
        _pause_of(ActingAs.BACKEND, BACKEND), CONNECTED, Cause.BACKEND, BACKEND,
    ),
    "operator sets hours": (
        lambda b1: b1.settings.set_opening_hours(
            B1, OPERATOR, CLOSED, acting_as=ActingAs.OPERATOR
        ),
        CONNECTED, Cause.OPERATOR, OPERATOR,
    ),
    "import": (
        lambda b1: b1.store.write_settings(
            before := b1.store.load(B1),
            before.settings.imported(False, True, None, at=b1.clock(), by=UserId("operations")),  # type: ignore[union-attr]
            remove=before.virtual,
        ),
        CONNECTED, Cause.IMPORT, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SETTINGS_WRITTEN)
def test_a_write_of_the_settings_is_the_cause_with_its_author(online: Followed, what: str) -> None:
    write, after, cause, by = SETTINGS_WRITTEN[what]
    write(online)
    online.clock.advance(4)
    online.record()
    # Nobody saw when the sockets were closed: it may have been just now.
    ago = 0 if after is OFFLINE else 4
    assert online.last_change() == (ONLINE, after, cause, by, ago)
    assert online.last.sequence == 2


def test_who_closes_is_the_cause_even_if_the_sockets_are_closed_later(online: Followed) -> None:
    before = online.store.load(B1)
    assert before.settings is not None
    closed = before.settings.declared(False, at=online.clock(), by=U1)
    online.store.write_settings(before, closed, remove=before.virtual)
    online.clock.advance(2)
    online.disconnect()
    online.record("c1")
    assert online.last_change() == (ONLINE, OFFLINE, Cause.MEMBER, U1, 0)


class TestDevices:
    def test_connect_and_disconnect(self, online: Followed) -> None:
        online.disconnect()
        online.record("c1")
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None, 0)
        online.clock.advance(30)
        online.connect("c2")
        online.clock.advance(3)
        online.record()
        assert online.last_change() == (VIRTUAL_ONLY, ONLINE, Cause.DEVICE_CONNECTED, None, 3)

    def test_reconnect_within_a_batch_without_a_transition(self, online: Followed) -> None:
        online.disconnect()
        online.connect("c2")
        online.record("c1")
        assert len(online.recorded) == 1

    def test_fall_silent(self, online: Followed) -> None:
        online.sockets.open.clear()
        online.clock.advance(RULES.silent_after + 200)
        online.record()
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.SILENCE, None, 199)

    def test_grow_too_old(self, online: Followed) -> None:
        # Nothing closed its socket, and it went on to ping.
        online.pass_time(MAX_CONNECTION_AGE + CONNECTION_AGE_MARGIN - 3600 + 50)
        online.record()
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.SILENCE, None, 50)

    def test_are_heard_from_again(self, online: Followed) -> None:
        online.clock.advance(RULES.silent_after + 200)
        online.record()
        online.clock.advance(10)
        online.ping()
        online.clock.advance(5)
        online.record()
        assert online.last_change() == (VIRTUAL_ONLY, ONLINE, Cause.DEVICE_CONNECTED, None, 5)

    def test_that_are_gone_are_removed_by_the_cleanup(self, online: Followed) -> None:
        online.sockets.open.clear()
        online.clock.advance(RULES.ping_interval + 1)
        assert online.clean_up().report.gone == 1
        online.clock.advance(2)
        online.record("c1")
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.CLEANUP, None, 0)

    def test_are_closed_by_an_operator(self, online: Followed) -> None:
        online.close_by_operator()
        online.record("c1")
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.OPERATOR, OPERATOR, 0)

    def test_that_an_operator_could_not_close_disconnect_by_themselves_later(
        self, online: Followed
    ) -> None:
        online.sockets.unknown.add("c1")
        with pytest.raises(Unavailable):
            online.close_by_operator()
        online.pass_time(3600)
        online.disconnect()
        online.record("c1")
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None, 0)

    def test_do_not_inherit_the_cause_of_an_old_removal_if_theirs_is_not_known(
        self, online: Followed
    ) -> None:
        online.connect("c2")
        online.close_by_operator("c2")
        online.record("c2")
        online.pass_time(3600)
        online.disconnect("c1")
        online.clean_up()
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None, 0)

    def test_that_an_operator_closed_have_that_cause_also_if_only_the_cleanup_finds_it(
        self, online: Followed
    ) -> None:
        online.close_by_operator()
        online.pass_time(RULES.ping_interval)
        online.clean_up()
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.OPERATOR, OPERATOR, 0)

    def test_are_not_lost_at_the_time_of_a_record_that_comes_again(self, online: Followed) -> None:
        online.disconnect()
        removed = RemovedConnection(ConnectionId("c1"), online.clock())
        online.recorder.record(B1, removed)
        online.clock.advance(30)
        online.connect("c2")
        online.record()
        online.clock.advance(60)
        online.disconnect("c2")
        online.recorder.record(B1, removed)
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None, 0)

    def test_that_are_lost_before_the_last_lease_ends(self, b1: Followed) -> None:
        b1.declare(True)
        b1.clock.advance(RULES.virtual_lease - RULES.silent_after - 100)
        b1.connect()
        b1.record()
        assert b1.last.after is ONLINE
        b1.clock.advance(RULES.silent_after + 300)
        b1.record()
        assert b1.changes()[1:] == [
            (299, VIRTUAL_ONLY, Cause.SILENCE, None), (200, UNREACHABLE, Cause.LEASE_ENDED, None),
        ]  # fmt: skip

    def test_keep_the_cause_of_the_removal_of_another_device_to_themselves(
        self, online: Followed
    ) -> None:
        online.connect("c2")
        online.close_by_operator("c1")
        online.record("c1")
        online.clock.advance(60)
        online.disconnect("c2")
        online.record("c2")
        assert len(online.recorded) == 2
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None, 0)

    def test_the_last_one_decides_about_the_cause(self, online: Followed) -> None:
        """One fell silent long ago, and another one disconnects."""
        online.connect("c2")
        online.sockets.open.discard("c1")
        online.pass_time(RULES.silent_after + 100)
        online.record()
        assert len(online.recorded) == 1
        online.disconnect("c2")
        online.record("c2")
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None, 0)

    def test_the_cause_is_silence_if_another_one_had_disconnected_before(
        self, online: Followed
    ) -> None:
        online.connect("c2")
        online.disconnect("c2")
        online.record("c2")
        online.sockets.open.clear()
        online.clock.advance(RULES.silent_after + 100)
        online.record()
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.SILENCE, None, 99)


class TestRemovals:
    """Whoever removes the last device is the cause."""

    @pytest.mark.parametrize("moment", ["post", "close", "remove_real"])
    def test_of_all_devices_of_a_business_that_is_declared_unavailable_is_one_transition(
        self, online: Followed, moment: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The recorder looks at each moment between the write of the settings and the end."""
        online.connect("c2")
        port = online.store if moment == "remove_real" else online.sockets
        call = getattr(port, moment)

        def looked_at_before(*arguments: object) -> object:
            online.record()
            online.clock.advance(1)
            return call(*arguments)

        monkeypatch.setattr(port, moment, looked_at_before)
        online.declare(False)
        online.record("c2")
        assert online.changes()[1:] == [(0, OFFLINE, Cause.MEMBER, U1)]

    def test_that_follow_from_an_end_in_a_pause_have_its_author(self, online: Followed) -> None:
        online.pause(600, by=OPERATOR)
        online.record()
        online.declare(False)
        online.record("c1")
        assert online.last_change() == (CONNECTED, OFFLINE, Cause.MEMBER, U1, 0)

    def test_that_failed_leave_a_business_connected_and_explain_nothing_later(
        self, online: Followed
    ) -> None:
        online.sockets.unknown.add("c1")
        online.declare(False)
        online.clock.advance(40)
        online.record()
        assert online.last_change() == (ONLINE, CONNECTED, Cause.MEMBER, U1, 40)
        online.disconnect()
        online.record("c1")
        assert online.last_change() == (CONNECTED, OFFLINE, Cause.DEVICE_DISCONNECTED, None, 0)

    def test_that_died_on_the_way_leave_a_business_that_is_recorded_as_it_is(
        self, online: Followed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(online.sockets, "post", raising(RuntimeError("the process died")))
        with pytest.raises(RuntimeError):
            online.declare(False)
        online.record()
        assert len(online.recorded) == 1
        online.pass_time(40)
        online.clean_up()
        assert online.last_change() == (ONLINE, CONNECTED, Cause.MEMBER, U1, 40)

    def test_by_a_push_that_finds_the_socket_gone(self, online: Followed) -> None:
        online.sockets.open.clear()
        messaging = Messaging(online.store, online.sockets, RULES, online.clock, no_wait)
        messaging.push(B1, PushedMessage("m1", {}), in_time)
        online.record("c1")
        assert online.last_change() == (ONLINE, VIRTUAL_ONLY, Cause.PUSH, None, 0)

    def test_are_not_begun_if_their_cause_cannot_be_announced(
        self, online: Followed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(online.store, "announce_removal", raising(Unavailable("held")))
        with pytest.raises(Unavailable):
            online.close_by_operator()
        online.record()
        assert len(online.recorded) == 1
        assert online.sockets.open == {"c1"}


class TestTime:
    def test_ends_a_lease(self, b1: Followed) -> None:
        b1.declare(True)
        b1.record()
        b1.clock.advance(RULES.virtual_lease + 70)
        b1.record()
        assert b1.last_change() == (VIRTUAL_ONLY, UNREACHABLE, Cause.LEASE_ENDED, None, 70)
        b1.declare(True)
        b1.record()
        assert b1.last_change() == (UNREACHABLE, VIRTUAL_ONLY, Cause.MEMBER, U1, 0)

    def test_ends_a_lease_whose_item_is_gone(self, b1: Followed) -> None:
        b1.declare(True)
        b1.record()
        b1.clock.advance(RULES.virtual_lease + 70)
        b1.store.virtual.clear()
        b1.record()
        assert b1.last_change() == (VIRTUAL_ONLY, UNREACHABLE, Cause.LEASE_ENDED, None, 0)

    def test_ends_a_lease_now_if_only_an_older_one_is_still_stored(self, b1: Followed) -> None:
        b1.declare(True, OPERATOR)
        b1.clock.advance(RULES.virtual_lease - 100)
        b1.declare(True)
        b1.clock.advance(200)
        b1.connect()
        b1.record()
        b1.disconnect()
        b1.record("c1")
        b1.clock.advance(RULES.virtual_lease)
        del b1.store.virtual[B1, U1]
        b1.record()
        assert b1.last_change() == (VIRTUAL_ONLY, UNREACHABLE, Cause.LEASE_ENDED, None, 0)

    def test_ends_a_pause(self, online: Followed) -> None:
        online.pause(600, ActingAs.OPERATOR, OPERATOR)
        online.record()
        online.pass_time(640)
        online.record()
        assert online.last_change() == (CONNECTED, ONLINE, Cause.PAUSE_ENDED, None, 40)

    def test_a_pause_that_was_over_before_the_recorder_came_is_no_transition(
        self, online: Followed
    ) -> None:
        online.pause(10)
        online.clock.advance(11)
        online.record()
        assert len(online.recorded) == 1

    def test_closes_and_opens_by_the_hours(self, online: Followed) -> None:
        # It is 09:00.
        online.settings.set_opening_hours(B1, U1, hours(("08:00", "09:10"), ("09:30", "20:00")))
        online.record()
        online.pass_time(600 + 5)
        online.record()
        assert online.last_change() == (ONLINE, CONNECTED, Cause.OPENING_HOURS, None, 5)
        online.pass_time(1200)
        online.record()
        assert online.last_change() == (CONNECTED, ONLINE, Cause.OPENING_HOURS, None, 5)
        assert len(online.recorded) == 3

    def test_closes_at_the_very_second(self, online: Followed) -> None:
        online.settings.set_opening_hours(B1, U1, hours(("08:00", "09:10")))
        online.pass_time(600)
        online.record()
        assert online.last_change() == (ONLINE, CONNECTED, Cause.OPENING_HOURS, None, 0)

    @pytest.mark.parametrize(
        ("pause", "cause", "ago"),
        [(300, Cause.OPENING_HOURS, 60), (640, Cause.PAUSE_ENDED, 20)],
    )
    def test_the_later_of_pause_and_hours_opens(
        self, online: Followed, pause: int, cause: Cause, ago: int
    ) -> None:
        online.settings.set_opening_hours(B1, U1, hours(("09:10", "20:00")))
        online.pause(pause)
        online.record()
        online.pass_time(660)
        online.record()
        assert online.last_change() == (CONNECTED, ONLINE, cause, None, ago)

    def test_a_write_that_changed_nothing_does_not_hide_what_the_time_did(
        self, online: Followed
    ) -> None:
        online.pause(600)
        online.record()
        online.pass_time(300)
        online.settings.expect_socket(B1, OPERATOR, True, acting_as=ActingAs.OPERATOR)
        online.pass_time(330)
        online.record()
        assert online.last_change() == (CONNECTED, ONLINE, Cause.PAUSE_ENDED, None, 30)


def _write_between(b1: Followed, write: Write) -> None:
    """Let the device of a business fall silent, write its settings 139 s later, and look 60 s after
    that. Nobody can close the device.
    """
    b1.sockets.open.clear()
    b1.sockets.unknown.add("c1")
    b1.clock.advance(RULES.silent_after + 1 + 139)
    write(b1)
    b1.clock.advance(60)
    b1.record()


def _import(available: bool) -> Write:
    def write(b1: Followed) -> None:
        before = b1.store.load(B1)
        assert before.settings is not None
        after = before.settings.imported(available, True, None, at=b1.clock(), by=OPERATOR)
        b1.store.write_settings(before, after, remove=() if available else before.virtual)

    return write


def _reopen(b1: Followed) -> None:
    b1.declare(False)
    b1.declare(True)


SILENCE_139_S_EARLIER = (199, VIRTUAL_ONLY, Cause.SILENCE, None)
AFTER_SILENCE: dict[str, tuple[Write, list[tuple[int, OverallStatus, Cause, str | None]]]] = {
    "a pause": (
        lambda b1: b1.pause(600),
        [SILENCE_139_S_EARLIER, (60, OFFLINE, Cause.MEMBER, U1)],
    ),
    "hours": (
        lambda b1: b1.settings.set_opening_hours(B1, U1, CLOSED),
        [SILENCE_139_S_EARLIER, (60, OFFLINE, Cause.MEMBER, U1)],
    ),
    "a renewed lease": (lambda b1: b1.declare(True), [SILENCE_139_S_EARLIER]),
    "an end": (
        lambda b1: b1.declare(False),
        [SILENCE_139_S_EARLIER, (60, OFFLINE, Cause.MEMBER, U1)],
    ),
    "an end and a new begin": (
        _reopen,
        [
            SILENCE_139_S_EARLIER,
            (60, OFFLINE, Cause.MEMBER, U1),
            (60, VIRTUAL_ONLY, Cause.MEMBER, U1),
        ],
    ),
    # It records nothing before it writes: nobody knows what the business was until then.
    "an import that changes nothing": (_import(True), [(60, VIRTUAL_ONLY, Cause.SILENCE, None)]),
    "an import that closes": (_import(False), [(60, OFFLINE, Cause.IMPORT, None)]),
}


class TestDate:
    """A transition is dated no earlier than what is stored proves."""

    @pytest.mark.parametrize("what", AFTER_SILENCE)
    def test_of_silence_before_the_settings_were_written(self, online: Followed, what: str) -> None:
        write, changes = AFTER_SILENCE[what]
        _write_between(online, write)
        assert online.changes()[1:] == changes

    @pytest.mark.parametrize(
        ("lease_left", "changes"),
        [
            (-100, [(199, UNREACHABLE, Cause.SILENCE, None)]),
            (50, [(199, VIRTUAL_ONLY, Cause.SILENCE, None),
                  (149, UNREACHABLE, Cause.LEASE_ENDED, None)]),
        ],
    )  # fmt: skip
    def test_of_silence_before_a_lease_began_anew(
        self,
        online: Followed,
        lease_left: int,
        changes: list[tuple[int, OverallStatus, Cause, str | None]],
    ) -> None:
        """The lease of the same user had ended: before the silence, or after it."""
        ends = online.clock() + RULES.silent_after + 1 + lease_left
        lease = online.store.virtual[B1, U1]
        online.store.virtual[B1, U1] = replace(lease, expires_at=ends)
        _write_between(online, lambda b1: b1.declare(True))
        online.clean_up()
        assert online.changes()[1:] == [*changes, (60, VIRTUAL_ONLY, Cause.MEMBER, U1)]
        assert online.last.seconds[UNREACHABLE] == changes[-1][0] - 60
        assert online.recorded[1].reasons[1] == "real_connection_silent"

    def test_of_silence_in_a_pause_that_ended_since(self, online: Followed) -> None:
        online.pause(700)
        online.record()
        online.sockets.open.clear()
        online.clock.advance(900)
        online.record()
        assert online.changes()[2:] == [
            (239, OFFLINE, Cause.SILENCE, None), (200, VIRTUAL_ONLY, Cause.PAUSE_ENDED, None),
        ]  # fmt: skip

    def test_of_silence_while_closed_by_hours_that_began_since(self, online: Followed) -> None:
        # It is 09:00.
        online.settings.set_opening_hours(B1, U1, hours(("09:12", "20:00")))
        online.record()
        online.sockets.open.clear()
        online.clock.advance(900)
        online.record()
        assert online.changes()[2:] == [
            (239, OFFLINE, Cause.SILENCE, None), (180, VIRTUAL_ONLY, Cause.OPENING_HOURS, None),
        ]  # fmt: skip

    @pytest.mark.parametrize("look", ["recorder", "cleanup"])
    def test_of_a_loss_is_not_the_silence_of_another_device_before_the_last_look(
        self, online: Followed, look: str
    ) -> None:
        """The recorder looks before the record of the removal comes."""
        online.connect("c2")
        online.sockets.open.discard("c1")
        online.sockets.unknown.add("c1")  # so that the cleanup cannot remove it
        online.pass_time(860)
        online.record() if look == "recorder" else online.clean_up()
        assert len(online.recorded) == 1
        online.clock.advance(30)
        online.disconnect("c2")
        online.record()
        assert online.changes()[1:] == [(0, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None)]

    def test_of_a_loss_is_that_of_the_removal_if_its_record_is_new(self, online: Followed) -> None:
        online.disconnect()
        removed = RemovedConnection(ConnectionId("c1"), online.clock())
        online.clock.advance(8)
        online.recorder.record(B1, removed)
        assert online.changes()[1:] == [(8, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None)]

    def test_of_a_loss_is_not_that_of_a_removal_long_before_the_look(
        self, online: Followed
    ) -> None:
        """The record of the removal of the other device comes with the next batch."""
        online.connect("c2")
        online.disconnect("c1")
        removed = RemovedConnection(ConnectionId("c1"), online.clock())
        online.pass_time(60)
        online.disconnect("c2")
        online.recorder.record(B1, removed)
        assert online.changes()[1:] == [(0, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None)]

    def test_of_a_first_transition_is_when_its_device_fell_silent(self, b1: Followed) -> None:
        b1.connect()
        b1.declare(True)
        b1.clock.advance(800)
        b1.record()
        assert b1.changes() == [(139, VIRTUAL_ONLY, Cause.MEMBER, U1)]

    def test_of_a_first_transition_is_not_before_a_device_was_removed(self, b1: Followed) -> None:
        b1.connect()
        b1.declare(True)
        b1.clock.advance(20)
        b1.disconnect()
        b1.record("c1")
        assert b1.changes() == [(0, VIRTUAL_ONLY, Cause.MEMBER, U1)]

    def test_of_what_came_and_went_between_two_looks_is_none(self, online: Followed) -> None:
        online.sockets.open.clear()
        online.clock.advance(800)
        online.connect("c2")
        online.record()
        assert len(online.recorded) == 1
        online.clock.advance(60)
        online.disconnect("c2")
        online.record("c2")
        assert online.changes()[1:] == [(0, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None)]


class TestAttention:
    @pytest.fixture
    def told(self, online: Followed) -> Followed:
        """A business whose device is gone, and that was reported."""
        online.disconnect()
        online.record("c1")
        online.clean_up()
        online.record()
        assert len(online.recorded) == 2, "within the grace there is nothing to tell"
        online.clock.advance(RULES.attention_grace)
        online.clean_up()
        online.record()
        return online

    def test_is_told_after_the_grace_with_the_cause_of_the_need(self, told: Followed) -> None:
        assert told.last_change() == (
            VIRTUAL_ONLY, VIRTUAL_ONLY, Cause.DEVICE_DISCONNECTED, None, 0,
        )  # fmt: skip
        assert told.last.attention is Attention.VIRTUAL_ONLY

    def test_that_a_device_ends_is_over_at_once(self, told: Followed) -> None:
        told.connect("c2")
        told.record()
        assert told.last_change() == (VIRTUAL_ONLY, ONLINE, Cause.DEVICE_CONNECTED, None, 0)
        assert told.last.attention is None
        told.clean_up()
        told.record()
        assert len(told.recorded) == 4

    def test_that_gets_worse_is_told_at_once(self, told: Followed) -> None:
        told.clock.advance(RULES.virtual_lease)
        told.record()
        assert told.last_change()[:3] == (VIRTUAL_ONLY, UNREACHABLE, Cause.LEASE_ENDED)
        assert told.last.attention is Attention.UNREACHABLE

    def test_is_over_if_no_socket_is_expected_any_more(self, told: Followed) -> None:
        told.settings.expect_socket(B1, OPERATOR, False, acting_as=ActingAs.OPERATOR)
        told.record()
        assert told.last_change() == (VIRTUAL_ONLY, VIRTUAL_ONLY, Cause.OPERATOR, OPERATOR, 0)
        assert told.last.attention is None

    def test_of_an_episode_that_the_hours_ended_is_not_told_again_before_the_grace(
        self, online: Followed
    ) -> None:
        # It is 09:00. It closes at 09:20 for a minute, which no cleanup and no recorder sees.
        online.settings.set_opening_hours(B1, U1, hours(("08:00", "09:20"), ("09:21", "20:00")))
        online.disconnect()
        online.record("c1")
        for _ in range(2):
            online.clean_up()
            online.clock.advance(RULES.attention_grace)
        online.record()
        assert online.last.attention is Attention.VIRTUAL_ONLY
        online.clock.now = NOW + 3600 + 21 * 60 + 30
        online.record()
        assert online.last.attention is None
        assert online.last_change() == (VIRTUAL_ONLY, VIRTUAL_ONLY, Cause.OPENING_HOURS, None, 30)
        online.clean_up()
        online.clock.advance(RULES.attention_grace)
        online.clean_up()
        online.record()
        assert online.last.attention is Attention.VIRTUAL_ONLY

    def test_that_the_hours_end_has_their_cause_also_after_a_lease_was_renewed(
        self, online: Followed
    ) -> None:
        # It is 09:00. It closes at 09:20 for a minute, which no cleanup and no recorder sees.
        online.settings.set_opening_hours(B1, U1, hours(("08:00", "09:20"), ("09:21", "20:00")))
        online.disconnect()
        for _ in range(2):
            online.clean_up()
            online.clock.advance(RULES.attention_grace)
        online.record()
        assert online.last.attention is Attention.VIRTUAL_ONLY
        online.declare(True)
        online.clock.now = NOW + 3600 + 21 * 60 + 30
        online.record()
        assert online.last_change() == (VIRTUAL_ONLY, VIRTUAL_ONLY, Cause.OPENING_HOURS, None, 30)


def test_settings_that_somebody_deleted_by_hand_have_no_cause(online: Followed) -> None:
    del online.store.settings[B1]
    online.record()
    assert online.last_change() == (ONLINE, UNKNOWN, Cause.UNKNOWN, None, 0)
    assert online.last.online is None


@pytest.mark.parametrize("behind", [20, 200])
def test_a_transition_is_never_before_the_last_one(online: Followed, behind: int) -> None:
    """Two machines' clocks differ, even by more than they should: the one that recorded last was
    ahead.
    """
    at = online.last.at
    online.clock.now = at - behind
    online.disconnect()
    online.record("c1")
    assert (online.last.at, online.last.seconds) == (at, {ONLINE: 0})


def test_what_a_clock_that_is_ahead_recorded_is_not_undone_by_one_that_is_behind(
    online: Followed,
) -> None:
    online.pause(600)
    online.record()
    online.pass_time(630)
    online.record()
    assert online.last_change() == (CONNECTED, ONLINE, Cause.PAUSE_ENDED, None, 30)
    online.clock.advance(-50)
    online.record()
    online.clock.advance(50)
    online.record()
    assert len(online.recorded) == 3


def test_a_last_transition_that_is_far_ahead_does_not_change_how_a_business_is_judged(
    online: Followed,
) -> None:
    last = online.store.last_transitions[B1]
    online.store.last_transitions[B1] = replace(last, at=online.clock() + 86_400)
    online.record()
    assert len(online.recorded) == 1


def test_restored_settings_change_the_business_now_and_not_when_they_were_written(
    online: Followed,
) -> None:
    old = settings(available=False, version=online.clock(), updated_at=NOW - 86_400)
    online.store.settings[B1] = old
    online.record()
    assert online.last_change() == (ONLINE, CONNECTED, Cause.MEMBER, U1, 0)


def test_reasons_and_online_are_those_of_the_new_status(online: Followed) -> None:
    online.disconnect()
    online.record("c1")
    assert online.last.reasons == (
        "accepting_orders", "no_real_connection", "virtual_connection_active",
    )  # fmt: skip
    assert online.last.online is True
