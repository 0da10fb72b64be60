"""The monitoring stack: alarms, the topics that they notify, and the dashboard."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra import names
from infra.configuration import Environment
from infra.monitoring.alarms.apis import api_alarms
from infra.monitoring.alarms.businesses import business_alarms
from infra.monitoring.alarms.canary import canary_alarms
from infra.monitoring.alarms.cleanup import cleanup_alarms
from infra.monitoring.alarms.construct import Alarms
from infra.monitoring.alarms.feed import feed_alarms
from infra.monitoring.alarms.functions import function_alarms
from infra.monitoring.alarms.table import table_alarms
from infra.monitoring.dashboard import Dashboard
from infra.monitoring.metrics import ServiceMetrics
from infra.monitoring.service_names import ServiceNames
from infra.monitoring.topics import AlarmTopic
from infra.platform import Platform
from infra.service.stack import ServiceStack


class MonitoringStack(cdk.Stack):
    """Watches the service and its data, which do not depend on it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stack_name: str,
        environment: Environment,
        platform: Platform,
        table: dynamodb.ITable,
        history: dynamodb.ITable,
        service: ServiceStack,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=stack_name,
            description=f"Business connections, {environment.name}: monitoring",
        )
        on_call = AlarmTopic(
            self,
            "OnCall",
            display_name="Business connections on call",
            emails=environment.on_call.page_emails,
            urls=environment.on_call.page_urls,
            key=key,
        )
        tickets = AlarmTopic(
            self,
            "Tickets",
            display_name="Business connections tickets",
            emails=environment.on_call.ticket_emails,
            urls=environment.on_call.ticket_urls,
            key=key,
        )
        deployment = cdk.CfnParameter(
            self,
            "DeploymentParameter",
            description="Which build was deployed, and when",
            default="by hand",
            # It becomes part of the dashboard's JSON.
            allowed_pattern="[A-Za-z0-9 :.+-]{1,256}",
        )
        deployment.override_logical_id(names.DEPLOYMENT)
        service_names = ServiceNames(
            self, "ServiceNames", service=service, environment_name=environment.name
        )
        metrics = ServiceMetrics(
            environment.name, environment.cleanup, read_name=service_names.read
        )
        functions, dead_letters = service.functions, service.schedule.dead_letters
        alarms = Alarms(
            self,
            "Alarms",
            definitions=platform.supported_alarms(
                [
                    *business_alarms(environment.alarms, metrics),
                    *cleanup_alarms(
                        environment.alarms,
                        metrics,
                        cleanup=functions["Cleanup"],
                        dead_letters=dead_letters,
                    ),
                    *function_alarms(environment.alarms, metrics, functions.answering),
                    *api_alarms(
                        environment.alarms, metrics, rest=service.rest, websocket=service.websocket
                    ),
                    *table_alarms(environment.alarms, metrics, table),
                    *(canary_alarms(metrics, environment.canary) if environment.canary else ()),
                    *(
                        feed_alarms(environment.alarms, metrics, service.feed)
                        if service.feed
                        else ()
                    ),
                ]
            ),
            planned_work=metrics.planned_work(),
            environment_name=environment.name,
            has_composites=platform.has_composite_alarms,
            pages=on_call.topic,
            tickets=tickets.topic,
        )
        dashboard = Dashboard(
            self,
            "Dashboard",
            environment_name=environment.name,
            deployed=deployment.value_as_string,
            paging_alarms=alarms.paging_alarms,
            other_alarms=alarms.other_alarms,
            runbook_sections=alarms.runbook_sections,
            runbook_url=environment.on_call.runbook_url,
            metrics=metrics,
            rest=service.rest,
            websocket=service.websocket,
            functions=(*functions.answering, functions["Cleanup"]),
            cleanup_log_group=service_names.read(functions["Cleanup"].log_group.log_group_name),
            dead_letters=dead_letters,
            table=table,
            feed=service.feed,
            history=history,
            canary=environment.canary,
        )
        cdk.CfnOutput(self, names.ON_CALL_TOPIC_ARN, value=on_call.topic.topic_arn)
        cdk.CfnOutput(self, names.TICKET_TOPIC_ARN, value=tickets.topic.topic_arn)
        alarm_names = [alarm.alarm_name for alarm in (*alarms.paging_alarms, *alarms.other_alarms)]
        cdk.CfnOutput(self, names.ALARM_NAMES, value=cdk.Fn.join(",", alarm_names))
        cdk.CfnOutput(self, names.DASHBOARD_NAME, value=dashboard.dashboard.dashboard_name)
