"""Who is told about businesses in trouble in marketplaces of 10, 1,000 and 100,000 businesses.

Each table is a story: what the censuses count every five minutes, and which alarms go off. An alarm
without a row never does. The notation is explained in `tests/monitoring/alarm_tables.py`. The
thresholds are those that docs/deploying.md advises for each size. The largest marketplace has three
cleanup workers, which count a third of each number.
"""

from collections.abc import Sequence
from typing import Final

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns

from infra.configuration import Cleanup, Thresholds
from infra.environments import PROD
from infra.monitoring.alarms.businesses import business_alarms
from infra.monitoring.alarms.construct import Alarms
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.metrics import ServiceMetrics
from tests.infra.template import Template
from tests.monitoring.alarm_tables import Table, play_all, tables
from tests.monitoring.cloudwatch.metric_alarms import Alarm
from tests.monitoring.template_reader import alarms_in
from tests.runbook import ROOT

TEN: Final = tables(
    """
    one shop dies at night: one page at once, one more when it is still so in the next census
    OnlineBusinesses        9  9  9  9  9  9  9  9
    VirtualOnlyBusinesses   0  0  1  1  1  1  0  0
    UnreachableBusinesses   0  0  0  0  0  0  0  0
    RealConnections         10 9  9  9  9  9  10 10
    AttentionEntered        0  0  1  0  0  0  0  0
    page:AttentionEntered   .  .  !  .  .  .  .  .
    page:VirtualWithoutReal .  .  .  !  !  !  !  .

    a bad release takes three devices: each page says something new
    OnlineBusinesses        10 10 10 10 10 10 10
    VirtualOnlyBusinesses   0  0  1  3  3  3  3
    UnreachableBusinesses   0  0  0  0  0  0  0
    RealConnections         10 9  7  7  7  7  7
    AttentionEntered        0  0  1  2  0  0  0
    page:AttentionEntered   .  .  !  !  .  .  .
    page:AttentionBurst     .  .  .  !  !  .  .
    page:VirtualWithoutReal .  .  .  !  !  !  !
    page:AttentionShare     .  .  .  .  !  !  !

    the network of all shops fails at once, where nobody has a virtual connection
    OnlineBusinesses           10 0 0  0 0 0 10 10
    VirtualOnlyBusinesses      0  0 0  0 0 0 0  0
    UnreachableBusinesses      0  0 10 10 10 10 0 0
    RealConnections            10 0 0  0 0 0 10 10
    AttentionEntered           0  0 10 0 0 0 0  0
    page:AttentionEntered      .  . !  . . . .  .
    page:AttentionBurst        .  . !  ! ! . .  .
    page:UnreachableBusinesses .  . .  ! ! ! !  .
    page:AttentionShare        .  . .  ! ! ! !  .

    trouble of one shop stays for days, then another one dies: a page for the other
    OnlineBusinesses        10 10 10 10 10 10
    VirtualOnlyBusinesses   1  1  1  2  2  2
    UnreachableBusinesses   0  0  0  0  0  0
    RealConnections         9  9  8  8  8  8
    AttentionEntered        0  0  0  1  0  0
    page:AttentionEntered   .  .  .  !  .  .
    page:VirtualWithoutReal ?  !  !  !  !  !

    censuses are missing while a shop dies: the page comes with the next census
    OnlineBusinesses        10 10 - - - 10 10 10
    VirtualOnlyBusinesses   0  0  - - - 1  1  1
    UnreachableBusinesses   0  0  - - - 0  0  0
    RealConnections         10 10 - - - 9  9  9
    AttentionEntered        0  0  - - - 1  0  0
    page:AttentionEntered   .  .  . . . !  .  .
    page:VirtualWithoutReal .  .  . . . .  !  !
    """
)

