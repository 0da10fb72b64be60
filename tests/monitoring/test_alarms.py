"""When each alarm of prod goes off, and when it does not: one table for each thing to be sure of.

The tables are read as `tests/monitoring/tables.py` explains, and judged by the rules of CloudWatch
in `local/alarms.py`. The numbers are those of prod: change them with its thresholds.
"""

from typing import Final

import pytest

from tests.infra.template import Template
from tests.monitoring.alarm_tables import Table, play
from tests.monitoring.cloudwatch.metric_alarms import Alarm
from tests.monitoring.template_reader import alarms_in, composites_in

FUNCTIONS: Final = (
    "Authorizer",
    "Connect",
    "Disconnect",
    "Ping",
    "Status",
    "DefaultRoute",
    "Rest",
    "Cleanup",
)


def _census(gauge: str) -> list[Table]:
    """Two of three counts at the threshold of one; without a census, nothing is known."""
    return [
        Table(
            "one count is none",
            f"""
            {gauge} 0 1 0 0 0
            state   . . . . .
            """,
        ),
        Table(
            "it lasts, and is over",
            f"""
            {gauge} 0 1 1 1 0 0 0
            state   . . ! ! ! . .
            """,
        ),
        Table(
            "on and off: two of three counts are enough",
            f"""
            {gauge} 0 1 0 1 0 0
            state   . . . ! . .
            """,
        ),
        Table(
            "more than the threshold",
            f"""
            {gauge} 0 7 9 0 0
            state   . . ! ! .
            """,
        ),
        Table(
            "the first deployment: nothing is known until the first census",
            f"""
            {gauge} - - - 0 0
            state   ? ? ? . .
            """,
        ),
        Table(
            "the first deployment, and trouble from the first census on",
            f"""
            {gauge} - - 1 1 0 0
            state   ? ? ? ! ! .
            """,
        ),
        Table(
            "no census any more: the trouble is not over",
            f"""
            {gauge} 0 1 1 - - - - - - - 0 0
            state   . . ! ! ! ! ! ! ! ! . .
            """,
        ),
        Table(
            "no census any more: no trouble either",
            f"""
            {gauge} 0 0 0 - - - - - - -
            state   . . . . . . . . . .
            """,
        ),
    ]


def _failures(failed: str, of: str) -> list[Table]:
    """At least five, and at least 5 % of all, in two of three periods."""
    return [
        Table(
            "four failures, whatever share that is",
            f"""
            {failed} 4 4 4 4
            {of}     4 4 4 4
            state    . . . .
            """,
        ),
        Table(
            "less than 5 %",
            f"""
            {failed} 5   5   5   49   49
            {of}     101 101 101 1000 1000
            state    .   .   .   .    .
            """,
        ),
        Table(
            "5 %, in one period alone",
            f"""
            {failed} 0   5   0   0
            {of}     100 100 100 100
            state    .   .   .   .
            """,
        ),
        Table(
            "5 %, and over",
            f"""
            {failed} 0   5   5   5   0   0   0
            {of}     100 100 100 100 100 100 100
            state    .   .   !   !   !   .   .
            """,
        ),
        Table(
            "every other period",
            f"""
            {failed} 9  0  9  0  0
            {of}     10 10 10 10 10
            state    .  .  !  .  .
            """,
        ),
        Table(
            "nobody calls",
            f"""
            {failed} - - - -
            {of}     - - - -
            state    . . . .
            """,
        ),
        Table(
            "it fails, then nobody calls any more",
            f"""
            {failed} 9 9 - - - - -
            {of}     9 9 - - - - -
            state    . ! ! ! ! . .
            """,
        ),
    ]


THRESHOLD_IN_TWO_OF_THREE: Final = [
    ("just below", "T-1 T-1 T-1 T-1", ". . . ."),
    ("in one period alone", "0 T 0 0", ". . . ."),
    ("and over", "0 T T T 0 0", ". . ! ! ! ."),
    ("every other period", "0 T 0 T 0 0", ". . . ! . ."),
    ("nothing is published", "- - - -", ". . . ."),
]


def _sustained(metric: str) -> list[Table]:
    return [
        Table(title, f"{metric} {cells}\nstate {states}")
        for title, cells, states in THRESHOLD_IN_TWO_OF_THREE
    ]


