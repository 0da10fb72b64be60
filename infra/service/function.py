"""How every Lambda function of this service is made."""

from collections.abc import Mapping
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.environments import Environment
from infra.security import AWS_OWNED_KEY, acknowledge

LIVE: Final = "live"
"""The alias of every function."""


class ServiceFunction(Construct):
    """A function with a role and a log group of its own. The role allows what `allow` is told.

    Every deployment publishes its code as a version. `live` is the version that answers: whoever
    invokes the function does so by this alias.
    """

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
        concurrency: int | None,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            retention=environment.log_retention,
            encryption_key=key,
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
            reserved_concurrent_executions=concurrency,
            role=self.role,
            log_group=self.log_group,
            tracing=lambda_.Tracing.ACTIVE,
            environment={
                "ENVIRONMENT": environment.name,
                "POWERTOOLS_LOG_LEVEL": environment.log_level,
                **variables,
            },
        )
        if key is None:
            acknowledge(self.log_group, "CKV_AWS_158", AWS_OWNED_KEY)
        acknowledge(
            self.function,
            "CKV_AWS_117",
            "It calls AWS services and the issuer alone, over TLS: a VPC has nothing for it.",
        )
        acknowledge(
            self.function,
            "CKV_AWS_173",
            "Its variables are names and settings, no secrets; Lambda encrypts them with its own"
            " key.",
        )
        if concurrency is None:
            acknowledge(
                self.function,
                "CKV_AWS_115",
                "This environment sets none of its account's capacity aside for it.",
            )
        acknowledge(
            self.role,
            "AwsSolutions-IAM5[Resource::*]",
            "The two actions of X-Ray know no resources; nothing else is allowed on all.",
        )
        self.allow("logs:CreateLogStream", "logs:PutLogEvents", on=[self.log_group.log_group_arn])
        self.live = lambda_.Alias(
            self,
            "Live",
            alias_name=LIVE,
            # A version goes with the deployment that replaces it, when that is complete: one that
            # stayed after a rollback would stand in the way of publishing the same code again.
            version=self.function.current_version,
        )

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