THOUSAND: Final = tables(
    """
    one shop dies at night: one ticket, no page
    OnlineBusinesses        150 150 150 150 150 150
    VirtualOnlyBusinesses   2   2   3   3   3   3
    UnreachableBusinesses   1   1   1   1   1   1
    RealConnections         180 179 179 179 179 179
    AttentionEntered        0   0   1   0   0   0
    ticket:AttentionEntered .   .   !   .   .   .

    3 % die over an hour: a ticket with the first, a page 35 minutes later
    OnlineBusinesses        999 999 999 999 999 999 999 999 999 999 999 999 999 999 999
    VirtualOnlyBusinesses   3   3   5   8   10  13  15  18  20  23  25  28  30  33  33
    UnreachableBusinesses   1   1   1   1   1   1   1   1   1   1   1   1   1   1   1
    RealConnections         999 997 994 992 989 987 984 982 979 977 974 972 969 969 969
    AttentionEntered        0   0   2   3   2   3   2   3   2   3   2   3   2   3   0
    ticket:AttentionEntered .   .   !   !   !   !   !   !   !   !   !   !   !   !   .
    page:VirtualWithoutReal .   .   .   .   .   .   .   .   .   !   !   !   !   !   !

    a street of 30 loses its network: a page with the first ten that are reported
    OnlineBusinesses        999 999 999 999 999 999 999 999
    VirtualOnlyBusinesses   3   3   12  30  33  33  33  3
    UnreachableBusinesses   1   1   1   1   1   1   1   1
    RealConnections         999 981 969 969 969 969 999 999
    AttentionEntered        0   0   9   18  3   0   0   0
    ticket:AttentionEntered .   .   !   !   !   .   .   .
    page:AttentionBurst     .   .   .   !   !   !   .   .
    page:VirtualWithoutReal .   .   .   .   !   !   !   !

    a bad release takes 30 % of the devices within ten minutes: too slow for MassDisconnect
    OnlineBusinesses        999 999 999 999 999 999 999
    VirtualOnlyBusinesses   3   3   123 303 303 303 303
    UnreachableBusinesses   1   1   1   1   1   1   1
    RealConnections         999 879 699 699 699 699 699
    AttentionEntered        0   0   120 180 0   0   0
    ticket:AttentionEntered .   .   !   !   .   .   .
    page:AttentionBurst     .   .   !   !   !   !   .
    page:VirtualWithoutReal .   .   .   !   !   !   !
    page:AttentionShare     .   .   .   !   !   !   !

    30 % of the devices are cut off at the same moment: a page before the grace period is over
    OnlineBusinesses        999 999 999 999 999
    VirtualOnlyBusinesses   3   3   303 303 303
    UnreachableBusinesses   1   1   1   1   1
    RealConnections         999 699 699 699 699
    AttentionEntered        0   0   300 0   0
    page:MassDisconnect     .   !   !   .   .
    ticket:AttentionEntered .   .   !   .   .
    page:AttentionBurst     .   .   !   !   !
    page:VirtualWithoutReal .   .   .   !   !
    page:AttentionShare     .   .   .   !   !

    trouble of 40 stays for days, then 15 more die at once: a page for the 15
    OnlineBusinesses        999 999 999 999 999 999 999
    VirtualOnlyBusinesses   40  40  40  55  55  55  55
    UnreachableBusinesses   1   1   1   1   1   1   1
    RealConnections         960 960 945 945 945 945 945
    AttentionEntered        0   0   0   15  0   0   0
    ticket:AttentionEntered .   .   .   !   .   .   .
    page:AttentionBurst     .   .   .   !   !   !   .
    page:VirtualWithoutReal ?   !   !   !   !   !   !
    page:AttentionShare     .   .   .   .   !   !   !

    censuses are missing while 15 die: the page comes with the next census
    OnlineBusinesses        999 999 - - - 999 999 999 999
    VirtualOnlyBusinesses   3   3   - - - 18  18  18  18
    UnreachableBusinesses   1   1   - - - 1   1   1   1
    RealConnections         999 999 - - - 984 984 984 984
    AttentionEntered        0   0   - - - 15  0   0   0
    ticket:AttentionEntered .   .   . . . !   .   .   .
    page:AttentionBurst     .   .   . . . !   !   !   .

    most shops open at eleven, and the devices of six are late: tickets
    OnlineBusinesses        99 99 900 900 900 900 900
    VirtualOnlyBusinesses   2  2  2   7   8   5   2
    UnreachableBusinesses   1  1  1   1   1   1   1
    RealConnections         97 97 892 894 895 898 900
    AttentionEntered        0  0  0   5   1   0   0
    ticket:AttentionEntered .  .  .   !   !   .   .

    at night, four of the last twenty open ones: tickets
    OnlineBusinesses        20 20 20 20 20 20 20
    VirtualOnlyBusinesses   0  1  1  2  3  4  4
    UnreachableBusinesses   0  0  0  0  0  0  0
    RealConnections         19 18 17 16 16 16 16
    AttentionEntered        0  1  0  1  1  1  0
    ticket:AttentionEntered .  !  .  !  !  !  .
    """
)

