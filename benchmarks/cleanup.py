"""Measures the cleanup: the time to read the table, and whether memory grows with the table.

    python -m benchmarks.cleanup

Everything is measured in one process and printed as a ratio, because machines differ. The
baselines:

* reading items: the same model, made from what boto3's `TypeDeserializer` makes of each item, as
  code on top of the resource API would do;
* memory: the same run over a table a tenth of the size.
"""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from lambdas.adapters.table import Table
from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId
from lambdas.domain.model import RealConnection, Settings, VirtualConnection
from tests.builders import NOW, clean_up

PAGE = 4_000
"""Items in a page: about 1 MB of them."""


def items_of(business: int) -> Iterator[dict[str, Any]]:
    """A business with settings, a device and a lease, in DynamoDB's JSON."""
    pk = {"S": f"BUSINESS#b{business}"}
    yield {
        "pk": pk,
        "sk": {"S": "BUSINESS"},
        "acceptingOrders": {"BOOL": True},
        "expectsSocket": {"BOOL": True},
        "version": {"N": "3"},
        "updatedAt": {"N": str(NOW - 3600)},
        "updatedBy": {"S": "u1"},
    }
    yield {
        "pk": pk,
        "sk": {"S": f"CONNECTION#c{business}"},
        "connectionId": {"S": f"c{business}"},
        "userId": {"S": "u1"},
        "isVirtualConnection": {"BOOL": False},
        "connectedAt": {"N": str(NOW - 1800)},
        "lastSeenAt": {"N": str(NOW - 100)},
        "ttl": {"N": str(NOW + 6000)},
    }
    yield {
        "pk": pk,
        "sk": {"S": f"CONNECTION#VIRTUAL#b{business}#u1"},
        "userId": {"S": "u1"},
        "isVirtualConnection": {"BOOL": True},
        "createdAt": {"N": str(NOW - 1800)},
        "renewedAt": {"N": str(NOW - 1800)},
        "ttl": {"N": str(NOW + 41_400)},
    }


def model(plain: dict[str, Any]) -> Settings | RealConnection | VirtualConnection:
    """The object of the domain for an item that was already deserialized."""
    business_id = BusinessId(plain["pk"].removeprefix("BUSINESS#"))
    if plain["sk"] == "BUSINESS":
        return Settings(
            available=plain["acceptingOrders"],
            version=int(plain["version"]),
            updated_at=int(plain["updatedAt"]),
            updated_by=UserId(plain["updatedBy"]),
            expects_socket=plain["expectsSocket"],
        )
    if plain["isVirtualConnection"]:
        return VirtualConnection(
            business_id=business_id,
            user_id=UserId(plain["userId"]),
            created_at=int(plain["createdAt"]),
            renewed_at=int(plain["renewedAt"]),
            expires_at=int(plain["ttl"]),
        )
    return RealConnection(
        business_id=business_id,
        connection_id=ConnectionId(plain["connectionId"]),
        user_id=UserId(plain["userId"]),
        connected_at=int(plain["connectedAt"]),
        last_seen_at=int(plain["lastSeenAt"]),
        expires_at=int(plain["ttl"]),
    )


class PagesOnly:
    """A client whose Scan makes each page when it is asked for it, as if it came over a network."""

    def __init__(self, businesses: int) -> None:
        self._businesses = businesses

    def scan(self, **request: Any) -> dict[str, Any]:
        segment, segments = request["Segment"], request["TotalSegments"]
        start = request.get("ExclusiveStartKey", segment)
        page: list[dict[str, Any]] = []
        business = start
        while business < self._businesses and len(page) < PAGE:
            page += items_of(business)
            business += segments
        answer: dict[str, Any] = {"Items": page, "ConsumedCapacity": {"CapacityUnits": 128.0}}
        if business < self._businesses:
            answer["LastEvaluatedKey"] = business
        return answer

    def query(self, **_: Any) -> dict[str, Any]:
        return {"Items": []}  # no census yet

    def put_item(self, **_: Any) -> dict[str, Any]:
        return {}  # the census of this run


def run_cleanup(businesses: int) -> None:
    """One complete run over a healthy table."""
    client: Any = PagesOnly(businesses)
    run = clean_up(Table(client, "table"))
    assert run.complete  # noqa: S101 - half a run would measure nothing
    assert run.report.active_real == businesses  # noqa: S101


def seconds(call: Callable[[], object]) -> float:
    """The best of three, in seconds."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def peak_bytes(call: Callable[[], object]) -> int:
    """The most memory that was allocated at once during a call."""
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def main() -> None:
    businesses = 20_000
    client: Any = PagesOnly(businesses)
    table = Table(client, "table")
    page = client.scan(Segment=0, TotalSegments=1)["Items"]
    deserializer = TypeDeserializer()

    def read_ours() -> None:
        for _ in table.walk(0, 1):
            pass

    def make_pages() -> None:
        for business in range(businesses):
            for _ in items_of(business):
                pass

    def read_theirs() -> None:
        for item in page:
            model({name: deserializer.deserialize(value) for name, value in item.items()})

    making = seconds(make_pages)
    items = 3 * businesses
    ours = (seconds(read_ours) - making) / items
    theirs = seconds(read_theirs) / len(page)
    whole = (seconds(lambda: run_cleanup(businesses)) - making) / items
    print(f"read an item into the model    {ours * 1e6:6.2f} µs")
    print(f"  by TypeDeserializer            {theirs * 1e6:6.2f} µs   {theirs / ours:.1f} × ours")
    print(f"the whole run, per item        {whole * 1e6:6.2f} µs   {whole / ours:.1f} × reading")

    small, large = (peak_bytes(lambda n=n: run_cleanup(n)) for n in (10_000, 100_000))  # type: ignore[misc] # bound
    print(f"peak memory, 10,000 businesses {small / 1e6:6.2f} MB")
    print(f"  100,000 businesses           {large / 1e6:6.2f} MB   {large / small:.2f} × that")


if __name__ == "__main__":
    main()
