"""CloudWatch's rules for composite alarms: their state, and when their actions are suppressed.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm_Suppression.html
"""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self

from local.cloudwatch.alarm_rules import State
from tests.monitoring.cloudwatch.metric_alarms import Actions, actions_in

StateOf = Callable[[str], State]
"""Returns the state of an alarm by its name or ARN."""

_REFERENCE: Final = re.compile(
    r"""\b(?P<state>ALARM|OK|INSUFFICIENT_DATA)\(\s*(?P<quote>["']?)(?P<alarm>[^"')]+)(?P=quote)\s*\)"""
)
_TOKEN: Final = re.compile(r"\b(?:True|False|AND|OR|NOT)\b|[()]")


class UnsupportedRule(Exception):
    """The rule is wrong, or uses what this module does not know. Says which part."""


@dataclass(frozen=True, kw_only=True)
class CompositeAlarm:
    """An alarm whose state follows from the states of other alarms."""

    name: str
    rule: str
    actions: Actions
    suppressor: str | None
    """Name or ARN of an alarm. While that one is in ALARM, this one runs no actions."""
    wait_period: int
    """Seconds that actions wait for the suppressor to go to ALARM."""
    extension_period: int
    """Seconds for which actions stay suppressed after the suppressor has left ALARM."""

    @classmethod
    def from_properties(cls, name: str, properties: Mapping[str, Any]) -> Self:
        """Read an `AWS::CloudWatch::CompositeAlarm` whose references are resolved."""
        return cls(
            name=name,
            rule=properties["AlarmRule"],
            actions=actions_in(properties),
            suppressor=properties.get("ActionsSuppressor"),
            wait_period=properties.get("ActionsSuppressorWaitPeriod", 0),
            extension_period=properties.get("ActionsSuppressorExtensionPeriod", 0),
        )

    def judge(self, state_of: StateOf) -> State:
        """The state that it should have: ALARM if the rule is true, else OK.

        Raises `UnsupportedRule`.
        """
        logic = _REFERENCE.sub(
            lambda found: str(state_of(found["alarm"]) is State(found["state"])), self.rule
        )
        return State.ALARM if _is_true(logic) else State.OK


@cache
def _is_true(logic: str) -> bool:
    unknown = _TOKEN.sub("", logic).strip()
    if unknown:
        raise UnsupportedRule(f"{unknown!r} in {logic!r}")
    try:
        # Written in lower case, the operators are those of Python, and bind in the same order.
        lowered = re.sub("AND|OR|NOT", lambda word: word[0].lower(), logic)
        return _holds(ast.parse(lowered.strip(), mode="eval").body)
    except SyntaxError as error:
        raise UnsupportedRule(f"{error.msg} in {logic!r}") from error


def _holds(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=bool() as value):
            return value
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_holds(value) for value in values)
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(_holds(value) for value in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _holds(operand)
    raise UnsupportedRule(ast.unparse(node))


@dataclass
class Suppression:
    """Decides when a composite alarm runs its actions.

    - After each change of state, actions wait for `wait_period`: the suppressor may still go to
      ALARM.
    - While the suppressor is in ALARM, and for `extension_period` afterwards, nothing is run.
    - After either period, the actions of the state that the alarm has by then are run, unless its
      state has not changed since actions were last run.
    """

    alarm: CompositeAlarm
    state: State = State.INSUFFICIENT_DATA
    _changed: bool = False
    _suppressed: bool = False
    _silent_until: float = float("-inf")

    def step(self, now: float, state: State, suppressor: State | None) -> State | None:
        """Take the states at `now` (seconds). Returns the state whose actions are run, if any."""
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
