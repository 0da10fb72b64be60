"""The cleanup removes what is dead, and nothing that lives."""

import time
import uuid

from tests.e2e.harness import Business, System, eventually


def write_ghost(business: Business) -> str:
    """The item of a connection that was never heard from again, and has no socket."""
    connection = uuid.uuid4().hex[:15] + "="
    long_ago = int(time.time()) - 120
    business.write_connection(connection, connected_at=long_ago, last_seen_at=long_ago)
    return connection


# The schedule's runs, and the demo's, go on meanwhile, and may be quicker with one item or another.


def test_an_item_without_a_socket_is_removed_and_counted(
    system: System, business: Business
) -> None:
    def removed_by_this_run() -> bool:
        write_ghost(business)
        report = system.clean_up()
        assert business.items() == []
        return report["silent"] + report["gone"] >= 1

    eventually("a run by hand removes an item, and counts it", removed_by_this_run)


def test_an_item_without_a_socket_is_only_counted_by_a_dry_run(
    system: System, business: Business
) -> None:
    def counted_and_left() -> bool:
        ghost = write_ghost(business)
        report = system.clean_up(dryRun=True)
        assert report["dryRun"] is True
        left = {item["connectionId"] for item in business.real()}
        return report["silent"] + report["gone"] >= 1 and ghost in left

    eventually("a dry run counts an item, and leaves it", counted_and_left)


def test_a_live_socket_that_was_quiet_is_probed_and_left_alone(
    system: System, business: Business
) -> None:
    with business.socket() as device:
        now = int(time.time())
        # Older than the minute of grace, and not heard from for longer than a ping interval.
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


def test_a_connection_younger_than_a_minute_is_left_alone(
    system: System, business: Business
) -> None:
    now = int(time.time())
    # Any older one that was silent for so long, and has no socket, would go.
    business.write_connection("young=", connected_at=now - 5, last_seen_at=now - 120)
    assert system.clean_up()["tooYoung"] >= 1
    assert len(business.real()) == 1
