"""One environment of the whole system."""

from pathlib import Path

import aws_cdk as cdk
from constructs import Construct

from infra import names
from infra.configuration import Environment
from infra.data.stack import DataStack
from infra.monitoring.stack import MonitoringStack
from infra.platform import AWS, Platform
from infra.service.stack import ServiceStack


class BusinessConnectionsStage(cdk.Stage):
    """The three stacks of one environment: data, service and monitoring.

    `bundle` is the folder that becomes the code of every function (see `infra.bundle`).
    """

    def __init__(
        self,
        scope: Construct,
        *,
        environment: Environment,
        bundle: Path,
        platform: Platform = AWS,
    ) -> None:
        super().__init__(
            scope,
            environment.name,
            env=cdk.Environment(account=environment.account, region=environment.region),
        )
        cdk.Tags.of(self).add("application", "business-connections")
        cdk.Tags.of(self).add("environment", environment.name)

        def stack_name(part: str) -> str:
            return names.stack_name(environment.name, part)

        self.data = DataStack(
            self,
            "Data",
            stack_name=stack_name("Data"),
            environment=environment,
            platform=platform,
        )
        self.service = ServiceStack(
            self,
            "Service",
            stack_name=stack_name("Service"),
            environment=environment,
            platform=platform,
            bundle=bundle,
            table=self.data.table,
            history=self.data.history,
            bus=self.data.bus,
            oidc=self.data.oidc,
            user_pool_id=self.data.user_pool_id,
            key=self.data.key,
        )
        self.monitoring = MonitoringStack(
            self,
            "Monitoring",
            stack_name=stack_name("Monitoring"),
            environment=environment,
            platform=platform,
            table=self.data.table,
            history=self.data.history,
            service=self.service,
            key=self.data.key,
        )
        if environment.undeployable is not None:
            # The CDK CLI then refuses to deploy these stacks, and only these. (If cdk.json put
            # annotations into the validation report, it would refuse to synthesize anything.)
            for stack in (self.data, self.service, self.monitoring):
                cdk.Annotations.of(stack).add_error(environment.undeployable)