CLEANUP_DID_NOT_COMPLETE: Final = [
    Table(
        "each run is completed",
        """
        CleanupCompleted 1 1 1 1 1 1
        state            . . . . . .
        """,
        step=300,
    ),
    Table(
        "two runs in a row are not",
        """
        CleanupCompleted 1 1 - - 1 1 - 1
        state            . . . . . . . .
        """,
        step=300,
    ),
    Table(
        "three runs in a row are not, and then one is",
        """
        CleanupCompleted 1 1 - - - - 1 1
        state            . . . . ! ! . .
        """,
        step=300,
    ),
    Table(
        "it is over for good",
        """
        CleanupCompleted 1 - - - - - - - - - - -
        state            . . . ! ! ! ! ! ! ! ! !
        """,
        step=300,
    ),
    Table(
        "the first deployment: in alarm until the first census, which pages nobody (test_pages)",
        """
        CleanupCompleted - - 1 1 1
        state            ! ! . . .
        """,
        step=300,
    ),
]

TABLES: Final[dict[str, list[Table]]] = {
    "VirtualWithoutReal": _census("VirtualOnlyBusinesses"),
    "UnreachableBusinesses": _census("UnreachableBusinesses"),
    "VirtualWithoutRealShare": [
        Table(
            "4 %",
            """
            VirtualOnlyBusinesses 4   4   4   4
            OnlineBusinesses      100 100 100 100
            state                 .   .   .   .
            """,
        ),
        Table(
            "5 %, and over",
            """
            VirtualOnlyBusinesses 0   5   5   5   0   0
            OnlineBusinesses      100 100 100 100 100 100
            state                 .   .   !   !   !   .
            """,
        ),
        Table(
            "5 %, for one count",
            """
            VirtualOnlyBusinesses 0   5   0   0
            OnlineBusinesses      100 100 100 100
            state                 .   .   .   .
            """,
        ),
        Table(
            "nobody is online",
            """
            VirtualOnlyBusinesses 0 0 0 0
            OnlineBusinesses      0 0 0 0
            state                 . . . .
            """,
        ),
        Table(
            "the last one closes for the night while its device is off",
            """
            VirtualOnlyBusinesses 0 0 1 0 0
            OnlineBusinesses      9 3 1 0 0
            state                 . . . . .
            """,
        ),
        Table(
            "no census any more: it is not over",
            """
            VirtualOnlyBusinesses 9   9   -   -   -   -   -   -
            OnlineBusinesses      100 100 -   -   -   -   -   -
            state                 ?   !   !   !   !   !   !   !
            """,
        ),
        Table(
            "the first deployment",
            """
            VirtualOnlyBusinesses - - 0 0
            OnlineBusinesses      - - 0 5
            state                 ? ? . .
            """,
        ),
    ],
    "AttentionEntered": [
        Table(
            "nobody",
            """
            AttentionEntered 0 0 0 0
            state            . . . .
            """,
        ),
        Table(
            "one, and later a second one: each is told",
            """
            AttentionEntered 0 1 0 0 1 0
            state            . ! . . ! .
            """,
        ),
        Table(
            "one after another: told once, since the alarm never ends between them",
            """
            AttentionEntered 0 1 2 1 0
            state            . ! ! ! .
            """,
        ),
        Table(
            "the first deployment",
            """
            AttentionEntered - - 0 0
            state            . . . .
            """,
        ),
        Table(
            "no runs any more: over when CloudWatch no longer looks back so far",
            """
            AttentionEntered 0 1 - - - -
            state            . ! ! ! . .
            """,
        ),
    ],
    "MassDisconnect": [
        Table(
            "30 % at once; told for two counts",
            """
            RealConnections 1000 1000 700 700 700 700
            state           .    .    !   !   .   .
            """,
        ),
        Table(
            "a little less",
            """
            RealConnections 1000 1000 701 701 701
            state           .    .    .   .   .
            """,
        ),
        Table(
            "all",
            """
            RealConnections 1000 0 0 0 0
            state           .    ! ! . .
            """,
        ),
        Table(
            "19 devices are no mass, 20 are",
            """
            RealConnections 19 0 20 0 0 0
            state           .  . .  ! ! .
            """,
        ),
        Table(
            "the marketplace closes slowly",
            """
            RealConnections 1000 800 640 512 410 328 262
            state           .    .   .   .   .   .   .
            """,
        ),
        Table(
            "it opens in the morning",
            """
            RealConnections 0 20 500 5000 9000
            state           . .  .   .    .
            """,
        ),
        Table(
            "they come back",
            """
            RealConnections 1000 400 900 1000 1000
            state           .    !   !   .    .
            """,
        ),
        Table(
            "a count is missing: the next one is compared with the last one",
            """
            RealConnections 1000 - 600 600 600
            state           .    . !   !   .
            """,
        ),
        Table(
            "the cleanup was off for long: nothing to compare with, CleanupDidNotComplete said so",
            """
            RealConnections 1000 - - - - 600 600
            state           .    . . . . .   .
            """,
        ),
        Table(
            "the first deployment",
            """
            RealConnections - - 50 60
            state           . . .  .
            """,
        ),
    ],
    "CleanupDidNotComplete": CLEANUP_DID_NOT_COMPLETE,
    "CleanupRefused": [
        Table(
            "nothing is refused",
            """
            CleanupRefused 0 0 0 0
            state          . . . .
            """,
        ),
        Table(
            "one removal is",
            """
            CleanupRefused 0 1 0 0
            state          . ! . .
            """,
        ),
        Table(
            "the first deployment",
            """
            CleanupRefused - - 0
            state          . . .
            """,
        ),
    ],
    "CleanupFailed": [
        Table(
            "a hiccup: the next run is the retry",
            """
            Errors 0 1 0 0 1 0 0
            state  . . . . . . .
            """,
        ),
        Table(
            "two runs of three",
            """
            Errors 0 1 1 0 0
            state  . . ! ! .
            """,
        ),
        Table(
            "from the first run on",
            """
            Errors - 1 1 1
            state  . . ! !
            """,
        ),
        Table(
            "the first deployment",
            """
            Errors - - 0 0
            state  . . . .
            """,
        ),
    ],
    "CleanupDeadLetters": [
        Table(
            "as long as there is one",
            """
            ApproximateNumberOfMessagesVisible 0 1 1 3 0 0
            state                              . ! ! ! . .
            """,
        ),
        Table(
            "SQS publishes nothing of a queue that has long been idle",
            """
            ApproximateNumberOfMessagesVisible 0 - - - - -
            state                              . . . . . .
            """,
        ),
    ],
    "ProbesUnknown": [
        *_sustained("ProbesUnknown"),
        Table(
            "the management API is down: every probe, run after run",
            """
            ProbesUnknown 0 500 800 900 0 0
            state         . .   !   !   ! .
            """,
        ),
        Table(
            "no runs any more",
            """
            ProbesUnknown 9 9 - - - - -
            state         . ! ! ! ! . .
            """,
        ),
    ],
    "RestServerErrors": _failures("5XXError", "Count"),
    "RestLatency": [
        Table(
            "one request of a hundred is slow",
            """
            Latency 99x20+1x9000 99x20+1x9000 99x20+1x9000
            state   .            .            .
            """,
        ),
        Table(
            "two of a hundred are, for long",
            """
            Latency 98x20+2x9000 98x20+2x9000 100x20 100x20
            state   .            !            !      .
            """,
        ),
        *_sustained("Latency"),
    ],
    "WebSocketErrors": [
        *_failures("IntegrationError", "MessageCount"),
        *_failures("ExecutionError", "ConnectCount"),
        Table(
            "both kinds together, of connects and messages together",
            """
            IntegrationError 3  3  3  0  0  0
            ExecutionError   2  2  2  0  0  0
            ConnectCount     10 10 10 10 10 10
            MessageCount     90 90 90 90 90 90
            state            .  !  !  !  .  .
            """,
        ),
    ],
    "NewConnections": [
        *_sustained("ConnectCount"),
        Table(
            "299 a second, minute after minute, and then 300",
            """
            ConnectCount 17940 17940 17940 18000 18000 17940 17940
            state        .     .     .     .     !     !     .
            """,
        ),
    ],
    "TableThrottles": [
        Table(
            "just below",
            """
            ConsumedReadCapacityUnits 90 90 90 90
            ReadThrottleEvents        4  4  4  4
            state                     .  .  .  .
            """,
        ),
        Table(
            "the table; DynamoDB publishes nothing of a period without throttles",
            """
            ConsumedReadCapacityUnits 90 90 90 90 90 90 90 90 90 90
            WriteThrottleEvents       -  5  5  -  -  -  -  -  -  -
            state                     .  .  !  !  .  .  .  .  .  .
            """,
        ),
        Table(
            "an index, together with the table",
            """
            ConsumedReadCapacityUnits           90 90 90 90 90 90
            ReadThrottleEvents                  -  1  1  -  -  -
            WriteThrottleEvents[AttentionIndex] -  4  4  -  -  -
            state                               .  .  !  !  .  .
            """,
        ),
        Table(
            "in one period alone",
            """
            ConsumedReadCapacityUnits 90 90  90 90
            ReadThrottleEvents        -  900 -  -
            state                     .  .   .  .
            """,
        ),
        Table(
            "the first deployment",
            """
            ConsumedReadCapacityUnits - - 90 90
            state                     ? ? .  .
            """,
        ),
    ],
    "TableSystemErrors": [
        Table(
            "just below",
            """
            ConsumedReadCapacityUnits 90 90 90 90
            SystemErrors[Query]       4  4  4  4
            state                     .  .  .  .
            """,
        ),
        Table(
            "of several operations; DynamoDB publishes nothing of a period without errors",
            """
            ConsumedReadCapacityUnits        90 90 90 90 90 90 90
            SystemErrors[Query]              -  2  2  -  -  -  -
            SystemErrors[TransactWriteItems] -  3  3  -  -  -  -
            state                            .  .  !  !  .  .  .
            """,
        ),
        Table(
            "in one period alone",
            """
            ConsumedReadCapacityUnits 90 90 90 90
            SystemErrors[UpdateItem]  -  99 -  -
            state                     .  .  .  .
            """,
        ),
    ],
    "PlannedWork": [
        Table(
            "announced once: it holds for an hour, and at most for ten minutes more",
            """
            PlannedWork - 1 - - - - - - - - - - - - - - -
            state       . ! ! ! ! ! ! ! ! ! ! ! ! ! ! . .
            """,
        ),
        Table(
            "never announced",
            """
            PlannedWork - - - -
            state       . . . .
            """,
        ),
    ],
    **{f"{name}Errors": _failures("Errors", "Invocations") for name in FUNCTIONS[:-1]},
    **{f"{name}Throttles": _sustained("Throttles") for name in FUNCTIONS},
    **{f"{name}Duration": _sustained("Duration") for name in FUNCTIONS},
}