HUNDRED_THOUSAND: Final = tables(
    """
    one shop dies at night among the usual ones: nobody is told, and the alarm is always on
    OnlineBusinesses        18000 18000 18000 18000 18000
    VirtualOnlyBusinesses   60    60    60    61    61
    UnreachableBusinesses   30    30    30    30    30
    RealConnections         18000 18000 17999 17999 17999
    AttentionEntered        7     6     8     7     6
    nobody:AttentionEntered !     !     !     !     !

    3 % die over an hour: a page with the first 200 of them
    OnlineBusinesses        90000 90000 90000 90000 90000 90000 90000 90000 90000 90000 90000 90000
    VirtualOnlyBusinesses   240   240   490   740   990   1240  1490  1740  1990  2240  2490  2740
    UnreachableBusinesses   90    90    90    90    90    90    90    90    90    90    90    90
    RealConnections         90000 89748 89499 89250 88998 88749 88500 88248 87999 87750 87498 87249
    AttentionEntered        7     7     257   257   257   257   257   257   257   257   257   257
    nobody:AttentionEntered !     !     !     !     !     !     !     !     !     !     !     !
    page:AttentionBurst     .     .     !     !     !     !     !     !     !     !     !     !
    page:AttentionShare     .     .     .     .     .     .     .     .     !     !     !     !
    page:VirtualWithoutReal .     .     .     .     .     .     .     .     .     .     !     !

    a region of 300 loses its network at once, in the worst case reported by three runs
    OnlineBusinesses        90000 90000 90000 90000 90000 90000 90000
    VirtualOnlyBusinesses   240   240   300   495   540   540   540
    UnreachableBusinesses   90    90    90    90    90    90    90
    RealConnections         90000 89850 89700 89700 89700 89700 89700
    AttentionEntered        7     7     107   107   107   7     7
    nobody:AttentionEntered !     !     !     !     !     !     !
    page:AttentionBurst     .     .     .     !     !     !     .

    a bad release takes 30 % of the devices within ten minutes: too slow for MassDisconnect
    OnlineBusinesses        90000 90000 90000 90000 90000 90000 90000
    VirtualOnlyBusinesses   240   240   12240 27240 27240 27240 27240
    UnreachableBusinesses   90    90    90    90    90    90    90
    RealConnections         90000 78000 63000 63000 63000 63000 63000
    AttentionEntered        7     7     12000 15000 7     7     7
    nobody:AttentionEntered !     !     !     !     !     !     !
    page:AttentionBurst     .     .     !     !     !     !     .
    page:AttentionShare     .     .     .     !     !     !     !
    page:VirtualWithoutReal .     .     .     !     !     !     !

    trouble of 2,500 stays for days, then 300 more die at once: a page for the 300
    OnlineBusinesses        90000 90000 90000 90000 90000 90000 90000
    VirtualOnlyBusinesses   2400  2400  2400  2700  2700  2700  2700
    UnreachableBusinesses   90    90    90    90    90    90    90
    RealConnections         87000 87000 86700 86700 86700 86700 86700
    AttentionEntered        7     7     7     307   7     7     7
    nobody:AttentionEntered !     !     !     !     !     !     !
    page:AttentionBurst     .     .     .     !     !     !     .
    page:AttentionShare     ?     !     !     !     !     !     !
    page:VirtualWithoutReal ?     !     !     !     !     !     !

    all censuses are missing while 300 die: the page comes with the next census
    OnlineBusinesses        90000 90000 - - - 90000 90000 90000
    VirtualOnlyBusinesses   240   240   - - - 540   540   540
    UnreachableBusinesses   90    90    - - - 90    90    90
    RealConnections         90000 90000 - - - 89700 89700 89700
    AttentionEntered        7     7     - - - 320   7     7
    nobody:AttentionEntered !     !     ! ! . !     !     !
    page:AttentionBurst     .     .     . . . !     !     !

    one of three workers is missing while 300 die: the other two report 200 of them
    OnlineBusinesses[0]      30000 30000 30000 30000 30000 30000 30000 30000
    OnlineBusinesses[1]      30000 30000 30000 30000 30000 30000 30000 30000
    OnlineBusinesses[2]      30000 30000 -     -     -     -     -     -
    VirtualOnlyBusinesses[0] 80    80    80    180   180   180   180   180
    VirtualOnlyBusinesses[1] 80    80    80    180   180   180   180   180
    VirtualOnlyBusinesses[2] 80    80    -     -     -     -     -     -
    UnreachableBusinesses[0] 30    30    30    30    30    30    30    30
    UnreachableBusinesses[1] 30    30    30    30    30    30    30    30
    UnreachableBusinesses[2] 30    30    -     -     -     -     -     -
    RealConnections[0]       30000 30000 29900 29900 29900 29900 29900 29900
    RealConnections[1]       30000 30000 29900 29900 29900 29900 29900 29900
    RealConnections[2]       30000 30000 -     -     -     -     -     -
    AttentionEntered         7     7     4     204   5     4     5     4
    nobody:AttentionEntered  !     !     !     !     !     !     !     !
    page:AttentionBurst      .     .     .     !     !     !     .     .
    """
)

