"""The environment `local`, and the AWS emulator that it is deployed to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aws_cdk import aws_cloudwatch as cloudwatch

from infra.configuration import Canary, Cleanup, Environment, Sustained, Thresholds
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.platform import Platform
from lambdas.domain.rules import Rules


def local_environment(*, canary: bool = False) -> Environment:
    """An environment that is fast enough to watch in minutes."""
    return Environment(
        name="local",
        keep_data=False,
        log_retention_days=1,
        rules=Rules(ping_interval=10, ping_grace=5, attention_grace=30),
        cleanup=Cleanup(interval=60),
        canary=Canary() if canary else None,
        alarms=Thresholds(businesses=Sustained(1, 1)),
    )


@dataclass(frozen=True)
class Emulator(Platform):
    """The emulator at a URL. It serves everything below it.

    `local.cloudwatch` judges the alarms. It knows neither metric math nor composite alarms.
    """

    url: str
    has_composite_alarms: bool = False

    def api_url(self, region: str, api_id: str, stage: str) -> str:
        return f"{self.url}/_aws/execute-api/{api_id}/{stage}"

    def signing_keys_url(self, region: str, pool_id: str) -> str:
        return f"{self.url}/{pool_id}/.well-known/jwks.json"

    def supported_alarms(self, definitions: Sequence[AlarmDefinition]) -> list[AlarmDefinition]:
        return [simple for each in definitions if (simple := _simple(each)) is not None]


def _simple(definition: AlarmDefinition) -> AlarmDefinition | None:
    """An alarm that watches a single metric and pages by itself. Of math on one metric, take
    the metric; leave out what needs several.
    """
    metric = definition.metric
    if isinstance(metric, cloudwatch.MathExpression):
        used = list(metric.using_metrics.values())
        if len(used) != 1 or not isinstance(used[0], cloudwatch.Metric):
            return None
        metric = used[0].with_(period=metric.period)
    pages = definition.severity in (Severity.PAGE, Severity.IMPAIRED)
    severity = Severity.PAGE if pages else definition.severity
    return replace(definition, metric=metric, severity=severity)
