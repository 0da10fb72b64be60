"""How every Lambda function of this service is made."""

from collections.abc import Mapping, Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.security import acknowledge
from infra.service.log_groups import LogGroups

LIVE: Final = "live"
"""The alias of every function."""


class ServiceFunction(Construct):
    """A function with its own role and log group. The role has the permissions given to `allow`.

    Every deployment publishes its code as a version. `live` is the version that answers: whoever
    invokes the function does so by this alias.

    Its log has what the code writes, and what Lambda reports of calls that went wrong: a time-out,
    a lack of memory, a failed start. With `log_each_call`, Lambda reports every call, with its
    duration and memory. `traced` sends traces to X-Ray.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        log_groups: LogGroups,
        code: lambda_.Code,
        handler: str,
        variables: Mapping[str, str],
        memory_mb: int,
        timeout: cdk.Duration,
        concurrency: int | None,
        snap_start: bool,
        log_each_call: bool,
        traced: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        self.log_group = log_groups.add(self, "Logs")
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
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
            # Lambda takes metrics (EMF) for lines of level INFO, so a higher level would drop them.
            # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
            system_log_level_v2=(
                lambda_.SystemLogLevel.INFO if log_each_call else lambda_.SystemLogLevel.WARN
            ),
            tracing=lambda_.Tracing.ACTIVE if traced else lambda_.Tracing.DISABLED,
            environment=dict(variables),
        )
        if not traced:
            self._pass_traces_through()
        acknowledge(
            self.function,
            "CKV_AWS_117",
            "It only calls AWS services and the issuer, over TLS. A VPC would add nothing.",
        )
        acknowledge(
            self.function,
            "CKV_AWS_173",
            "Its variables are names and settings, not secrets, and Lambda encrypts them with its"
            " own key.",
        )
        if concurrency is None:
            acknowledge(
                self.function,
                "CKV_AWS_115",
                "This environment reserves no capacity for it.",
            )
        acknowledge(
            self.role,
            "AwsSolutions-IAM5[Resource::*]",
            "X-Ray's two actions, and the ListStreams of a function that reads a stream, support no"
            " resource-level permissions; nothing else is allowed on all resources.",
        )
        self.allow("logs:CreateLogStream", "logs:PutLogEvents", on=[self.log_group.log_group_arn])
        self.live = lambda_.Alias(
            self,
            "Live",
            alias_name=LIVE,
            # CloudFormation removes the old version at the end of a deployment. A version that was
            # kept would make it impossible to publish the same code again after a rollback.
            version=self.function.current_version,
        )

    def _pass_traces_through(self) -> None:
        """Record nothing. Say so in the template: a property that is only removed may stay as it
        was. The CDK's own `PASS_THROUGH` would allow the role to write traces.
        """
        resource = self.function.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)  # noqa: S101 - narrows the type
        resource.tracing_config = lambda_.CfnFunction.TracingConfigProperty(mode="PassThrough")
        acknowledge(
            self.function,
            "Serverless-LambdaTracing",
            "Each call would be a trace, and the metrics of the function show the same.",
        )

    def allow(self, *actions: str, on: list[str]) -> None:
        """Allow exactly these actions on exactly these resources (ARNs)."""
        self.role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=on))

    def allow_items(self, *operations: str, table: dynamodb.ITable, keys: Sequence[str]) -> None:
        """Allow operations on those items of a table whose partition keys match one of `keys`.

        A key may end in `*`. The operations are those of single items, also as parts of a
        transaction, and `Query`. A `Scan` names no key, so it cannot be allowed here.
        """
        leading_keys = "dynamodb:LeadingKeys"
        self.role.add_to_policy(
            iam.PolicyStatement(
                actions=[f"dynamodb:{operation}" for operation in operations],
                resources=[table.table_arn],
                conditions={
                    # DynamoDB asks for this operator. It is also true for a request without keys,
                    # which `Null` refuses.
                    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
                    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
                    "ForAllValues:StringLike": {leading_keys: list(keys)},
                    "Null": {leading_keys: "false"},
                },
            )
        )
