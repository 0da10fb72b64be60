"""Builds the alarms that are defined, and connects them to the topics."""

from collections.abc import Mapping, Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.configuration import Sustained
from infra.monitoring.alarms.definition import AlarmDefinition, Severity
from infra.monitoring.metrics import HEALTH_PERIOD

PLANNED_WORK_MINUTES: Final = 60
"""How long one announcement of planned work holds."""


class Alarms(Construct):
    """The alarms of one environment. Each notifies its topic when it fires and when it is over.

    Trouble of the service itself pages through the composite ServiceImpaired, so that one incident
    is one page. `planned_work` is the metric whose data keeps ServiceImpaired silent.

    Without composites, each of them pages by itself, and nothing keeps it silent.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        definitions: Sequence[AlarmDefinition],
        planned_work: cloudwatch.IMetric,
        environment_name: str,
        has_composites: bool,
        pages: sns.ITopic,
        tickets: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self._environment_name = environment_name
        self._topics = {Severity.PAGE: pages, Severity.TICKET: tickets}
        self.paging_alarms: list[cloudwatch.AlarmBase] = []
        """The alarms that page by themselves."""
        self.other_alarms: list[cloudwatch.AlarmBase] = []
        """The alarms that say why the service is impaired, or that can wait."""
        self.runbook_sections: list[str] = []
        """The sections of the runbook that the alarms refer to."""

        alarms = {definition.name: self._build(definition) for definition in definitions}
        if has_composites:
            self._build_service_impaired(
                definitions, alarms, self._build_planned_work(planned_work)
            )

    def _build(self, definition: AlarmDefinition) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            definition.name,
            alarm_description=self._description(
                definition.severity, definition.meaning, definition.section
            ),
            metric=definition.metric,
            comparison_operator=definition.comparison,
            threshold=definition.threshold,
            datapoints_to_alarm=definition.sustained.datapoints,
            evaluation_periods=definition.sustained.periods,
            treat_missing_data=definition.missing_data,
        )
        self._connect(alarm, definition.severity, definition.section)
        return alarm

    def _build_planned_work(self, metric: cloudwatch.IMetric) -> cloudwatch.Alarm:
        return self._build(
            AlarmDefinition(
                "PlannedWork",
                "Planned work",
                Severity.NO_ACTION,
                f"Planned work was announced within the last {PLANNED_WORK_MINUTES} minutes, so"
                " ServiceImpaired does not page.",
                metric=metric,
                threshold=1,
                # Several short periods: CloudWatch may look back some periods further than told.
                sustained=Sustained(1, PLANNED_WORK_MINUTES // int(HEALTH_PERIOD.to_minutes())),
            )
        )

    def _build_service_impaired(
        self,
        definitions: Sequence[AlarmDefinition],
        alarms: Mapping[str, cloudwatch.Alarm],
        planned_work: cloudwatch.Alarm,
    ) -> None:
        section, severity = "Service impaired", Severity.PAGE
        composite = cloudwatch.CompositeAlarm(
            self,
            "ServiceImpaired",
            # The prefix that CloudFormation gives the other alarms, so that one prefix lists all.
            composite_alarm_name=f"{cdk.Stack.of(self).stack_name}-ServiceImpaired",
            alarm_description=self._description(
                severity,
                "The service itself is in trouble, and businesses or customers may be affected. The"
                " reason of this alarm and the dashboard list the alarms that say what is wrong.",
                section,
            ),
            alarm_rule=cloudwatch.AlarmRule.any_of(
                *(
                    _impairs(definition, alarms)
                    for definition in definitions
                    if definition.severity is Severity.IMPAIRED
                )
            ),
            actions_suppressor=planned_work,
            # Time for an announcement that was just made to be seen: CloudWatch looks at an alarm
            # once a minute.
            actions_suppressor_wait_period=cdk.Duration.minutes(1),
            # Time to recover after planned work.
            actions_suppressor_extension_period=cdk.Duration.minutes(10),
        )
        self._connect(composite, severity, section)

    def _description(self, severity: Severity, meaning: str, section: str) -> str:
        return (
            f"[{self._environment_name}] {severity.value}: {meaning}"
            f' See docs/runbook.md, "{section}".'
        )

    def _connect(self, alarm: cloudwatch.AlarmBase, severity: Severity, section: str) -> None:
        """Let an alarm notify its topic, if it has one, and list it for the dashboard."""
        if topic := self._topics.get(severity):
            alarm.add_alarm_action(actions.SnsAction(topic))
            alarm.add_ok_action(actions.SnsAction(topic))
        (self.paging_alarms if severity is Severity.PAGE else self.other_alarms).append(alarm)
        if section not in self.runbook_sections:
            self.runbook_sections.append(section)


def _impairs(
    definition: AlarmDefinition, alarms: Mapping[str, cloudwatch.Alarm]
) -> cloudwatch.IAlarmRule:
    """When an alarm counts as trouble of the service."""
    fires = cloudwatch.AlarmRule.from_alarm(alarms[definition.name], cloudwatch.AlarmState.ALARM)
    if definition.only_after is None:
        return fires
    no_data_yet = cloudwatch.AlarmRule.from_alarm(
        alarms[definition.only_after], cloudwatch.AlarmState.INSUFFICIENT_DATA
    )
    return cloudwatch.AlarmRule.all_of(fires, cloudwatch.AlarmRule.not_(no_data_yet))