SIZES: Final = {"10": TEN, "1,000": THOUSAND, "100,000": HUNDRED_THOUSAND}
WORKERS: Final = {"10": 1, "1,000": 1, "100,000": 3}


def advised(size: str) -> Thresholds:
    """The thresholds in a column of the table in docs/deploying.md."""
    text = (ROOT / "docs" / "deploying.md").read_text()
    _, section = text.split("\n## Thresholds for your number of businesses\n")
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in section.partition("\n## ")[0].splitlines()
        if line.startswith("|")
    ]
    column = rows[0].index(size)
    values = {row[0]: row[column] for row in rows if hasattr(Thresholds(), row[0])}
    assert len(values) == 6
    numbers = {name: value.replace(",", "") for name, value in values.items()}
    return Thresholds(
        **{  # type: ignore[arg-type]  # mypy cannot see which of them are numbers
            name: int(value) if value.isdigit() else value for name, value in numbers.items()
        }
    )


@pytest.fixture(scope="module")
def alarms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Alarm]]:
    """The alarms on businesses of each size."""
    app = cdk.App(outdir=str(tmp_path_factory.mktemp("cdk.out")))
    for number, (size, workers) in enumerate(WORKERS.items()):
        stack = cdk.Stack(app, f"Size{number}")
        metrics = ServiceMetrics("sized", Cleanup(workers=workers), read_name=str)
        planned_work = metrics.planned_work()
        # ServiceImpaired cannot be built without a member.
        member = AlarmDefinition(
            "Member", "", Severity.IMPAIRED, "", metric=planned_work, threshold=1
        )
        Alarms(
            stack,
            "Alarms",
            definitions=[*business_alarms(advised(size), metrics), member],
            planned_work=planned_work,
            environment_name="sized",
            has_composites=True,
            pages=sns.Topic(stack, "OnCall"),
            tickets=sns.Topic(stack, "Tickets"),
        )
    assembly = app.synth()
    return {
        size: _of_businesses(
            Template(assembly.get_stack_by_name(f"Size{number}").template_full_path)
        )
        for number, size in enumerate(SIZES)
    }


def _of_businesses(template: Template) -> dict[str, Alarm]:
    found = alarms_in(template)
    return {name: found[name] for name in found.keys() - {"Member", "PlannedWork"}}


@pytest.mark.parametrize(
    ("size", "table"),
    [
        pytest.param(size, table, id=f"{size}: {table.title}")
        for size, stories in SIZES.items()
        for table in stories
    ],
)
def test_who_is_told(alarms: dict[str, dict[str, Alarm]], size: str, table: Table) -> None:
    expected, found = play_all(alarms[size], _shared(table, WORKERS[size]))
    assert found == expected


def _shared(table: Table, workers: int) -> Table:
    """Divide what a census counts among the workers, unless the table does so itself."""
    rows: dict[str, Sequence[str]] = {}
    for name, cells in table.rows.items():
        if workers == 1 or name == "AttentionEntered" or not name.isidentifier():
            rows[name] = cells
            continue
        for worker in range(workers):
            rows[f"{name}[{worker}]"] = [
                cell if cell == "-" else str((int(cell) + worker) // workers) for cell in cells
            ]
    return Table(table.title, rows, 300)


def test_the_defaults_suit_ten_businesses_and_prod_a_thousand() -> None:
    """Change the table in docs/deploying.md with them."""
    assert advised("10") == Thresholds()
    assert advised("1,000") == PROD.alarms


def test_every_alarm_on_businesses_goes_off_in_a_story(
    alarms: dict[str, dict[str, Alarm]],
) -> None:
    told = {row.partition(":")[2] for t in (*TEN, *THOUSAND, *HUNDRED_THOUSAND) for row in t.rows}
    assert told - {""} == alarms["1,000"].keys()
