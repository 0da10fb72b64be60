"""When each alarm of prod goes off, and when it does not, as tables.

The notation is explained in `tests/monitoring/alarm_tables.py`, and CloudWatch's rules are in
`local/cloudwatch/alarm_rules.py`. The numbers are those of prod: change them with its thresholds.
"""

from typing import Final

import pytest

from infra.service.functions import FUNCTIONS
from tests.infra.template import Template
from tests.monitoring.alarm_tables import Table, play, tables
from tests.monitoring.cloudwatch.metric_alarms import Alarm
from tests.monitoring.template_reader import alarms_in, composites_in

ANSWERING: Final = [name for name, each in FUNCTIONS.items() if each.answers]


def _census(gauge: str) -> list[Table]:
    """At the threshold in two of three censuses. Without a census the state is kept."""
    return tables(
        f"""
        just below the threshold
        {gauge} T-1 T-1 T-1 T-1
        state   .   .   .   .

        one census with trouble
        {gauge} 0 T 0 0 0
        state   . . . . .

        trouble that lasts and ends
        {gauge} 0 T T T 0 0 0
        state   . . ! ! ! . .

        trouble in two of three censuses
        {gauge} 0 T 0 T 0 0
        state   . . . ! . .

        more than the threshold
        {gauge} 0 T+6 T+8 0 0
        state   . .   !   ! .

        first deployment: no state until the first census
        {gauge} - - - 0 0
        state   ? ? ? . .

        first deployment, with trouble from the first census on
        {gauge} - - T T 0 0
        state   ? ? ? ! ! .

        the censuses stop during trouble: the alarm stays on
        {gauge} 0 T T - - - - - - - 0 0
        state   . . ! ! ! ! ! ! ! ! . .

        the censuses stop without trouble: the alarm stays off
        {gauge} 0 0 0 - - - - - - -
        state   . . . . . . . . . .
        """
    )


def _stuck(happened: str) -> list[Table]:
    """Not called in two periods of 15 minutes, in both of which something happened."""
    return tables(
        f"""
        each time something happens, the function is called
        {happened}  3 5 1 9
        Invocations 3 2 1 4
        state       . . . .

        nothing happens, and nothing calls the function
        {happened}  - - - - - -
        Invocations - - - - - -
        state       . . . . . .

        the mapping is disabled, and enabled again
        {happened}  5 5 5 5 5 5 5
        Invocations 5 - - - 9 5 5
        state       . . ! ! . . .

        something happens every half hour only: too seldom to tell
        {happened}  1 - 1 - 1 - 1 -
        Invocations - - - - - - - -
        state       . . . . . . . .

        something happens at the end of each period, and the call follows in the next one
        {happened}  1 1 1 1 -
        Invocations - 1 1 1 1
        state       . . . . .

        something happens at the end of a period, after a quiet one, twice
        {happened}  1 - 1 - 1 -
        Invocations - 1 - 1 - 1
        state       . . . . . .

        what happened is over, and the function was never called
        {happened}  5 5 - - -
        Invocations - - - - -
        state       . ! . . .
        """
    )


def _failures(failed: str, of: str) -> list[Table]:
    """At least five failures, and at least 5 % of all calls, in two of three periods."""
    return tables(
        f"""
        four failures, which are all calls
        {failed} 4 4 4 4
        {of}     4 4 4 4
        state    . . . .

        less than 5 % fail
        {failed} 5   5   5   49   49
        {of}     101 101 101 1000 1000
        state    .   .   .   .    .

        5 % in one period
        {failed} 0   5   0   0
        {of}     100 100 100 100
        state    .   .   .   .

        5 % for several periods
        {failed} 0   5   5   5   0   0   0
        {of}     100 100 100 100 100 100 100
        state    .   .   !   !   !   .   .

        failures every other period
        {failed} 9  0  9  0  0
        {of}     10 10 10 10 10
        state    .  .  !  .  .

        no calls
        {failed} - - - -
        {of}     - - - -
        state    . . . .

        all calls fail, then there are no more calls
        {failed} 9 9 - - - - -
        {of}     9 9 - - - - -
        state    . ! ! ! ! . .
        """
    )


