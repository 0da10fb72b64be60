"""Builds what tests need. Builders have sensible defaults; a test names only what matters to it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId
from lambdas.domain.model import (
    Business,
    Cause,
    Clock,
    Instant,
    OutOfTime,
    OverallStatus,
    RealConnection,
    Settings,
    VirtualConnection,
)
from lambdas.domain.opening_hours import WEEKDAYS, OpeningHours
from lambdas.domain.rules import Rules
from lambdas.domain.transitions import Transition
from lambdas.use_cases.attention import AttentionReport
from lambdas.use_cases.availability import Availability, AvailabilityOutcome
from lambdas.use_cases.cleanup import Cleanup
from lambdas.use_cases.cleanup_run import CleanupRun
from lambdas.use_cases.ports import Sockets, Store
from lambdas.use_cases.recorder import BeforeChange, record_nothing
from lambdas.use_cases.settings import SettingsWriter
from tests.fakes import FakeSockets

NOW: Instant = 1_800_000_000
"""Friday, 15 January 2027, 08:00:00 UTC."""
RULES = Rules(
    ping_interval=300,
    ping_grace=60,
    virtual_lease=12 * 3600,
    attention_grace=300,
    max_real_connections=50,
)
B1 = BusinessId("b1")
U1 = UserId("u1")


def settings(**changes: Any) -> Settings:
    """Settings of a business that accepts orders."""
    return Settings(
        **{
            "available": True,
            "version": 1,
            "updated_at": NOW - 3600,
            "updated_by": U1,
            "declared_by": U1,
            **changes,
        }
    )


def hours(
    *daily: tuple[str, str],
    zone: str = "UTC",
    exceptions: Mapping[str, Sequence[Sequence[str]]] | None = None,
) -> OpeningHours:
    """The same opening hours on every day, for example ``hours(("08:00", "22:00"))``."""
    intervals = [[opens, closes] for opens, closes in daily]
    return OpeningHours.read(
        {
            "timeZone": zone,
            "weekly": dict.fromkeys(WEEKDAYS, intervals),
            "exceptions": {day: list(times) for day, times in (exceptions or {}).items()},
        }
    )


OPEN: Final = hours(("00:00", "24:00"))
"""Opening hours that include every moment."""

CLOSED: Final = hours()
"""Opening hours that include no moment."""


def at(moment: str) -> Instant:
    """An instant, from UTC in ISO 8601: ``at("2027-01-15 22:00")``."""
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())


def real(
    connection_id: str = "c1",
    *,
    business_id: BusinessId = B1,
    user_id: UserId = U1,
    seen: int = 0,
    age: int = 1800,
    now: Instant = NOW,
    **changes: Any,
) -> RealConnection:
    """A real connection, `age` seconds old, heard from `seen` seconds ago."""
    connected_at = now - max(age, seen)
    return RealConnection(
        **{
            "business_id": business_id,
            "connection_id": ConnectionId(connection_id),
            "user_id": user_id,
            "connected_at": connected_at,
            "last_seen_at": now - seen,
            "expires_at": connected_at + 7800,
            **changes,
        }
    )


def virtual(
    user_id: str = "u1", *, business_id: BusinessId = B1, left: int = 3600, now: Instant = NOW
) -> VirtualConnection:
    """A virtual connection whose lease has `left` seconds left."""
    renewed_at = now + left - RULES.virtual_lease
    return VirtualConnection(
        business_id=business_id,
        user_id=UserId(user_id),
        created_at=renewed_at,
        renewed_at=renewed_at,
        expires_at=now + left,
    )


def business(
    *connections: RealConnection | VirtualConnection,
    declared: Settings | None = None,
    business_id: BusinessId = B1,
) -> Business:
    """A business as one read returns it, with these settings (`declared`)."""
    return Business(
        business_id,
        declared,
        tuple(c for c in connections if isinstance(c, RealConnection)),
        tuple(c for c in connections if isinstance(c, VirtualConnection)),
    )


def devices(numbers: Iterable[int], *, seen: int) -> list[Business]:
    """Businesses with one device each (`c7` of `b00007`), heard from `seen` seconds ago."""
    return [
        business(real(f"c{n}", business_id=name, seen=seen), business_id=name)
        for n in numbers
        for name in [BusinessId(f"b{n:05}")]
    ]


def transition(**changes: Any) -> Transition:
    """The first transition of b1, without anything that a transition can lack."""
    return Transition(
        **{
            "business_id": B1,
            "sequence": 1,
            "at": NOW,
            "before": OverallStatus.UNKNOWN,
            "after": OverallStatus.ONLINE,
            "attention": None,
            "cause": Cause.UNKNOWN,
            "by": None,
            "reasons": (),
            "since": None,
            "seconds": {},
            **changes,
        }
    )


class FakeClock:
    """A clock that a test moves."""

    def __init__(self, now: Instant = NOW) -> None:
        self.now = now

    def __call__(self) -> Instant:
        return self.now

    def advance(self, seconds: int) -> None:
        self.now += seconds


def in_time() -> bool:
    """For a call that may take as long as it likes: it is never out of time."""
    return False


def no_wait(_attempt: int) -> None:
    """Try again at once."""


def make_cleanup(
    store: Store, sockets: Sockets | None = None, clock: Clock | None = None, **parts: Any
) -> Cleanup:
    """A cleanup that does not wait and whose reports go nowhere, unless a test says otherwise."""
    quiet = {
        "report_attention": lambda report: None,
        "pace_calls": lambda: None,
        "pace_marks": lambda: None,
    }
    return Cleanup(store, sockets or FakeSockets(), RULES, clock or FakeClock(), **quiet | parts)


def clean_up(
    store: Store,
    sockets: Sockets | None = None,
    clock: Clock | None = None,
    *,
    reports: list[AttentionReport] | None = None,
    out_of_time: OutOfTime = in_time,
    **options: Any,
) -> CleanupRun:
    """Clean up the whole store. Reports of attention are added to `reports`."""
    collect = [] if reports is None else reports
    cleanup = make_cleanup(store, sockets, clock, report_attention=collect.append)
    return cleanup.cleanup_all_connections(out_of_time=out_of_time, **options)


def declare(
    store: Store,
    available: bool,
    *,
    user_id: UserId = U1,
    sockets: Sockets | None = None,
    clock: Clock | None = None,
    out_of_time: OutOfTime = in_time,
    before_change: BeforeChange = record_nothing,
) -> AvailabilityOutcome:
    """Declare b1 available or unavailable."""
    calls = Availability(
        *(store, sockets or FakeSockets(), RULES, clock or FakeClock(), no_wait), before_change
    )
    return calls.set_business_availability(B1, user_id, available, out_of_time=out_of_time)


def settings_writer(
    store: Store, clock: Clock, before_change: BeforeChange = record_nothing
) -> SettingsWriter:
    """What changes settings, without a wait between its attempts."""
    return SettingsWriter(store, RULES, clock, no_wait, before_change)
