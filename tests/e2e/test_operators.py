"""The calls of operators: list attention, change settings, close a connection, clean up."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from local.rest import Answer
from tests.e2e.harness import Business, System, assert_problem, eventually


@pytest.fixture
def businesses(system: System) -> Iterator[list[Business]]:
    """Three businesses."""
    with ExitStack() as stack:
        three = [Business(system) for _ in range(3)]
        for business in three:
            stack.callback(business.delete_items)
        yield three


def list_attention(system: System, token: str, **query: Any) -> Answer:
    return system.call("GET", f"/businesses?{urlencode(query)}", token=token)


def in_attention(
    system: System, token: str, attention: str, *, limit: int = 100
) -> list[dict[str, Any]]:
    """All entries of the list, read page by page."""
    entries: list[dict[str, Any]] = []
    query: dict[str, Any] = {"attention": attention, "limit": limit}
    while True:
        page = list_attention(system, token, **query)
        assert page.status == 200, page
        assert len(page.body["businesses"]) <= limit
        entries += page.body["businesses"]
        if page.body["next"] is None:
            return entries
        query["cursor"] = page.body["next"]


class TestAttention:
    def test_a_business_is_listed_until_a_device_is_connected(
        self, system: System, operator: str, business: Business
    ) -> None:
        def entry() -> dict[str, Any] | None:
            listed = in_attention(system, operator, "virtual-only")
            return next((e for e in listed if e["businessId"] == business.id), None)

        before = int(time.time())
        business.set_available(True)
        system.clean_up()
        found = eventually("it is listed", entry)
        assert found["status"]["overallStatus"] == "VIRTUAL_ONLY"
        assert found["status"]["needsAttention"] == "virtual-only"
        assert found["since"] == found["status"]["attentionSince"]
        assert 0 <= found["seconds"] <= time.time() - before + 1
        with business.socket():
            # Each entry is checked again before it is listed, so no cleanup has to run.
            assert entry() is None
            business.set_available(False)

    def test_a_business_without_any_connection_is_listed_as_unreachable(
        self, system: System, operator: str, business: Business
    ) -> None:
        business.set_available(True)
        (virtual,) = business.virtual()
        business.delete_item(virtual["sk"])
        system.clean_up()

        def listed(attention: str) -> bool:
            found = in_attention(system, operator, attention)
            return business.id in {entry["businessId"] for entry in found}

        eventually("it is listed", lambda: listed("unreachable"))
        assert not listed("virtual-only")
        business.set_available(False)
        assert not listed("unreachable")

    def test_pages_list_each_business_once_and_the_longest_first(
        self, system: System, operator: str, businesses: list[Business]
    ) -> None:
        ids = {business.id for business in businesses}
        for business in businesses:
            business.set_available(True)
        system.clean_up()

        def listed_page_by_page() -> list[dict[str, Any]] | None:
            entries = in_attention(system, operator, "virtual-only", limit=1)
            return entries if ids <= {entry["businessId"] for entry in entries} else None

        entries = eventually("all are listed", listed_page_by_page)
        for business in businesses:
            business.set_available(False)
        listed = [entry["businessId"] for entry in entries]
        assert len(listed) == len(set(listed))
        assert [e["since"] for e in entries] == sorted(e["since"] for e in entries)
        assert not ids & {e["businessId"] for e in in_attention(system, operator, "virtual-only")}


class TestSettings:
    def change_settings(self, business: Business, token: str, body: Any) -> Answer:
        return business.call("PUT", "settings", token=token, body=body)

    def test_a_business_that_works_without_a_device_needs_no_attention(
        self, system: System, operator: str, business: Business
    ) -> None:
        assert business.set_available(True)["needsAttention"] == "virtual-only"
        answer = self.change_settings(business, operator, {"expectsSocket": False})
        assert (answer.status, answer.body["needsAttention"]) == (200, None)
        assert answer.body["overallStatus"] == "VIRTUAL_ONLY"
        assert "socket_not_expected" in {reason["code"] for reason in answer.body["reasons"]}
        system.clean_up()
        listed = in_attention(system, operator, "virtual-only")
        assert business.id not in {entry["businessId"] for entry in listed}

        # The setting stays when the business declares its availability again.
        assert business.set_available(True)["needsAttention"] is None
        answer = self.change_settings(business, operator, {"expectsSocket": True})
        assert answer.body["needsAttention"] == "virtual-only"
        business.set_available(False)


class TestClosingOneConnection:
    def close(self, business: Business, token: str, connection: str) -> Answer:
        return business.call("DELETE", f"connections/{quote(connection, safe='')}", token=token)

    def test_closing_a_connection_removes_it_and_leaves_the_others(
        self, operator: str, business: Business
    ) -> None:
        with business.socket() as one, business.socket() as other:
            answer = self.close(business, operator, one.connection_id)
            assert answer.status == 204, answer
            assert one.is_closed()
            assert [c["connectionId"] for c in business.real()] == [other.connection_id]
            assert other.ask({"action": "ping"})["type"] == "pong"
            answer = self.close(business, operator, one.connection_id)
            assert_problem(answer, 404, "not-found")

    def test_a_connection_of_another_business_is_not_found(
        self, operator: str, businesses: list[Business]
    ) -> None:
        mine, foreign, _ = businesses
        with foreign.socket() as device:
            assert_problem(self.close(mine, operator, device.connection_id), 404, "not-found")
            assert device.ask({"action": "ping"})["type"] == "pong"


class TestCleaningUpOneBusiness:
    # The scheduled cleanup also runs, and may remove an item first. So these tests try again until
    # their own run did it.

    def write_dead_connection(self, business: Business) -> str:
        """Store a connection that is silent and has no socket. Return its id."""
        connection = uuid.uuid4().hex[:15] + "="
        long_ago = int(time.time()) - 120
        business.write_connection(connection, connected_at=long_ago, last_seen_at=long_ago)
        return connection

    def test_a_dry_run_counts_and_removes_nothing(self, operator: str, business: Business) -> None:
        def counted_and_left() -> bool:
            connection = self.write_dead_connection(business)
            answer = business.call("POST", "cleanup", token=operator, body={"dryRun": True})
            assert (answer.status, answer.body["dryRun"]) == (200, True), answer
            assert answer.body["businesses"] == 1
            left = {item["connectionId"] for item in business.real()}
            return answer.body["silent"] >= 1 and connection in left

        eventually("a dry run counts a connection and leaves it", counted_and_left)

    def test_a_run_removes_dead_connections_and_no_live_one(
        self, operator: str, business: Business
    ) -> None:
        with business.socket() as device:

            def removed_by_this_run() -> bool:
                self.write_dead_connection(business)
                answer = business.call("POST", "cleanup", token=operator)
                assert (answer.status, answer.body["dryRun"]) == (200, False), answer
                assert [c["connectionId"] for c in business.real()] == [device.connection_id]
                return bool(answer.body["silent"] == 1 and answer.body["activeReal"] == 1)

            eventually("our run removes a connection and counts it", removed_by_this_run)
            assert device.ask({"action": "ping"})["type"] == "pong"


def test_an_operator_can_list_the_connections_of_any_business(
    operator: str, business: Business
) -> None:
    with business.socket() as device:
        business.set_available(True)
        answer = business.call("GET", "connections", token=operator)
        business.set_available(False)
    assert answer.status == 200, answer
    assert [c["connectionId"] for c in answer.body["real"]] == [device.connection_id]
    assert len(answer.body["virtual"]) == 1
