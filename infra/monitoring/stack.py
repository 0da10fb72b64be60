"""What watches the service, and whom it tells."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.environments import Environment
from infra.monitoring.alarms import Alarms
from infra.monitoring.dashboard import Dashboard
from infra.monitoring.metrics import ServiceMetrics
from infra.monitoring.on_call import OnCallTopic
from infra.service.stack import ServiceStack


class MonitoringStack(cdk.Stack):
    """Alarms, dashboard and the on-call topic. The service does not know of it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stack_name: str,
        environment: Environment,
        table: dynamodb.ITable,
        service: ServiceStack,
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

        on_call = OnCallTopic(self, "OnCall", emails=environment.on_call_emails)
        metrics = ServiceMetrics(environment)
        alarms = Alarms(
            self, "Alarms", environment=environment, metrics=metrics, on_call=on_call.topic
        )
        dashboard = Dashboard(
            self,
            "Dashboard",
            metrics=metrics,
            alarms=alarms.all,
            websocket=service.websocket,
            rest=service.rest,
            functions=service.functions.by_name(),
            dead_letters=service.schedule.dead_letters,
            table=table,
        )
        cdk.CfnOutput(self, "OnCallTopicArn", value=on_call.topic.topic_arn)
        cdk.CfnOutput(
            self,
            "AlarmNames",
            value=cdk.Fn.join(",", [alarm.alarm_name for alarm in alarms.all]),
        )
        cdk.CfnOutput(self, "DashboardName", value=dashboard.dashboard.dashboard_name)