def _sustained(metric: str) -> list[Table]:
    """At the threshold in two of three periods."""
    return tables(
        f"""
        just below the threshold
        {metric} T-1 T-1 T-1 T-1
        state    .   .   .   .

        at the threshold for one period
        {metric} 0 T 0 0
        state    . . . .

        at the threshold for several periods
        {metric} 0 T T T 0 0
        state    . . ! ! ! .

        at the threshold every other period
        {metric} 0 T 0 T 0 0
        state    . . . ! . .

        nothing is published
        {metric} - - - -
        state    . . . .
        """
    )


TABLES: Final[dict[str, list[Table]]] = {
    "VirtualWithoutReal": _census("VirtualOnlyBusinesses"),
    "UnreachableBusinesses": _census("UnreachableBusinesses"),
    "AttentionShare": tables(
        """
        4.9 % of the businesses that accept orders
        VirtualOnlyBusinesses 29  29  29  29
        UnreachableBusinesses 20  20  20  20
        OnlineBusinesses      980 980 980 980
        state                 .   .   .   .

        5 % in several censuses, of both kinds together
        VirtualOnlyBusinesses 0   30  30  30  0   0
        UnreachableBusinesses 0   20  20  20  0   0
        OnlineBusinesses      980 980 980 980 980 980
        state                 .   .   !   !   !   .

        leases end, and the same businesses become unreachable: one page
        VirtualOnlyBusinesses 0   50  50  30  10  0   0
        UnreachableBusinesses 0   0   0   20  40  50  50
        OnlineBusinesses      999 999 999 979 959 949 949
        state                 .   .   !   !   !   !   !

        5 % in one census
        VirtualOnlyBusinesses 0   50  0   0
        UnreachableBusinesses 0   0   0   0
        OnlineBusinesses      999 999 999 999
        state                 .   .   .   .

        nine of the last ten open businesses are too few
        VirtualOnlyBusinesses 0  5  5  5  5
        UnreachableBusinesses 0  4  4  4  4
        OnlineBusinesses      10 10 10 10 10
        state                 .  .  .  .  .

        ten of the last hundred open ones
        VirtualOnlyBusinesses 0   10  10  10  0   0
        UnreachableBusinesses 0   0   0   0   0   0
        OnlineBusinesses      100 100 100 100 100 100
        state                 .   .   !   !   !   .

        no business is online, and ten are unreachable
        VirtualOnlyBusinesses 0 0  0  0
        UnreachableBusinesses 0 10 10 10
        OnlineBusinesses      0 0  0  0
        state                 . .  !  !

        no business is online, and none accepts orders
        VirtualOnlyBusinesses 0 0 0 0
        UnreachableBusinesses 0 0 0 0
        OnlineBusinesses      0 0 0 0
        state                 . . . .

        the censuses stop during trouble: the alarm stays on
        VirtualOnlyBusinesses 90  90  -   -   -   -   -   -
        UnreachableBusinesses 0   0   -   -   -   -   -   -
        OnlineBusinesses      999 999 -   -   -   -   -   -
        state                 ?   !   !   !   !   !   !   !

        first deployment
        VirtualOnlyBusinesses - - 0 0
        UnreachableBusinesses - - 0 0
        OnlineBusinesses      - - 0 5
        state                 ? ? . .
        """
    ),
    "AttentionEntered": tables(
        """
        no business
        AttentionEntered 0 0 0 0
        state            . . . .

        two businesses, one after the other: the alarm goes off twice
        AttentionEntered 0 1 0 0 1 0
        state            . ! . . ! .

        new businesses in each census: the alarm goes off once
        AttentionEntered 0 1 2 1 0
        state            . ! ! ! .

        first deployment
        AttentionEntered - - 0 0
        state            . . . .

        the runs stop: the alarm ends when CloudWatch no longer looks back so far
        AttentionEntered 0 1 - - - -
        state            . ! ! ! . .
        """
    ),
    "AttentionBurst": tables(
        """
        nine businesses within three runs
        AttentionEntered 0 4 3 2 0 0
        state            . . . . . .

        one business after the other, all day
        AttentionEntered 3 3 3 3 3 3
        state            . . . . . .

        ten businesses in one run
        AttentionEntered 0 10 0 0 0 0
        state            . !  ! ! . .

        ten businesses in three runs
        AttentionEntered 0 5 0 5 0 0
        state            . . . ! . .

        a second burst, 20 minutes after the first one: the alarm goes off twice
        AttentionEntered 0 6 6 0 0 0 6 6 0 0
        state            . . ! ! . . . ! ! .

        first deployment
        AttentionEntered - - 0 0
        state            . . . .

        the runs stop during a burst: the alarm ends when CloudWatch no longer looks back so far
        AttentionEntered 0 30 - - - - - - - - - - -
        state            . !  ! ! ! ! ! ! ! ! . . .
        """,
        step=300,
    ),
    "MassDisconnect": tables(
        """
        30 % at once: the alarm is on for two censuses
        RealConnections 1000 1000 700 700 700 700
        state           .    .    !   !   .   .

        a little less than 30 %
        RealConnections 1000 1000 701 701 701
        state           .    .    .   .   .

        all devices
        RealConnections 1000 0 0 0 0
        state           .    ! ! . .

        the minimum is 20 devices
        RealConnections 19 0 20 0 0 0
        state           .  . .  ! ! .

        devices disconnect slowly in the evening
        RealConnections 1000 800 640 512 410 328 262
        state           .    .   .   .   .   .   .

        devices connect in the morning
        RealConnections 0 20 500 5000 9000
        state           . .  .   .    .

        devices reconnect
        RealConnections 1000 400 900 1000 1000
        state           .    !   !   .    .

        one census is missing: the next is compared with the one before it
        RealConnections 1000 - 600 600 600
        state           .    . !   !   .

        many censuses are missing: nothing to compare with (CleanupDidNotComplete is on)
        RealConnections 1000 - - - - 600 600
        state           .    . . . . .   .

        first deployment
        RealConnections - - 50 60
        state           . . .  .
        """
    ),
    "CleanupDidNotComplete": tables(
        """
        every run completes
        CleanupCompleted 1 1 1 1 1 1
        state            . . . . . .

        two runs in a row do not complete
        CleanupCompleted 1 1 - - 1 1 - 1
        state            . . . . . . . .

        three runs in a row do not complete, then runs complete again
        CleanupCompleted 1 1 - - - - 1 1
        state            . . . . ! ! . .

        runs never complete again
        CleanupCompleted 1 - - - - - - - - - - -
        state            . . . ! ! ! ! ! ! ! ! !

        first deployment: on until the first census, which pages nobody (see test_pages)
        CleanupCompleted - - 1 1 1
        state            ! ! . . .
        """,
        step=300,
    ),
    "CanaryFailed": tables(
        """
        one run fails
        CanarySucceeded 1 - - - - 0 - - - - 1 - - - -
        state           . . . . . . . . . . . . . . .

        two runs fail, then the next succeeds
        CanarySucceeded 1 - - - - 0 - - - - 0 - - - - 1 - - - -
        state           . . . . . . . . . . . . ! ! ! . . . . .

        every other run fails: other alarms see that
        CanarySucceeded 1 - - - - 0 - - - - 1 - - - - 0 - - - - 1 - - - -
        state           . . . . . . . . . . . . . . . . . . . . . . . . .

        two runs overlap, and one of them succeeds
        CanarySucceeded 1 - - - - 0+1 - - - - 0+1 - - - - 1 - - - -
        state           . . . . . .   . . . . .   . . . . . . . . .

        runs fail, and some are missing: on, until one succeeds
        CanarySucceeded 1 - - - - 0 - - - - - - - - - 0 - - - - - - - - - 1 - - - -
        state           . . . . . . . . . . . . ! ! ! ! ! ! ! ! ! ! ! ! ! . . . . .

        the runs stop during trouble: CloudWatch looks at older periods, and CanarySilent is on
        CanarySucceeded 1 - - - - 0 - - - - 0 - - - - - - - - - - - - - - - - - - -
        state           . . . . . . . . . . . . ! ! ! ! ! ! ! ! ! ! . . ! ! ! ! ! !

        no credential yet, then all runs fail until the fault is mended
        CanarySucceeded - - - - - 0 - - - - 0 - - - - 1 - - - -
        state           ? ? ? ? ? ! ! ! ! ! ! ! ! ! ! . . . . .
        """,
        step=60,
    ),
    "CanarySilent": tables(
        """
        all runs fail: the other alarm is on
        CanarySucceeded 1 - - - - 0 - - - - 0 - - - - 0 - - - -
        state           . . . . . . . . . . . . . . . . . . . .

        one run is missing
        CanarySucceeded 1 - - - - - - - - - 1 - - - - - - - - - 1 - - - -
        state           . . . . . . . . . . . . . . . . . . . . . . . . .

        two runs in a row are missing, then there are runs again
        CanarySucceeded 1 - - - - - - - - - - - - - - 1 - - - - 1 - - - -
        state           . . . . . . . . . . . . ! ! ! . . . . . . . . . .

        there are no runs any more, also during trouble
        CanarySucceeded 1 - - - - 0 - - - - 0 - - - - - - - - - - - - - - - - - - -
        state           . . . . . . . . . . . . . . . . . . . . . . ! ! ! ! ! ! ! !

        no credential yet: on, which pages nobody (see test_pages)
        CanarySucceeded - - - - - - - - - - 1 - - - - 1 - - - -
        state           ! ! ! ! ! ! ! ! ! ! . . . . . . . . . .
        """,
        step=60,
    ),
    "CleanupRefused": tables(
        """
        no removal is refused
        CleanupRefused 0 0 0 0
        state          . . . .

        one removal is refused
        CleanupRefused 0 1 0 0
        state          . ! . .

        first deployment
        CleanupRefused - - 0
        state          . . .
        """
    ),
    "CleanupFailed": tables(
        """
        one run of three fails: the next run is the retry
        Errors 0 1 0 0 1 0 0
        state  . . . . . . .

        two runs of three fail
        Errors 0 1 1 0 0
        state  . . ! ! .

        every run fails, from the first one on
        Errors - 1 1 1
        state  . . ! !

        first deployment
        Errors - - 0 0
        state  . . . .
        """
    ),
    "CleanupDeadLetters": tables(
        """
        on while there are messages
        ApproximateNumberOfMessagesVisible 0 1 1 3 0 0
        state                              . ! ! ! . .

        SQS publishes nothing for a queue that has long been idle
        ApproximateNumberOfMessagesVisible 0 - - - - -
        state                              . . . . . .
        """
    ),
    "ProbesUnknown": [
        *_sustained("ProbesUnknown"),
        *tables(
            """
            the management API is down: every probe of several runs fails
            ProbesUnknown 0 500 800 900 0 0
            state         . .   !   !   ! .

            the runs stop
            ProbesUnknown 9 9 - - - - -
            state         . ! ! ! ! . .
            """
        ),
    ],
    "RestServerErrors": _failures("5XXError", "Count"),
    "RestLatency": [
        *_sustained("Latency"),
        *tables(
            """
            1 % of the requests are slow
            Latency 99x20+1x9000 99x20+1x9000 99x20+1x9000
            state   .            .            .

            2 % of the requests are slow for two periods
            Latency 98x20+2x9000 98x20+2x9000 100x20 100x20
            state   .            !            !      .
            """
        ),
    ],
    "WebSocketErrors": [
        *_failures("ExecutionError", "MessageCount"),
        *_failures("ExecutionError", "ConnectCount"),
        *tables(
            """
            connects and messages add up
            ExecutionError 5  5  5  0  0  0
            ConnectCount   10 10 10 10 10 10
            MessageCount   90 90 90 90 90 90
            state          .  !  !  !  .  .
            """
        ),
    ],
    "NewConnections": [
        *_sustained("ConnectCount"),
        *tables(
            """
            299 new connections a second, then 300
            ConnectCount 17940 17940 17940 18000 18000 17940 17940
            state        .     .     .     .     !     !     .
            """
        ),
    ],
    "TableThrottles": tables(
        """
        just below the threshold
        ConsumedReadCapacityUnits 90 90 90 90
        ReadThrottleEvents        4  4  4  4
        state                     .  .  .  .

        the table is throttled; DynamoDB publishes nothing for other periods
        ConsumedReadCapacityUnits 90 90 90 90 90 90 90 90 90 90
        WriteThrottleEvents       -  5  5  -  -  -  -  -  -  -
        state                     .  .  !  !  .  .  .  .  .  .

        throttles of an index and of the table add up
        ConsumedReadCapacityUnits           90 90 90 90 90 90
        ReadThrottleEvents                  -  1  1  -  -  -
        WriteThrottleEvents[AttentionIndex] -  4  4  -  -  -
        state                               .  .  !  !  .  .

        in one period
        ConsumedReadCapacityUnits 90 90  90 90
        ReadThrottleEvents        -  900 -  -
        state                     .  .   .  .

        first deployment
        ConsumedReadCapacityUnits - - 90 90
        state                     ? ? .  .
        """
    ),
    "TableSystemErrors": tables(
        """
        just below the threshold
        ConsumedReadCapacityUnits 90 90 90 90
        SystemErrors[Query]       4  4  4  4
        state                     .  .  .  .

        errors of several operations add up; DynamoDB publishes nothing for other periods
        ConsumedReadCapacityUnits        90 90 90 90 90 90 90
        SystemErrors[Query]              -  2  2  -  -  -  -
        SystemErrors[TransactWriteItems] -  3  3  -  -  -  -
        state                            .  .  !  !  .  .  .

        in one period
        ConsumedReadCapacityUnits 90 90 90 90
        SystemErrors[UpdateItem]  -  99 -  -
        state                     .  .  .  .
        """
    ),
    **{
        name: [
            *_sustained("IteratorAge"),
            *tables(
                """
                a batch fails and is retried for half an hour
                IteratorAge 6000 300000 600000 900000 1800000 6000 6000
                state       .    .      !      !      !       !    .

                nothing is read
                IteratorAge 6000 - - - - -
                state       .    . . . . .
                """
            ),
        ]
        for name in ("RecorderLate", "PublisherLate")
    },
    "RecorderStuck": _stuck("Connected"),
    "PublisherStuck": _stuck("Transitions"),
    "FeedDeadLetters": tables(
        """
        on until somebody has emptied the queue
        ApproximateNumberOfMessagesVisible 0 1 1 1 0 0
        state                              . ! ! ! . .

        SQS publishes nothing for a queue that has long been idle
        ApproximateNumberOfMessagesVisible 0 - - - - -
        state                              . . . . . .
        """
    ),
    "PlannedWork": tables(
        """
        announced once: on for an hour, and for at most ten more minutes
        PlannedWork - 1 - - - - - - - - - - - - - - -
        state       . ! ! ! ! ! ! ! ! ! ! ! ! ! ! . .

        never announced
        PlannedWork - - - -
        state       . . . .
        """
    ),
    **{f"{name}Errors": _failures("Errors", "Invocations") for name in ANSWERING},
    **{f"{name}Throttles": _sustained("Throttles") for name in (*ANSWERING, "Cleanup")},
    **{f"{name}Duration": _sustained("Duration") for name in (*ANSWERING, "Cleanup")},
}

