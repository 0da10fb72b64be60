"""What watches the service, and whom it tells."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.configuration import Environment
from infra.monitoring.alarms import Alarms
from infra.monitoring.dashboard import Dashboard
from infra.monitoring.metrics import ServiceMetrics
from infra.monitoring.topics import AlarmTopic
from infra.parameters import DEPLOYMENT
from infra.service.stack import ServiceStack


class MonitoringStack(cdk.Stack):
    """Alarms, dashboard, and the topics that they tell. The service does not know of it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stack_name: str,
        environment: Environment,
        table: dynamodb.ITable,
        service: ServiceStack,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=stack_name,
            description=f"Business connections, {environment.name}: monitoring",
        )
        # A graph must never stand in the way of a deployment: with a strong reference, the service
        # could not replace a function for as long as this stack shows the old one.
        cdk.CrossStackReferences.of(self).consume(cdk.ReferenceStrength.WEAK)

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
            description="Which build this is, and when it was deployed",
            default="by hand",
            # It is inserted into the dashboard's JSON.
            allowed_pattern="[A-Za-z0-9 :.+-]*",
        )
        deployment.override_logical_id(DEPLOYMENT)
        metrics = ServiceMetrics(environment)
        functions = service.functions.by_name()
        alarms = Alarms(
            self,
            "Alarms",
            environment=environment,
            metrics=metrics,
            page=on_call.topic,
            ticket=tickets.topic,
            websocket=service.websocket,
            rest=service.rest,
            functions=functions,
            dead_letters=service.schedule.dead_letters,
            table=table,
        )
        dashboard = Dashboard(
            self,
            "Dashboard",
            environment=environment,
            deployed=deployment.value_as_string,
            metrics=metrics,
            alarms=alarms,
            websocket=service.websocket,
            rest=service.rest,
            functions=functions,
            cleanup_logs=service.functions.cleanup.log_group,
            dead_letters=service.schedule.dead_letters,
            table=table,
        )
        cdk.CfnOutput(self, "OnCallTopicArn", value=on_call.topic.topic_arn)
        cdk.CfnOutput(self, "TicketTopicArn", value=tickets.topic.topic_arn)
        cdk.CfnOutput(
            self,
            "AlarmNames",
            value=cdk.Fn.join(",", [alarm.alarm_name for alarm in alarms.all]),
        )
        cdk.CfnOutput(self, "DashboardName", value=dashboard.dashboard.dashboard_name)
