"""Metric math that alarms of several stacks use."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch


def percent_failed(
    failed: Mapping[str, cloudwatch.IMetric],
    total: Mapping[str, cloudwatch.IMetric],
    *,
    minimum: int,
    label: str,
    period: cdk.Duration,
) -> cloudwatch.MathExpression:
    """What percentage failed, or 0 if fewer than `minimum` did: too few to judge by."""
    failures = " + ".join(failed)
    return cloudwatch.MathExpression(
        expression=f"IF({failures} >= {minimum}, 100 * ({failures}) / ({' + '.join(total)}), 0)",
        using_metrics={**failed, **total},
        label=label,
        period=period,
    )
