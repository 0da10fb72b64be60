"""Limits of an environment that contradict each other, and what the document says about floods.

The tests of limits hold for whatever a team sets in `infra/environments.py`. Whether the numbers
fit the account is checked against the account itself, by each deployment.
"""

from pathlib import Path

import pytest

from infra.configuration import DEFAULT_ROUTE_THROTTLES, Environment, Limits
from infra.environments import PROD, all_environments
from lambdas.bootstrap import MARKS_PER_SECOND, TRANSITIONS_PER_SECOND

DEPLOYING = Path(__file__).resolve().parents[2] / "docs" / "deploying.md"

CALLS_PER_SECOND = 10
"""Requests that one execution environment serves per second, at most."""


@pytest.fixture(params=all_environments(), ids=lambda each: each.name)
def environment(request: pytest.FixtureRequest) -> Environment:
    """Each environment of the team in turn."""
    found: Environment = request.param
    return found


def test_if_one_function_has_capacity_reserved_then_all_that_callers_reach_have(
    environment: Environment,
) -> None:
    """A flood of one function must not use up the capacity of another."""
    reserved = vars(environment.limits.concurrency) if environment.limits.concurrency else {}
    missing = [name for name, capacity in reserved.items() if capacity is None]
    assert missing == [] or len(missing) == len(reserved), (
        f"limits.concurrency of {environment.name!r} reserves capacity for some functions only:"
        f" set {missing} too, or none"
    )


def test_throttles_refuse_a_flood_before_a_function_runs_out_of_capacity(
    environment: Environment,
) -> None:
    """API Gateway then answers 429, and no alarm about throttled functions fires."""
    limits = environment.limits
    let_through = {
        "ping": limits.websocket.rate,
        "status": _rate(limits, "status"),
        "default_route": _rate(limits, "$default"),
        "connect": _rate(limits, "$connect"),
        "rest": limits.rest.rate,
        "authorizer": limits.rest.rate + _rate(limits, "$connect"),
    }
    for name, rate in let_through.items():
        capacity = getattr(limits.concurrency, name, None)
        assert capacity is None or capacity * CALLS_PER_SECOND >= rate, (
            f"limits of {environment.name!r}: concurrency.{name} must be at least"
            f" {rate / CALLS_PER_SECOND:.0f} because the throttles let {rate} requests per second"
            f" through, is {capacity}"
        )


def test_a_rush_of_reconnecting_devices_opens_a_ticket_before_it_is_throttled() -> None:
    assert PROD.alarms.new_connections_per_second < _rate(PROD.limits, "$connect")


def test_by_default_new_sockets_are_throttled_below_the_default_quota_of_an_account() -> None:
    assert DEFAULT_ROUTE_THROTTLES["$connect"].rate < 500


def test_the_table_serves_all_that_the_throttles_let_through(environment: Environment) -> None:
    """Units of docs/costs.md: each REST call is the most expensive one, a batch is 100 reads."""
    limits = environment.limits
    if limits.table is None:
        pytest.skip("the table has no limit of its own")
    status, connect, batch = (
        _rate(limits, route) for route in ("status", "$connect", "POST /businesses/online")
    )
    messages = limits.websocket.rate + status + _rate(limits, "$default")
    by_cleanup = 2 * (MARKS_PER_SECOND + TRANSITIONS_PER_SECOND) * environment.cleanup.workers
    # Each device that connects or disconnects, and each REST call, may be a transition.
    recorded = 2 * connect + limits.rest.rate if environment.feed else 0
    writes = messages + (1 + 2 + 2) * connect + 6 * limits.rest.rate + by_cleanup + 2 * recorded
    reads = status + 0.5 * connect + limits.rest.rate + 50 * batch + 2 * recorded
    assert limits.table.write >= writes
    assert limits.table.read >= 2 * reads, "the other half is for the cleanup"


def test_flood_costs_in_the_document_follow_from_its_rates_and_prices() -> None:
    """The rates that it assumes are in the table; the dollars of an hour and a day follow."""
    rows = _rows(DEPLOYING.read_text(), "## What a flood can cost", columns=6)
    assert rows
    for _, what, rate, dollars, hour, day in rows:
        per_second = float(rate.replace(",", "")) * sum(map(float, dollars.split(" + "))) / 1e6
        assert hour == f"{per_second * 3_600:,.2f}", what
        assert day == f"{per_second * 86_400:,.2f}", what


def _rate(limits: Limits, route: str) -> int:
    """How many requests per second a route lets through: by default as many as its API."""
    api = limits.rest if " " in route else limits.websocket
    return limits.all_routes.get(route, api).rate


def _rows(document: str, heading: str, *, columns: int) -> list[list[str]]:
    """The rows, without headings, of the section's table with this many columns."""
    _, _, section = document.partition(heading)
    section, _, _ = section.partition("\n## ")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return [row for row in rows if len(row) == columns][2:]
