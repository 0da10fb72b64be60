"""Measures the cleanup: the time to read the table, and whether memory grows with the table.

    python -m benchmarks.cleanup [--businesses 1000000]

Everything is measured in one process and printed as a ratio, because machines differ, with the
quartiles of its rounds. Times are CPU time of all threads. The baselines:

* the whole run: a bare Scan, which is boto3's `scan` over the same pages, item by item, doing
  nothing with them. boto3 makes its requests and parses real answers; only the network is missing;
* reading items: the same model, made from what boto3's `TypeDeserializer` makes of each item, as
  code on top of the resource API would do;
* memory: the same run over a table a tenth of the size.

Exits with 1 if a whole run takes more than `LIMIT` times as long as a bare Scan.
"""

import argparse
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import Any, Final

import boto3
from boto3.dynamodb.types import TypeDeserializer

from benchmarks.measuring import answer_requests, cpu_seconds, ratio, take_turns
from lambdas.adapters.history import HistoryTable
from lambdas.adapters.items import read_business
from lambdas.adapters.table import Table
from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId
from lambdas.domain.model import (
    Cause,
    LastTransition,
    OverallStatus,
    RealConnection,
    Settings,
    VirtualConnection,
)
from lambdas.domain.opening_hours import WEEKDAYS, OpeningHours, parse_text
from lambdas.use_cases.cleanup import PARTS_PER_WORKER
from lambdas.use_cases.recorder import Recorder
from tests.builders import NOW, RULES, FakeClock, in_time, make_cleanup, no_wait

LIMIT: Final = 1.5
PAGE: Final = 1_000
"""Businesses in a page: about 1 MB, as much as DynamoDB returns at once."""


def hours_text(number: int) -> str:
    """One of 300 distinct opening hours, about 300 bytes. Every second one is closed now."""
    opens = "06:00" if number % 2 else "12:00"
    day = [[opens, f"14:{number // 2 % 60:02}"], ["17:00", f"22:{number // 120:02}"]]
    document = {"timeZone": "Etc/UTC", "weekly": dict.fromkeys(WEEKDAYS[1:], day)}
    return OpeningHours.read({**document, "exceptions": {"2027-12-24": []}}).text()


HOURS: Final = tuple(map(hours_text, range(300)))


