"""The role of a schedule."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct


def schedule_role(
    scope: Construct, *, function: lambda_.IFunction, dead_letters: sqs.IQueue | None = None
) -> iam.Role:
    """Make the role of schedules that invoke a function. The CDK's own role could invoke any
    version of it.

    A rate schedule invokes its target as soon as it exists, so it must depend on this role.
    """
    stack = cdk.Stack.of(scope)
    role = iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal(
            "scheduler.amazonaws.com",
            conditions={
                "StringEquals": {
                    "aws:SourceAccount": stack.account,
                    "aws:SourceArn": stack.format_arn(
                        service="scheduler", resource="schedule-group", resource_name="default"
                    ),
                }
            },
        ),
    )
    allowed = {"lambda:InvokeFunction": function.function_arn}
    if dead_letters is not None:
        allowed["sqs:SendMessage"] = dead_letters.queue_arn
    for action, resource in allowed.items():
        role.add_to_policy(iam.PolicyStatement(actions=[action], resources=[resource]))
    return role
