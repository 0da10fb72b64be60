"""CloudWatch's metric math, as far as alarms use it, as a pure function.

The rules are those of "Metric math syntax and functions" in the CloudWatch user guide:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html

What the guide leaves open, and what it advises against in alarms, is refused: an alarm must not
rest on a guess of ours. The one assumption is that FILL also fills a series without any data.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Series = tuple[float | None, ...]
"""A value for each period, the oldest first; `None` is a period without data."""

Value = float | Series | list[Series]
"""A scalar (S), a time series (TS), or an array of time series (TS[])."""


class UnsupportedExpression(Exception):
    """The expression is wrong, or rests on what CloudWatch does not document. Says which part."""


@dataclass(frozen=True)
class Metrics:
    """What an expression may refer to: series by id, all of the same length and period."""

    by_id: Mapping[str, Series]
    """The metrics of the request."""
    period: int
    """Seconds."""
    expressions: Mapping[str, Series]
    """The results of other expressions. METRICS() does not return them."""

    @property
    def length(self) -> int:
        return len(next(iter(self.by_id.values())))


def calculate(expression: str, metrics: Metrics) -> Series:
    """Return the one time series that an alarm's expression yields.

    Raises `UnsupportedExpression`.
    """
    value = _Parser(expression, metrics).parse()
    if isinstance(value, tuple):
        return value
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    raise UnsupportedExpression(f"an alarm watches one time series: {expression}")


def ids_in(expression: str) -> frozenset[str]:
    """Return the ids of metrics and expressions that an expression names."""
    return frozenset(text for kind, text in _tokens(expression) if kind == "id")


_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?)
    | (?P<id>[a-z][A-Za-z0-9_]*)
    | (?P<word>[A-Z][A-Z0-9_]*)
    | (?P<string>"[^"]*"|'[^']*')
    | (?P<sign>&&|\|\||[=!<>]=|[-+*/^<>(),\[\]])
    )""",
    re.VERBOSE,
)


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens = []
    position = 0
    text = expression.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            raise UnsupportedExpression(f"unreadable at {text[position:]!r}: {expression}")
        tokens.append((found.lastgroup, found[found.lastgroup]))
        position = found.end()
    return tokens


