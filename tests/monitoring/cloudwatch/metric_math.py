"""Calculates the part of CloudWatch's metric math that our alarms use; refuses everything else.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html

One assumption is not in the guide: FILL also fills a series without any data.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

Series = tuple[float | None, ...]
"""A value for each period, oldest first; `None` is a period without data."""

Value = float | Series

IDENTIFIER: Final = re.compile(r"\b(?!and\b)[a-z]\w*")
_TOKEN: Final = re.compile(
    rf"{IDENTIFIER.pattern}|\b(?:AND|IF|FILL|DIFF|\d+(?:\.\d+)?)\b|>=|[-+*/(),>]"
)


class UnsupportedExpression(Exception):
    """The expression is wrong, or uses what this module does not know. Says which part."""


def calculate(expression: str, series_of: Callable[[str], Series]) -> Series:
    """The time series that an expression yields.

    `series_of` returns the series of an id. Raises `UnsupportedExpression`.
    """
    value = _value(_parsed(expression), series_of)
    if isinstance(value, float):
        raise UnsupportedExpression(f"{expression!r} is a number, not a time series")
    return value


@cache
def _parsed(expression: str) -> ast.expr:
    unknown = _TOKEN.sub("", expression).strip()
    if unknown:
        raise UnsupportedExpression(f"{unknown!r} in {expression!r}")
    try:
        # With a lowercase `and`, Python reads these expressions as CloudWatch does.
        return ast.parse(re.sub(r"\bAND\b", "and", expression.strip()), mode="eval").body
    except SyntaxError as error:
        raise UnsupportedExpression(f"{error.msg} in {expression!r}") from error


_OPERATORS: Final[Mapping[type[ast.AST], Callable[[float, float], float | None]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: None if b == 0 else a / b,  # CloudWatch drops the data point
    ast.Gt: lambda a, b: float(a > b),
    ast.GtE: lambda a, b: float(a >= b),
}


def _value(node: ast.expr, series_of: Callable[[str], Series]) -> Value:
    def value(of: ast.expr) -> Value:
        return _value(of, series_of)

    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name) if IDENTIFIER.fullmatch(name):
            return series_of(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _each_pair(-1.0, value(operand), operator.mul)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _each_pair(value(left), value(right), _OPERATORS[type(op)])
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
            return _each_pair(value(left), value(right), _OPERATORS[type(op)])
        case ast.BoolOp(op=ast.And(), values=[first, *others]):
            result = value(first)
            for other in others:
                result = _each_pair(result, value(other), lambda a, b: float(bool(a and b)))
            return result
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _call(name, *map(value, arguments))
    raise UnsupportedExpression(ast.unparse(node))


def _call(name: str, *arguments: Value) -> Value:
    match name, arguments:
        case "IF", (tuple() as condition, then):
            return _if(condition, then, None)
        case "IF", (tuple() as condition, then, otherwise):
            return _if(condition, then, otherwise)
        case "FILL", (tuple() as series, float() as filler):
            return tuple(filler if value is None else value for value in series)
        case "DIFF", (tuple() as series,):
            return _differences(series)
    raise UnsupportedExpression(f"{name} with the arguments {arguments}")


def _if(condition: Series, then: Value, otherwise: Value | None) -> Series:
    return tuple(
        None if test is None else (_at(then, i) or 0.0) if test else _at(otherwise, i)
        for i, test in enumerate(condition)
    )


def _at(value: Value | None, index: int) -> float | None:
    return value[index] if isinstance(value, tuple) else value


def _each_pair(
    left: Value, right: Value, function: Callable[[float, float], float | None]
) -> Value:
    """Apply an operator. Where only one of two series has a value, the other counts as 0."""
    series = [value for value in (left, right) if isinstance(value, tuple)]
    if isinstance(left, float) and isinstance(right, float):
        result = function(left, right)
        if result is None:
            raise UnsupportedExpression(f"division of {left} by zero")
        return result
    return tuple(
        None
        if all(one[i] is None for one in series)
        else function(_at(left, i) or 0.0, _at(right, i) or 0.0)
        for i in range(len(series[0]))
    )


def _differences(series: Series) -> Series:
    """The difference of each value from the last one before it that has data."""
    result: list[float | None] = []
    before: float | None = None
    for value in series:
        result.append(None if value is None or before is None else value - before)
        before = before if value is None else value
    return tuple(result)