THREE_WORKERS_TABLES: Final[dict[str, list[Table]]] = {
    "CleanupDidNotComplete": [
        Table(
            "each worker completes its runs",
            """
            CleanupCompleted[0] 1 1 1 1
            CleanupCompleted[1] 1 1 1 1
            CleanupCompleted[2] 1 1 1 1
            state               . . . .
            """,
            step=300,
        ),
        Table(
            "one worker of three is gone, however much the others do",
            """
            CleanupCompleted[0] 1 1 1 1 1 1 1
            CleanupCompleted[1] 1 - - - - 1 1
            CleanupCompleted[2] 2 2 2 2 2 2 2
            state               . . . ! ! . .
            """,
            step=300,
        ),
        Table(
            "each worker has a hiccup",
            """
            CleanupCompleted[0] 1 - - 1 1 1 1
            CleanupCompleted[1] 1 1 - - 1 1 1
            CleanupCompleted[2] 1 1 1 - - 1 1
            state               . . . . . . .
            """,
            step=300,
        ),
    ],
    "VirtualWithoutReal": [
        Table(
            "of one worker's businesses",
            """
            VirtualOnlyBusinesses[0] 0 0 0 0 0 0
            VirtualOnlyBusinesses[1] 0 1 1 0 0 0
            VirtualOnlyBusinesses[2] 0 0 0 0 0 0
            state                    . . ! ! . .
            """,
        ),
        Table(
            "now here, now there: they add up",
            """
            VirtualOnlyBusinesses[0] 0 1 0 0 0 0
            VirtualOnlyBusinesses[1] 0 0 1 0 0 0
            VirtualOnlyBusinesses[2] 0 0 0 0 0 0
            state                    . . ! ! . .
            """,
        ),
        Table(
            "a worker misses a run: its trouble is not over",
            """
            VirtualOnlyBusinesses[0] 0 0 0 0 0 0
            VirtualOnlyBusinesses[1] 0 1 1 - 0 0
            VirtualOnlyBusinesses[2] 0 0 0 0 0 0
            state                    . . ! ! ! .
            """,
        ),
        Table(
            "a worker is gone for long: what it saw last is not over either",
            """
            VirtualOnlyBusinesses[0] 0 0 0 0 0 0 0 0 0 0
            VirtualOnlyBusinesses[1] 0 1 1 - - - - - - -
            VirtualOnlyBusinesses[2] 0 0 0 0 0 0 0 0 0 0
            state                    . . ! ! ! ! ! ! ! !
            """,
        ),
        Table(
            "the first deployment: part of a census is none",
            """
            VirtualOnlyBusinesses[0] - 0 0 0
            VirtualOnlyBusinesses[1] - 0 0 0
            VirtualOnlyBusinesses[2] - - 0 0
            state                    ? ? . .
            """,
        ),
    ],
    "VirtualWithoutRealShare": [
        Table(
            "the share of all, not of one worker's",
            """
            VirtualOnlyBusinesses[0] 4   4   5   5
            VirtualOnlyBusinesses[1] 0   0   5   5
            VirtualOnlyBusinesses[2] 0   0   5   5
            OnlineBusinesses[0]      10  10  100 100
            OnlineBusinesses[1]      100 100 100 100
            OnlineBusinesses[2]      100 100 100 100
            state                    .   .   .   !
            """,
        ),
    ],
    "MassDisconnect": [
        Table(
            "30 % of all",
            """
            RealConnections[0] 500 500 400 400 400
            RealConnections[1] 500 500 400 400 400
            RealConnections[2] 500 500 250 250 250
            state              .   .   !   !   .
            """,
        ),
        Table(
            "a worker misses runs: that is no drop, nor is its return",
            """
            RealConnections[0] 500 500 500 500 500 500 500 500 500 500
            RealConnections[1] 500 500 500 500 500 500 500 500 500 500
            RealConnections[2] 500 500 -   -   -   -   -   -   500 500
            state              .   .   .   .   .   .   .   .   .   .
            """,
        ),
    ],
}