class _Parser:
    """Reads an expression from left to right, and calculates as it goes."""

    def __init__(self, expression: str, metrics: Metrics) -> None:
        self._expression = expression
        self._tokens = _tokens(expression)
        self._position = 0
        self._metrics = metrics

    def parse(self) -> Value:
        value = self._logical()
        if self._position < len(self._tokens):
            raise self._unsupported(self._tokens[self._position][1])
        return value

    def _unsupported(self, what: str) -> UnsupportedExpression:
        return UnsupportedExpression(f"{what!r} in {self._expression}")

    def _next(self, *wanted: str) -> str | None:
        """Take the next token if it is one of these."""
        if self._position < len(self._tokens):
            text = self._tokens[self._position][1]
            if text in wanted:
                self._position += 1
                return text
        return None

    def _expect(self, wanted: str) -> None:
        if self._next(wanted) is None:
            raise self._unsupported(f"no {wanted}")

    # From the operators that bind least to those that bind most.

    def _logical(self) -> Value:
        value = self._logical_and()
        while self._next("OR", "||"):
            value = _pairwise(value, self._logical_and(), lambda a, b: float(bool(a or b)))
        return value

    def _logical_and(self) -> Value:
        value = self._comparison()
        while self._next("AND", "&&"):
            value = _pairwise(value, self._comparison(), lambda a, b: float(bool(a and b)))
        return value

    def _comparison(self) -> Value:
        value = self._sum()
        while operator := self._next("==", "!=", "<=", ">=", "<", ">"):
            value = _pairwise(value, self._sum(), _COMPARISONS[operator])
        return value

    def _sum(self) -> Value:
        value = self._product()
        while operator := self._next("+", "-"):
            value = _pairwise(value, self._product(), _ARITHMETIC[operator])
        return value

    def _product(self) -> Value:
        value = self._power()
        while operator := self._next("*", "/"):
            value = _pairwise(value, self._power(), _ARITHMETIC[operator])
        return value

    def _power(self) -> Value:
        value = self._operand()
        if self._next("^"):
            return _pairwise(value, self._power(), _ARITHMETIC["^"])
        return value

    def _operand(self) -> Value:
        if self._next("-"):
            return _each(self._operand(), lambda value: -value)
        if self._next("("):
            value = self._logical()
            self._expect(")")
            return value
        if self._next("["):
            return self._array()
        if self._position >= len(self._tokens):
            raise self._unsupported("the end")
        kind, text = self._tokens[self._position]
        self._position += 1
        if kind == "number":
            return float(text)
        if kind == "id":
            return self._series(text)
        if kind == "word":
            return self._call(text)
        raise self._unsupported(text)

    def _array(self) -> list[Series]:
        series: list[Series] = []
        while True:
            value = self._logical()
            if isinstance(value, float):
                raise self._unsupported("a number in an array")
            series += value if isinstance(value, list) else [value]
            if not self._next(","):
                self._expect("]")
                return series

    def _series(self, name: str) -> Series:
        for known in (self._metrics.by_id, self._metrics.expressions):
            if name in known:
                return known[name]
        raise self._unsupported(name)

    def _call(self, name: str) -> Value:
        self._expect("(")
        if name == "METRICS":
            return self._all_metrics()
        if name == "FILL":
            return self._fill()
        arguments: list[Value] = []
        if not self._next(")"):
            arguments.append(self._logical())
            while self._next(","):
                arguments.append(self._logical())
            self._expect(")")
        if name == "IF" and len(arguments) in (2, 3):
            return self._if(*arguments)
        if len(arguments) != 1:
            raise self._unsupported(name)
        return self._call_on_one(name, arguments[0])

    def _call_on_one(self, name: str, value: Value) -> Value:
        if name in _EACH:
            return _each(value, _EACH[name])
        if name in _ACROSS:
            if not isinstance(value, list):
                # "CloudWatch attempts to retrieve a higher number of data points than the number
                # specified as Evaluation Periods. This function acts differently [then]."
                raise self._unsupported(f"{name} of one time series, not advised in alarms,")
            return _across(name, value)
        if name in ("DIFF", "RATE"):
            seconds = self._metrics.period if name == "RATE" else None
            return _map_series(value, lambda series: _change(series, seconds))
        if name == "PERIOD":
            return float(self._metrics.period)
        if name == "METRIC_COUNT" and isinstance(value, list):
            return float(len(value))
        if name == "TIME_SERIES" and isinstance(value, float):
            return (value,) * self._metrics.length
        if name in ("FIRST", "LAST") and isinstance(value, list):
            return value[0 if name == "FIRST" else -1]
        raise self._unsupported(name)

    def _all_metrics(self) -> list[Series]:
        wanted = ""
        if self._position < len(self._tokens) and self._tokens[self._position][0] == "string":
            wanted = self._tokens[self._position][1][1:-1]
            self._position += 1
        self._expect(")")
        return [series for name, series in self._metrics.by_id.items() if wanted in name]

    def _fill(self) -> Value:
        value = self._logical()
        self._expect(",")
        if self._next("REPEAT"):
            self._expect(")")
            return _map_series(value, _repeat)
        filler = self._logical()
        self._expect(")")
        if isinstance(filler, list):
            raise self._unsupported("FILL with an array")
        return _map_series(value, lambda series: _filled(series, filler))

    def _if(self, condition: Value, then: Value, otherwise: Value | None = None) -> Value:
        if isinstance(condition, list) or isinstance(then, list) or isinstance(otherwise, list):
            raise self._unsupported("IF with an array")
        if isinstance(condition, float):
            chosen = then if condition else otherwise
            if isinstance(chosen, tuple):
                return chosen
            raise self._unsupported("IF without a time series")
        return tuple(
            None if test is None else (_at(then, i) or 0.0) if test else _at(otherwise, i)
            for i, test in enumerate(condition)
        )