def items_of(business: int, *, hours: bool) -> Iterator[dict[str, Any]]:
    """A business with settings, a device, a lease and its last transition, in DynamoDB's JSON."""
    pk = {"S": f"BUSINESS#b{business}"}
    yield {
        "pk": pk,
        "sk": {"S": "BUSINESS"},
        "acceptingOrders": {"BOOL": True},
        "expectsSocket": {"BOOL": True},
        "version": {"N": "3"},
        "updatedAt": {"N": str(NOW - 3600)},
        "updatedBy": {"S": "u1"},
        "declaredBy": {"S": "u1"},
        **({"openingHours": {"S": HOURS[business % len(HOURS)]}} if hours else {}),
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
    yield {
        "pk": pk,
        "sk": {"S": "TRANSITION"},
        "sequence": {"N": "12"},
        "at": {"N": str(NOW - 1800)},
        "to": {"S": "CONNECTED_NOT_ACCEPTING" if hours and business % 2 == 0 else "ONLINE"},
        "cause": {"S": "device_connected"},
        "seconds": {"M": {"ONLINE": {"N": "40000"}, "CONNECTED_NOT_ACCEPTING": {"N": "50000"}}},
        "settingsVersion": {"N": "3"},
    }


def model(plain: dict[str, Any]) -> object:
    """The object of the domain for an item that was already deserialized."""
    business_id = BusinessId(plain["pk"].removeprefix("BUSINESS#"))
    if plain["sk"] == "BUSINESS":
        return Settings(
            available=plain["acceptingOrders"],
            version=int(plain["version"]),
            updated_at=int(plain["updatedAt"]),
            updated_by=UserId(plain["updatedBy"]),
            declared_by=UserId(plain["declaredBy"]),
            opening_hours=parse_text(plain["openingHours"]),
            expects_socket=plain["expectsSocket"],
        )
    if plain["sk"] == "TRANSITION":
        return LastTransition(
            sequence=int(plain["sequence"]),
            at=int(plain["at"]),
            after=OverallStatus(plain["to"]),
            attention=None,
            cause=Cause(plain["cause"]),
            by=None,
            seconds={OverallStatus(name): int(s) for name, s in plain["seconds"].items()},
            settings_version=int(plain["settingsVersion"]),
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


class Answers:
    """Answers boto3's requests with the bodies that DynamoDB would send.

    Every page of a Scan has the same items, made beforehand: making them must not be measured.
    """

    def __init__(self, businesses: int, *, hours: bool) -> None:
        assert businesses % (PAGE * PARTS_PER_WORKER) == 0  # noqa: S101 - all parts have full pages
        self.businesses = businesses
        self.items = [item for n in range(PAGE) for item in items_of(n, hours=hours)]
        self._page = json.dumps(
            {"Items": self.items, "ConsumedCapacity": {"TableName": "t", "CapacityUnits": 128.0}}
        ).encode()
        self.client = boto3.Session("benchmark", "benchmark").client("dynamodb", "us-east-1")
        answer_requests(self.client.meta.events, "dynamodb", self._answer)

    def _answer(self, request: Any) -> bytes:
        body = b"{}"  # no census yet, and the census of this run
        if request.headers["X-Amz-Target"].endswith(b".Scan"):
            asked = json.loads(request.body)
            page = int(asked.get("ExclusiveStartKey", {"page": {"N": 0}})["page"]["N"]) + 1
            body = self._page
            if page * PAGE * asked["TotalSegments"] < self.businesses:
                body = b'{"LastEvaluatedKey": {"page": {"N": "%d"}}, %s' % (page, body[1:])
        elif request.headers["X-Amz-Target"].endswith(b".Query"):
            body = b'{"Items": []}'
        return body


def bare_scan(answers: Answers) -> None:
    """Scan the table and do nothing with its items."""
    scan = answers.client.get_paginator("scan").paginate
    for segment in range(PARTS_PER_WORKER):
        for page in scan(TableName="t", Segment=segment, TotalSegments=PARTS_PER_WORKER):
            for _ in page["Items"]:
                pass


def run_cleanup(answers: Answers) -> None:
    """One complete run over a healthy table."""
    store = Table(answers.client, "t")
    history = HistoryTable(
        answers.client, table="t", history="h", keep_seconds=1, clock=FakeClock()
    )
    recorder = Recorder(store, history, RULES, FakeClock(), no_wait)
    cleanup = make_cleanup(store, recorder=recorder)
    run = cleanup.cleanup_all_connections(out_of_time=in_time)
    assert run.complete  # noqa: S101 - half a run would measure nothing
    assert run.report.active_real == answers.businesses  # noqa: S101
    assert run.report.recorded == 0  # noqa: S101


def peak_bytes(call: Callable[[], object]) -> int:
    """The most memory that was allocated at once during a call."""
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--businesses", type=int, default=12_000, help="a multiple of 4,000")
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    items = 4 * wanted.businesses
    ratios = []
    print(f"the whole run, {wanted.businesses:,} businesses, per item")
    for name, hours in (("without hours", False), ("with hours on all", True)):
        answers = Answers(wanted.businesses, hours=hours)
        measured = take_turns(
            {
                "bare": cpu_seconds(partial(bare_scan, answers)),
                "whole": cpu_seconds(partial(run_cleanup, answers)),
            },
            rounds=wanted.rounds,
        )
        ratios.append(ratio(measured["whole"], measured["bare"]))
        whole = min(measured["whole"]) / items * 1e6
        print(f"  {name:28} {whole:6.2f} µs   {ratios[-1]} × a bare Scan")

    page = Answers(PAGE * PARTS_PER_WORKER, hours=True).items
    deserializer = TypeDeserializer()

    def read_ours() -> None:
        for key, found in groupby(page, key=lambda item: item["pk"]["S"]):
            read_business(BusinessId(key), found)

    def read_theirs() -> None:
        for item in page:
            model({name: deserializer.deserialize(value) for name, value in item.items()})

    measured = take_turns(
        {"ours": cpu_seconds(read_ours, times=5), "theirs": cpu_seconds(read_theirs, times=5)},
        rounds=wanted.rounds,
    )
    print(f"read an item into the model    {min(measured['ours']) / len(page) * 1e6:6.2f} µs")
    theirs = min(measured["theirs"]) / len(page) * 1e6
    print(
        f"  by TypeDeserializer          {theirs:6.2f} µs   "
        f"{ratio(measured['theirs'], measured['ours'])} × ours"
    )

    small, large = (
        peak_bytes(partial(run_cleanup, Answers(businesses, hours=True)))
        for businesses in (8_000, 80_000)
    )
    print(f"peak memory, 8,000 businesses  {small / 1e6:6.2f} MB")
    print(f"  80,000 businesses            {large / 1e6:6.2f} MB   {large / small:.2f} × that")
    return int(max(each.median for each in ratios) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
