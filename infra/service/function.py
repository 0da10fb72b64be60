"""How every Lambda function of this service is made."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.environments import Environment


class ServiceFunction(Construct):
    """A function with a role and a log group of its own. The role allows what `allow` is told."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        code: lambda_.Code,
        handler: str,
        variables: Mapping[str, str],
        memory_mb: int,
        timeout: cdk.Duration,
    ) -> None:
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=environment.log_retention,
            removal_policy=(
                cdk.RemovalPolicy.RETAIN if environment.keep_data else cdk.RemovalPolicy.DESTROY
            ),
        )
        # Not the managed policy AWSLambdaBasicExecutionRole: it allows writing to every log group.
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.function = lambda_.Function(
            self,
            "Function",
            code=code,
            handler=handler,
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=memory_mb,
            timeout=timeout,
            role=self.role,
            log_group=log_group,
            tracing=lambda_.Tracing.ACTIVE,
            environment={
                "ENVIRONMENT": environment.name,
                "POWERTOOLS_LOG_LEVEL": environment.log_level,
                **variables,
            },
        )
        self.allow("logs:CreateLogStream", "logs:PutLogEvents", on=[log_group.log_group_arn])

    def allow(
        self,
        *actions: str,
        on: list[str],
        conditions: Mapping[str, Mapping[str, list[str]]] | None = None,
    ) -> None:
        """Allow exactly these actions on exactly these resources (ARNs)."""
        self.role.add_to_policy(
            iam.PolicyStatement(actions=list(actions), resources=on, conditions=conditions)
        )
