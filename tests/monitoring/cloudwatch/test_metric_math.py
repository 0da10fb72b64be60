"""Metric math, as the CloudWatch user guide describes and shows it.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import pytest

from tests.monitoring.cloudwatch.metric_math import Series, UnsupportedExpression, calculate


def series(picture: str) -> Series:
    """Read a picture: `-` is a period without data; the newest comes last."""
    return tuple(None if sign == "-" else float(sign) for sign in picture.split())


def calculated(expression: str, **metrics: str) -> Series:
    return calculate(expression, lambda name: series(metrics[name]))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("metric1 > metric2", "1 1 0 0"),
        ("metric1 >= 30", "1 0 0 0"),
        ("metric1 > 15 AND metric2 > 15", "1 0 0 0"),
    ],
)
def test_the_guides_table_of_comparisons(expression: str, expected: str) -> None:
    assert calculated(expression, metric1="30 20 0 0", metric2="20 - 20 -") == series(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("IF(metric1, metric2, metric3)", "30 0 20 - -"),
        ("IF(metric1, 5, metric3)", "5 5 20 - -"),
        ("IF(metric1, metric2, 5)", "30 0 5 5 -"),
        ("IF(metric1, metric2)", "30 0 - - -"),
    ],
)
def test_the_guides_tables_of_if(expression: str, expected: str) -> None:
    metrics = {"metric1": "1 1 0 0 -", "metric2": "30 - 0 0 30", "metric3": "0 0 20 - 20"}
    assert calculated(expression, **metrics) == series(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + b", "3 1 2 -"),
        ("a - b", "-1 1 -2 -"),
        ("a * 10", "10 10 - -"),
        ("a / b", "0.5 - 0 -"),  # a data point divided by zero is dropped
        ("2 + 3 * a", "5 5 - -"),
        ("(2 + 3) * a", "5 5 - -"),
        ("0.5 * a", "0.5 0.5 - -"),
        ("-a", "-1 -1 - -"),
        ("100 * a / (a + b)", "33.333333333333336 100 0 -"),
        ("FILL(a, 7)", "1 1 7 7"),
        ("FILL(a, -1) >= 0", "1 1 0 0"),
        ("(FILL(a, 0) > 0) + (FILL(b, 0) > 0)", "2 1 1 0"),
        ("FILL(a, -1) >= 0 AND FILL(b, -1) >= 0 AND a > 0", "1 0 0 0"),
    ],
)
def test_operators_and_functions(expression: str, expected: str) -> None:
    assert calculated(expression, a="1 1 - -", b="2 - 2 -") == series(expected)


def test_a_difference_is_from_the_last_value_before() -> None:
    assert calculated("DIFF(a)", a="5 - 3 9") == series("- - -2 6")


@pytest.mark.parametrize(
    "expression",
    [
        # valid, but not used by our alarms
        "SUM([a, b])",
        "MAX(a)",
        "METRICS()",
        "FILL(a, REPEAT)",
        "FILL(a, b)",
        "IF(1, a)",
        "RATE(a)",
        "SEARCH(a)",
        "a || b",
        "a ^ 2",
        "a == 1",
        "a < b",
        "a > b > 0",
        "[a, b]",
        # wrong in CloudWatch as well
        "5",
        "5 / 0 * a",
        "a b",
        "(a",
        "IF(a)",
        "IF",
        "a,",
        "a > 0 and b > 0",
        "a // b",
        "a ** b",
        "not a",
        "1_000 * a",
        "a if a else b",
        "a # b",
        "a.real",
        "__import__('os')",
        "",
    ],
)
def test_everything_else_is_refused(expression: str) -> None:
    with pytest.raises(UnsupportedExpression):
        calculated(expression, a="1 1 - -", b="2 - 2 -")
