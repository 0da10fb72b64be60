"""The definition of an alarm, apart from how it is built."""

from dataclasses import KW_ONLY, dataclass
from enum import Enum
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch

from infra.configuration import Sustained

AT_ONCE: Final = Sustained(1, 1)


class Severity(Enum):
    """How urgent an alarm is. Its description begins with the value."""

    PAGE = "PAGE"
    """Pages on-call each time it fires."""
    IMPAIRED = "PAGE (as part of ServiceImpaired)"
    """Pages on-call through the composite alarm ServiceImpaired, so that one incident is one page.
    """
    TICKET = "TICKET"
    """Opens a ticket: it can wait until the morning."""
    NO_ACTION = "NO ACTION"
    """Notifies nobody."""


@dataclass(frozen=True)
class AlarmDefinition:
    """One alarm: when it fires, what that means, and how urgent it is."""

    name: str
    section: str
    """The section of docs/runbook.md that says what to do."""
    severity: Severity
    meaning: str
    """What on-call reads at night: whole sentences, the effect on customers first."""
    _: KW_ONLY
    metric: cloudwatch.IMetric
    threshold: float
    comparison: cloudwatch.ComparisonOperator = (
        cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
    )
    sustained: Sustained = AT_ONCE
    missing_data: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING
    """What a period without data means. Default: nothing happened, so nothing is wrong."""
    only_after: str | None = None
    """Name of another alarm. ServiceImpaired ignores this one until that one has had data."""
