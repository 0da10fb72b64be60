"""Access logs of the two APIs: who called what, and how it ended. Never a token, never a query."""

import json
from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.environments import Environment
from infra.security import AWS_OWNED_KEY, acknowledge


class AccessLogs(Construct):
    """Lets API Gateway write logs, and makes the log groups that it writes to.

    The permission is one setting per account and region. Each deployment sets it to a role of its
    own, which works for every API there; so the role stays when the stack goes.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._environment = environment
        self._key = key
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name(
                    "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
                )
            ],
        )
        acknowledge(
            role,
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy"
            "/service-role/AmazonAPIGatewayPushToCloudWatchLogs]",
            "API Gateway accepts a logging role for an account only if it may do what this policy"
            " says; it is AWS's own for the purpose.",
        )
        role.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        self.account = apigateway.CfnAccount(self, "Account", cloud_watch_role_arn=role.role_arn)
        self.account.apply_removal_policy(cdk.RemovalPolicy.RETAIN)

    def add_log_group(self, scope: Construct) -> logs.LogGroup:
        """Make the log group of one API below `scope`."""
        log_group = logs.LogGroup(
            scope,
            "AccessLogs",
            retention=self._environment.log_retention,
            encryption_key=self._key,
            removal_policy=(
                cdk.RemovalPolicy.RETAIN
                if self._environment.keep_data
                else cdk.RemovalPolicy.DESTROY
            ),
        )
        if self._key is None:
            acknowledge(log_group, "CKV_AWS_158", AWS_OWNED_KEY)
        return log_group


def access_log_format(fields: Mapping[str, str]) -> apigateway.AccessLogFormat:
    """Make a format of one JSON object per request, from names and context variables.

    API Gateway does not promise to escape values, so log nothing that a client writes: use the
    resource instead of the path, and the authorizer's principal (percent-encoded) instead of the
    user id.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
    """
    return apigateway.AccessLogFormat.custom(json.dumps(dict(fields)))