THREE_WORKERS_TABLES: Final[dict[str, list[Table]]] = {
    "CleanupDidNotComplete": tables(
        """
        every worker completes its runs
        CleanupCompleted[0] 1 1 1 1
        CleanupCompleted[1] 1 1 1 1
        CleanupCompleted[2] 1 1 1 1
        state               . . . .

        one of three workers stops, while another runs more often
        CleanupCompleted[0] 1 1 1 1 1 1 1
        CleanupCompleted[1] 1 - - - - 1 1
        CleanupCompleted[2] 2 2 2 2 2 2 2
        state               . . . ! ! . .

        each worker misses two runs
        CleanupCompleted[0] 1 - - 1 1 1 1
        CleanupCompleted[1] 1 1 - - 1 1 1
        CleanupCompleted[2] 1 1 1 - - 1 1
        state               . . . . . . .
        """,
        step=300,
    ),
    "VirtualWithoutReal": tables(
        """
        trouble in one worker's share
        VirtualOnlyBusinesses[0] 0 0 0 0 0 0
        VirtualOnlyBusinesses[1] 0 1 1 0 0 0
        VirtualOnlyBusinesses[2] 0 0 0 0 0 0
        state                    . . ! ! . .

        trouble in the shares of two workers, one after the other
        VirtualOnlyBusinesses[0] 0 1 0 0 0 0
        VirtualOnlyBusinesses[1] 0 0 1 0 0 0
        VirtualOnlyBusinesses[2] 0 0 0 0 0 0
        state                    . . ! ! . .

        a worker misses a run: the alarm stays on
        VirtualOnlyBusinesses[0] 0 0 0 0 0 0
        VirtualOnlyBusinesses[1] 0 1 1 - 0 0
        VirtualOnlyBusinesses[2] 0 0 0 0 0 0
        state                    . . ! ! ! .

        a worker stops for long: the alarm stays on
        VirtualOnlyBusinesses[0] 0 0 0 0 0 0 0 0 0 0
        VirtualOnlyBusinesses[1] 0 1 1 - - - - - - -
        VirtualOnlyBusinesses[2] 0 0 0 0 0 0 0 0 0 0
        state                    . . ! ! ! ! ! ! ! !

        first deployment: no state until all workers have counted
        VirtualOnlyBusinesses[0] - 0 0 0
        VirtualOnlyBusinesses[1] - 0 0 0
        VirtualOnlyBusinesses[2] - - 0 0
        state                    ? ? . .
        """
    ),
    "AttentionShare": tables(
        """
        5 % of all businesses, not of one worker's share
        VirtualOnlyBusinesses[0] 4   4   5   5
        VirtualOnlyBusinesses[1] 0   0   5   5
        VirtualOnlyBusinesses[2] 0   0   0   0
        UnreachableBusinesses[0] 0   0   0   0
        UnreachableBusinesses[1] 0   0   0   0
        UnreachableBusinesses[2] 0   0   5   5
        OnlineBusinesses[0]      10  10  95  95
        OnlineBusinesses[1]      100 100 100 100
        OnlineBusinesses[2]      100 100 100 100
        state                    .   .   .   !
        """
    ),
    "MassDisconnect": tables(
        """
        30 % of all devices
        RealConnections[0] 500 500 400 400 400
        RealConnections[1] 500 500 400 400 400
        RealConnections[2] 500 500 250 250 250
        state              .   .   !   !   .

        a worker misses runs and returns: no drop
        RealConnections[0] 500 500 500 500 500 500 500 500 500 500
        RealConnections[1] 500 500 500 500 500 500 500 500 500 500
        RealConnections[2] 500 500 -   -   -   -   -   -   500 500
        state              .   .   .   .   .   .   .   .   .   .
        """
    ),
}


def _cases(tables_by_alarm: dict[str, list[Table]]) -> list[object]:
    return [
        pytest.param(name, table, id=f"{name}: {table.title}")
        for name, of_alarm in tables_by_alarm.items()
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
    states = [table.rows["state"] for table in TABLES[name]]
    assert any("!" in row for row in states)
    assert any("!" not in row for row in states)
    assert any(row[-1] == "." and "!" in row for row in states)
