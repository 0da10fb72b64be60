"""Metric math, as the CloudWatch user guide describes and shows it.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import pytest

from local.metric_math import Metrics, Series, UnsupportedExpression, calculate, ids_in


def series(picture: str) -> Series:
    """`-` is a period without data; the newest is the last."""
    return tuple(None if sign == "-" else float(sign) for sign in picture.split())


def calculated(expression: str, **metrics: str) -> Series:
    by_id = {name: series(picture) for name, picture in metrics.items()}
    return calculate(expression, Metrics(by_id, period=300, expressions={}))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("metric1 < metric2", "0 0 1 0"),
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
        ("IF(1, metric3)", "0 0 20 - 20"),
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
        ("a / b", "0.5 - 0 -"),  # by zero: dropped
        ("2 + 3 * a", "5 5 - -"),
        ("(2 + 3) * a", "5 5 - -"),
        ("2 ^ 3 * a", "8 8 - -"),
        ("-a", "-1 -1 - -"),
        ("100 * a / (a + b)", "33.333333333333336 100 0 -"),
        ("SUM([a, b])", "3 1 2 -"),
        ("SUM(METRICS())", "3 1 2 -"),
        ("SUM(METRICS() * 2)", "6 2 4 -"),
        ('SUM(METRICS("b"))', "2 - 2 -"),
        ("AVG([a, b])", "1.5 0.5 1 -"),
        ("MAX([a, b])", "2 1 2 -"),
        ("MIN([FILL(a, 0), FILL(b, 0)])", "1 0 0 0"),
        ("FILL(a, 7)", "1 1 7 7"),
        ("FILL(a, b)", "1 1 2 -"),
        ("FILL(b, REPEAT)", "2 2 2 2"),
        ("SUM(FILL(METRICS(), 0))", "3 1 2 0"),
        ("METRIC_COUNT(METRICS()) * a", "2 2 - -"),
        ("a / PERIOD(a) * 300", "1 1 - -"),
        ("TIME_SERIES(3) - a", "2 2 3 3"),
        ("FIRST([a, b])", "1 1 - -"),
        ("ABS(-a) + CEIL(a) + FLOOR(a)", "3 3 - -"),
        ("a == 1 && b == 2", "1 0 0 -"),
        ("a == 1 || b == 2", "1 1 1 -"),
    ],
)
def test_operators_and_functions(expression: str, expected: str) -> None:
    assert calculated(expression, a="1 1 - -", b="2 - 2 -") == series(expected)


def test_a_difference_is_from_the_preceding_value_that_there_is() -> None:
    assert calculated("DIFF(a)", a="5 - 3 9") == series("- - -2 6")
    assert calculated("RATE(a) * 600", a="5 - 3 9") == series("- - -2 12")


@pytest.mark.parametrize(
    "expression",
    [
        "MIN([a, b])",  # what a missing value counts as is not documented, and matters here
        "MAX(a)",  # of one series: not advised in alarms
        "SUM(a) / 2",
        "METRICS()",
        "[a, b]",
        "5",
        "5 / 0 * a",
        "unknown",
        "a b",
        "(a",
        "FILL(a, LINEAR)",
        "SEARCH(a)",
        "__import__('os')",
        "a.real",
        "",
    ],
)
def test_what_is_wrong_or_undocumented_is_refused(expression: str) -> None:
    with pytest.raises(UnsupportedExpression):
        calculated(expression, a="1 1 - -", b="2 - 2 -")


def test_the_ids_of_an_expression() -> None:
    assert ids_in('IF(real > 20, FILL(m0_1, 0) / e1, METRICS("x"))') == {"real", "m0_1", "e1"}
