"""What pages somebody, and what it means."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.environments import Environment
from infra.monitoring.metrics import ServiceMetrics
from lambdas.metrics import MetricName

CLEANUP_MISSED_RUNS: Final = 3
"""Runs that may fail in a row, one being a hiccup, before somebody is told."""


class Alarms(Construct):
    """The alarms of one environment. Each tells the topic when it goes off and when it is over."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        metrics: ServiceMetrics,
        on_call: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        virtual_without_real = cloudwatch.Alarm(
            self,
            "VirtualWithoutReal",
            alarm_description=(
                f"[{environment.name}] Businesses look open to customers, but no device of theirs "
                "is connected: their orders go nowhere. See docs/runbook.md, "
                '"Virtual without real".'
            ),
            metric=metrics.gauge(MetricName.VIRTUAL_ONLY_BUSINESSES),
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            threshold=environment.virtual_only_threshold,
            datapoints_to_alarm=environment.virtual_only_datapoints,
            evaluation_periods=environment.virtual_only_periods,
            # Without a census nothing is known, and least of all that it is over. That there was
            # none is CleanupDidNotRun's to say.
            treat_missing_data=cloudwatch.TreatMissingData.IGNORE,
        )
        attention_entered = cloudwatch.Alarm(
            self,
            "AttentionEntered",
            alarm_description=(
                f"[{environment.name}] Another business has just lost its last device while it "
                "accepts orders: its orders go nowhere. Tells of a new one also while others are "
                'in trouble already. See docs/runbook.md, "Attention entered".'
            ),
            metric=metrics.count(MetricName.ATTENTION_ENTERED),
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            threshold=1,
            datapoints_to_alarm=1,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        cleanup_did_not_run = cloudwatch.Alarm(
            self,
            "CleanupDidNotRun",
            alarm_description=(
                f"[{environment.name}] No cleanup run was completed "
                f"{CLEANUP_MISSED_RUNS} times in a row: dead connections stay, nobody is counted, "
                "and the other alarms are blind. See docs/runbook.md, "
                '"Cleanup did not run".'
            ),
            metric=metrics.count(
                MetricName.CLEANUP_COMPLETED,
                period=cdk.Duration.minutes(environment.cleanup_interval * CLEANUP_MISSED_RUNS),
            ),
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            threshold=1,
            datapoints_to_alarm=1,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        )
        self.all = (virtual_without_real, attention_entered, cleanup_did_not_run)
        for alarm in self.all:
            alarm.add_alarm_action(actions.SnsAction(on_call))
            alarm.add_ok_action(actions.SnsAction(on_call))
