"""The cleanup removes dead connections, and never a live one."""

import time
import uuid

from tests.e2e.harness import Business, System, eventually


def write_dead_connection(business: Business) -> str:
    """Store a connection that is silent and has no socket. Return its id."""
    connection = uuid.uuid4().hex[:15] + "="
    long_ago = int(time.time()) - 120
    business.write_connection(connection, connected_at=long_ago, last_seen_at=long_ago)
    return connection


# The schedule and the demo also run cleanups, which may remove an item first. So these tests try
# again until their own run did it.


def test_a_connection_without_a_socket_is_removed_and_counted(
    system: System, business: Business
) -> None:
    def removed_by_this_run() -> bool:
        write_dead_connection(business)
        report = system.clean_up()
        assert business.items() == []
        return report["silent"] + report["gone"] >= 1

    eventually("our run removes a connection and counts it", removed_by_this_run)


def test_a_dry_run_counts_a_connection_without_a_socket_and_leaves_it(
    system: System, business: Business
) -> None:
    def counted_and_left() -> bool:
        connection = write_dead_connection(business)
        report = system.clean_up(dryRun=True)
        assert report["dryRun"] is True
        left = {item["connectionId"] for item in business.real()}
        return report["silent"] + report["gone"] >= 1 and connection in left

    eventually("a dry run counts a connection and leaves it", counted_and_left)


def test_an_open_socket_that_missed_a_ping_is_probed_and_kept(
    system: System, business: Business
) -> None:
    with business.socket() as device:
        now = int(time.time())
        # Connected for more than a minute, and silent for longer than a ping interval.
        business.write_connection(
            device.connection_id, connected_at=now - 120, last_seen_at=now - 15
        )
        report = system.clean_up()
        assert report["probed"] >= 1
        assert report["complete"] is True
        assert device.ask({"action": "ping"})["type"] == "pong"
        assert len(business.real()) == 1


def test_a_silent_socket_is_closed_and_removed(system: System, business: Business) -> None:
    with business.socket() as device:
        long_ago = int(time.time()) - 120
        business.write_connection(
            device.connection_id, connected_at=long_ago, last_seen_at=long_ago
        )
        system.clean_up()
        assert device.is_closed()
        eventually("its item is gone", lambda: not business.items())


def test_a_connection_younger_than_a_minute_is_kept(system: System, business: Business) -> None:
    now = int(time.time())
    # An older connection that was silent for so long, and has no socket, would be removed.
    business.write_connection("young=", connected_at=now - 5, last_seen_at=now - 120)
    assert system.clean_up()["tooYoung"] >= 1
    assert len(business.real()) == 1
