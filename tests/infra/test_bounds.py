"""Prod as shipped: how much traffic gets through, how much capacity it reserves."""

from pathlib import Path

from infra.configuration import Concurrency
from infra.environments import PROD
from tests.infra.synthesis import Templates

DEPLOYING = Path(__file__).resolve().parents[2] / "docs" / "deploying.md"

ACCOUNT = 1_000
"""Concurrent executions of an ordinary account in a region."""
UNRESERVED = 100
"""Concurrent executions that must not be reserved."""
CALLS_PER_SECOND = 10
"""Requests that one execution environment serves per second."""

LIMITS = PROD.limits
THROTTLES = {route: throttle.rate for route, throttle in LIMITS.all_routes.items()}

CAPACITY = {
    name: bound for name, bound in vars(LIMITS.concurrency or Concurrency()).items() if bound
}
MESSAGES = LIMITS.websocket.rate + THROTTLES["status"] + THROTTLES["$default"]


def test_prod_and_staging_fit_an_ordinary_account_together(templates: Templates) -> None:
    reserved = sum(
        function.get("ReservedConcurrentExecutions", 0)
        for name in ("prod", "staging")
        for function in templates[name]["Service"].properties("AWS::Lambda::Function").values()
    )
    assert reserved == 824
    assert ACCOUNT - reserved >= UNRESERVED


def test_every_function_that_a_caller_can_reach_has_capacity_of_its_own() -> None:
    """A flood of one function must not use up the capacity of another."""
    assert CAPACITY.keys() == vars(Concurrency()).keys()


def test_throttles_refuse_a_flood_before_a_function_runs_out_of_capacity() -> None:
    """API Gateway answers 429, and no alarm on throttled functions fires."""
    let_through = {
        "ping": LIMITS.websocket.rate,
        "status": THROTTLES["status"],
        "default_route": THROTTLES["$default"],
        "connect": THROTTLES["$connect"],
        "rest": LIMITS.rest.rate,
        "authorizer": LIMITS.rest.rate + THROTTLES["$connect"],
    }
    for function, rate in let_through.items():
        assert CAPACITY[function] * CALLS_PER_SECOND >= rate, function


def test_devices_that_all_come_back_meet_the_throttle_below_the_accounts_quota() -> None:
    assert PROD.alarms.new_connections_per_second < THROTTLES["$connect"] < 500


def test_the_table_serves_all_that_the_throttles_let_through_at_once() -> None:
    """Units of docs/costs.md: each REST call is the most expensive one, a batch is 100 reads."""
    assert LIMITS.table is not None
    connect, rest = THROTTLES["$connect"], LIMITS.rest.rate
    marks = 2 * 300 * PROD.cleanup.workers
    writes = MESSAGES + (1 + 2 + 2) * connect + 6 * rest + marks
    reads = THROTTLES["status"] + 0.5 * connect + rest + 50 * THROTTLES["POST /businesses/online"]
    assert LIMITS.table.write >= writes
    assert LIMITS.table.read >= 2 * reads, "the other half is for the cleanup"
    assert max(vars(LIMITS.table).values()) < 40_000, "DynamoDB's quota of a table"


def test_the_document_says_what_a_flood_of_prod_costs() -> None:
    """The rates are those of prod, and the dollars of an hour and a day follow from them."""
    rows = {
        what: (float(rate.replace(",", "")), sum(map(float, dollars.split(" + "))), hour, day)
        for _, what, rate, dollars, hour, day in _table("## What a flood can cost", columns=6)
    }
    assert {what: rate for what, (rate, *_) in rows.items()} == {
        "`GET /health`": THROTTLES["GET /health"],
        "REST without a token": 10_000,
        # Two methods answer them, and each is throttled by itself.
        "REST, paths that do not exist": 2 * LIMITS.rest.rate,
        "REST, each time with another wrong token": CAPACITY["authorizer"] * CALLS_PER_SECOND,
        "handshakes with tickets that do not exist": THROTTLES["$connect"],
        "messages over sockets": MESSAGES,
        "`POST /businesses/online`": THROTTLES["POST /businesses/online"],
        "`PUT …/availability` false, the most expensive call": LIMITS.rest.rate,
        "the same call as above": CAPACITY["rest"] * CALLS_PER_SECOND,
    }
    for what, (rate, dollars, hour, day) in rows.items():
        assert hour == f"{rate * dollars * 3_600 / 1e6:,.2f}", what
        assert day == f"{rate * dollars * 86_400 / 1e6:,.2f}", what


def _table(heading: str, *, columns: int) -> list[list[str]]:
    """Return the rows of the section's table with this many columns, without its headings."""
    _, _, section = DEPLOYING.read_text().partition(heading)
    section, _, _ = section.partition("\n## ")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    found = [row for row in rows if len(row) == columns]
    return found[2:]
