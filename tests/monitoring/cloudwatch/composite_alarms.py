"""CloudWatch's rules for composite alarms: their state, and when their actions are suppressed.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm_Suppression.html
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from local.alarms import State, actions_in

StateOf = Callable[[str], State]
"""The state of an alarm by its name or ARN."""


class BadRule(Exception):
    """A rule that CloudWatch would not accept."""


@dataclass(frozen=True, kw_only=True)
class CompositeAlarm:
    """An alarm whose state follows from those of others."""

    name: str
    description: str = ""
    rule: str
    actions: Mapping[State, tuple[str, ...]]
    suppressor: str | None = None
    """Name or ARN of the alarm that, while in ALARM, keeps this one from telling anybody."""
    wait_period: int = 0
    """Seconds that a new state waits for the suppressor to go to ALARM."""
    extension_period: int = 0
    """Seconds that silence goes on after the suppressor has left ALARM."""

    @classmethod
    def from_properties(cls, name: str, properties: Mapping[str, Any]) -> Self:
        """Read an `AWS::CloudWatch::CompositeAlarm`, its references resolved, or a `CompositeAlarm`
        of DescribeAlarms: their properties have the same names.
        """
        return cls(
            name=name,
            description=properties.get("AlarmDescription", ""),
            rule=properties["AlarmRule"],
            actions=actions_in(properties),
            suppressor=properties.get("ActionsSuppressor"),
            wait_period=properties.get("ActionsSuppressorWaitPeriod", 0),
            extension_period=properties.get("ActionsSuppressorExtensionPeriod", 0),
        )

    @property
    def members(self) -> frozenset[str]:
        """Names or ARNs of the alarms that the rule refers to."""
        return frozenset(found["alarm"] for found in _REFERENCE.finditer(self.rule))

    def judge(self, state_of: StateOf) -> State:
        """Say which state it should have: ALARM if the rule is true, else OK."""
        return State.ALARM if _Rule(self.rule, state_of).holds() else State.OK


_REFERENCE: Final = re.compile(
    r"""(?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?P<quote>["']?)(?P<alarm>[^"')]+)(?P=quote)\s*\)"""
)
_TOKEN: Final = re.compile(rf"\s*(?:{_REFERENCE.pattern}|(?P<word>AND|OR|NOT|TRUE|FALSE|\(|\)))")


class _Rule:
    """Reads a rule from left to right. AND binds more than OR, and NOT more than both."""

    def __init__(self, rule: str, state_of: StateOf) -> None:
        self._text = rule
        self._state_of = state_of
        self._position = 0

    def holds(self) -> bool:
        result = self._either()
        if self._text[self._position :].strip():
            raise BadRule(f"{self._text[self._position :]!r} in {self._text}")
        return result

    def _take(self, *words: str) -> bool:
        found = _TOKEN.match(self._text, self._position)
        if found is None or found["word"] not in words:
            return False
        self._position = found.end()
        return True

    def _either(self) -> bool:
        result = self._both()
        while self._take("OR"):
            result = self._both() or result
        return result

    def _both(self) -> bool:
        result = self._one()
        while self._take("AND"):
            result = self._one() and result
        return result

    def _one(self) -> bool:
        if self._take("NOT"):
            return not self._one()
        if self._take("("):
            result = self._either()
            if not self._take(")"):
                raise BadRule(f"a parenthesis is not closed: {self._text}")
            return result
        if self._take("TRUE"):
            return True
        if self._take("FALSE"):
            return False
        found = _TOKEN.match(self._text, self._position)
        if found is None or found["state"] is None:
            raise BadRule(f"{self._text[self._position :]!r} in {self._text}")
        self._position = found.end()
        return self._state_of(found["alarm"]) is State(found["state"])


@dataclass
class Suppression:
    """Whether a composite alarm tells of its state, as time goes on.

    A new state waits for `wait_period`, in which the suppressor may still go to ALARM. While that
    is in ALARM nothing is told, and when it leaves ALARM nothing for `extension_period`. After
    either period the alarm acts by the state that it then has; a change of state begins a new wait.
    Without a change since it last acted it has nothing to tell.
    """

    alarm: CompositeAlarm
    state: State = State.INSUFFICIENT_DATA
    _changed: bool = False
    _suppressed: bool = False
    _silent_until: float = field(default=float("-inf"))

    def step(self, now: float, state: State, suppressor: State | None) -> State | None:
        """Take over the states of `now` (seconds). Returns the state that is told now, if any."""
        was_suppressed, self._suppressed = self._suppressed, suppressor is State.ALARM
        if was_suppressed and not self._suppressed:
            self._silent_until = now + self.alarm.extension_period
        if state is not self.state:
            self.state, self._changed = state, True
            if self.alarm.suppressor is not None:
                self._silent_until = now + self.alarm.wait_period
        if self._suppressed or now < self._silent_until or not self._changed:
            return None
        self._changed = False
        return state