def _cases(tables: dict[str, list[Table]]) -> list[object]:
    return [
        pytest.param(name, table, id=f"{name}: {table.title}")
        for name, of_alarm in tables.items()
        for table in of_alarm
    ]


@pytest.fixture(scope="module")
def prod_alarms(prod: Template) -> dict[str, Alarm]:
    return alarms_in(prod)


@pytest.fixture(scope="module")
def three_workers_alarms(three_workers: Template) -> dict[str, Alarm]:
    return alarms_in(three_workers)


@pytest.mark.parametrize(("name", "table"), _cases(TABLES))
def test_when_an_alarm_goes_off(prod_alarms: dict[str, Alarm], name: str, table: Table) -> None:
    expected, states = play(prod_alarms[name], table)
    assert states == expected


@pytest.mark.parametrize(("name", "table"), _cases(THREE_WORKERS_TABLES))
def test_when_an_alarm_goes_off_with_three_workers(
    three_workers_alarms: dict[str, Alarm], name: str, table: Table
) -> None:
    expected, states = play(three_workers_alarms[name], table)
    assert states == expected


def test_every_alarm_of_every_environment_has_a_table(monitoring: Template) -> None:
    assert alarms_in(monitoring).keys() <= TABLES.keys()
    assert composites_in(monitoring).keys() <= {"ServiceImpaired"}  # see test_pages


def test_prod_has_every_alarm_that_has_a_table(prod_alarms: dict[str, Alarm]) -> None:
    assert prod_alarms.keys() == TABLES.keys()


@pytest.mark.parametrize("name", TABLES)
def test_every_alarm_has_tables_that_show_it_on_off_and_silent(name: str) -> None:
    states = [
        row.split()[1:]
        for table in TABLES[name]
        for row in table.rows.splitlines()
        if row.split()[:1] == ["state"]
    ]
    assert any("!" in row for row in states)
    assert any("!" not in row for row in states)
    assert any(row[-1] == "." and "!" in row for row in states)
