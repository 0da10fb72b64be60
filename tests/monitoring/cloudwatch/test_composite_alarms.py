"""Composite alarms, as the CloudWatch user guide describes them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm_Suppression.html
"""

import pytest

from local.cloudwatch.alarm_rules import State
from tests.monitoring.cloudwatch.composite_alarms import (
    CompositeAlarm,
    Suppression,
    UnsupportedRule,
)

OK, ALARM, NO_DATA = State.OK, State.ALARM, State.INSUFFICIENT_DATA
STATES = {"o": OK, "a": ALARM, "n": NO_DATA, "arn:aws:cloudwatch:eu-west-1:1:alarm:a": ALARM}


def composite(rule: str = "ALARM(a)", **suppression: object) -> CompositeAlarm:
    return CompositeAlarm.from_properties("composite", {"AlarmRule": rule, **suppression})


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("ALARM(a)", True),
        ('ALARM("a")', True),
        ("ALARM('a')", True),
        ("ALARM(o)", False),
        ('OK("o")', True),
        ("INSUFFICIENT_DATA(n)", True),
        ("ALARM(n) OR OK(n)", False),
        ('ALARM("arn:aws:cloudwatch:eu-west-1:1:alarm:a")', True),
        ("ALARM(o) OR ALARM(a)", True),
        ("ALARM(o) AND ALARM(a)", False),
        ("NOT ALARM(o) AND ALARM(a)", True),
        ("NOT (ALARM(o) OR ALARM(a))", False),
        ("ALARM(a) OR ALARM(a) AND ALARM(o)", True),
        ("(ALARM(a) OR ALARM(a)) AND ALARM(o)", False),
        ("((ALARM(o)) OR (OK(o) AND NOT INSUFFICIENT_DATA(a)))", True),
    ],
)
def test_rules(rule: str, holds: bool) -> None:
    assert composite(rule).judge(STATES.__getitem__) is (ALARM if holds else OK)


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "()",
        "a",
        "ALARM()",
        "ALARM(a) ALARM(o)",
        "ALARM(a)(OK(o))",
        "(ALARM(a)",
        "MAYBE(a)",
        "TRUE",
    ],
)
def test_a_wrong_or_unsupported_rule_is_refused(rule: str) -> None:
    with pytest.raises(UnsupportedRule):
        composite(rule).judge(STATES.__getitem__)


@pytest.mark.parametrize(
    ("composite_states", "suppressor_states", "told"),
    [
        # The guide's examples: a wait of 2 units of time and an extension of 3; `!` is ALARM.
        pytest.param("..!!!!!!", "........", {4: ALARM}, id="1: acts after the wait"),
        pytest.param("..!!!!!!", "...!!!!!", {}, id="2: the suppressor comes within the wait"),
        pytest.param("..!.....", "........", {5: OK}, id="3: back to OK within the wait"),
        pytest.param("..!!!!!!", ".!!!!!!!", {}, id="4: already suppressed"),
        pytest.param("..!!!!!!!!!!", "...!!!......", {9: ALARM}, id="5: acts after the extension"),
        pytest.param(
            "..!!!!!.....", "...!!!......", {9: OK}, id="6: back to OK within the extension"
        ),
        # Not in the guide, but follows from its examples.
        pytest.param("..!!!!...", ".........", {4: ALARM, 8: OK}, id="the all-clear waits too"),
        pytest.param("..!!!!!!!!!", ".....!!....", {4: ALARM}, id="told once only"),
        pytest.param(
            "..!!!!!!!!!!!!!",
            "...!!!..!!.....",
            {13: ALARM},
            id="suppressed again within the extension",
        ),
    ],
)
def test_when_actions_are_suppressed(
    composite_states: str, suppressor_states: str, told: dict[int, State]
) -> None:
    alarm = composite(
        ActionsSuppressor="s", ActionsSuppressorWaitPeriod=2, ActionsSuppressorExtensionPeriod=3
    )
    suppression = Suppression(alarm, state=OK)
    signs = {".": OK, "!": ALARM}
    happened = {
        now: state
        for now, (own, other) in enumerate(zip(composite_states, suppressor_states, strict=True))
        if (state := suppression.step(now, signs[own], signs[other]))
    }
    assert happened == told


def test_without_a_suppressor_every_change_is_told_at_once() -> None:
    suppression = Suppression(composite())
    states = (OK, ALARM, ALARM, OK)
    told = [suppression.step(now, state, None) for now, state in enumerate(states)]
    assert told == [OK, ALARM, None, OK]