def _divide(dividend: float, divisor: float) -> float | None:
    return None if divisor == 0 else dividend / divisor


def _power(base: float, exponent: float) -> float | None:
    return float(base**exponent)


_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float | None]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "^": _power,
}
_COMPARISONS: Final[Mapping[str, Callable[[float, float], float]]] = {
    "==": lambda a, b: float(a == b),
    "!=": lambda a, b: float(a != b),
    "<=": lambda a, b: float(a <= b),
    ">=": lambda a, b: float(a >= b),
    "<": lambda a, b: float(a < b),
    ">": lambda a, b: float(a > b),
}
_EACH: Final[Mapping[str, Callable[[float], float]]] = {
    "ABS": abs,
    "CEIL": lambda value: float(math.ceil(value)),
    "FLOOR": lambda value: float(math.floor(value)),
}
_ACROSS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "MIN": min,
    "MAX": max,
}


def _at(value: Value | None, index: int) -> float | None:
    return value[index] if isinstance(value, tuple) else value if isinstance(value, float) else None


def _map_series(value: Value, function: Callable[[Series], Series]) -> Value:
    if isinstance(value, float):
        raise UnsupportedExpression("a function of time series is given a number")
    return [function(series) for series in value] if isinstance(value, list) else function(value)


def _each(value: Value, function: Callable[[float], float]) -> Value:
    if isinstance(value, float):
        return function(value)
    return _map_series(
        value, lambda series: tuple(None if v is None else function(v) for v in series)
    )


def _pairwise(left: Value, right: Value, function: Callable[[float, float], float | None]) -> Value:
    """Apply an operator: where only one of two series has a value, the other's is 0."""
    if isinstance(left, list) and isinstance(right, list):
        raise UnsupportedExpression("an operator between two arrays")
    if isinstance(left, list):
        return [_pair(series, right, function) for series in left]
    if isinstance(right, list):
        return [_pair(left, series, function) for series in right]
    if isinstance(left, float) and isinstance(right, float):
        result = function(left, right)
        if result is None:
            raise UnsupportedExpression("a division of two numbers by zero")
        return result
    return _pair(left, right, function)


def _pair(left: Value, right: Value, function: Callable[[float, float], float | None]) -> Series:
    series = [value for value in (left, right) if isinstance(value, tuple)]
    return tuple(
        None
        if all(one[i] is None for one in series)
        else function(_at(left, i) or 0.0, _at(right, i) or 0.0)
        for i in range(len(series[0]))
    )


def _across(name: str, array: list[Series]) -> Series:
    """Make one series of many. A missing value is 0 where others have one, says the guide of SUM
    and AVG; of MIN and MAX it says nothing, so there it must not matter.
    """
    function = _ACROSS[name]
    result: list[float | None] = []
    for values in zip(*array, strict=True):
        there = [value for value in values if value is not None]
        if not there:
            result.append(None)
            continue
        with_zeros = function([value or 0.0 for value in values])
        if name in ("MIN", "MAX") and function(there) != with_zeros:
            raise UnsupportedExpression(f"{name} of an array of which a value is missing")
        result.append(with_zeros)
    return tuple(result)


def _change(series: Series, seconds: int | None) -> Series:
    """The difference from the preceding value that there is, per second if `seconds` is given."""
    result: list[float | None] = []
    before: tuple[int, float] | None = None
    for i, value in enumerate(series):
        if value is None or before is None:
            result.append(None)
        else:
            change = value - before[1]
            result.append(change / ((i - before[0]) * seconds) if seconds else change)
        if value is not None:
            before = (i, value)
    return tuple(result)


def _repeat(series: Series) -> Series:
    """Fill with the most recent value before; what precedes the first one stays missing."""
    result: list[float | None] = []
    for value in series:
        result.append(value if value is not None or not result else result[-1])
    return tuple(result)


def _filled(series: Series, filler: float | Series) -> Series:
    return tuple(value if value is not None else _at(filler, i) for i, value in enumerate(series))
