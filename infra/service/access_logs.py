"""Access logs of the two APIs: who called what, and the outcome. Never a token or a query."""

import json
from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.security import acknowledge
from infra.service.log_groups import LogGroups


class AccessLogs(Construct):
    """Lets API Gateway write logs, and makes the log groups that it writes to.

    The permission is one setting per account and region. Each deployment sets it to a role of its
    own, which works for every API there. So the role stays when the stack is deleted, and also when
    it could not be created: nothing sets the account back to the role that it had.
    """

    def __init__(self, scope: Construct, construct_id: str, *, log_groups: LogGroups) -> None:
        super().__init__(scope, construct_id)
        self._log_groups = log_groups
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
            "API Gateway accepts an account's logging role only if it has these permissions; AWS"
            " maintains the policy for this purpose.",
        )
        role.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        self.account = apigateway.CfnAccount(self, "Account", cloud_watch_role_arn=role.role_arn)
        self.account.apply_removal_policy(cdk.RemovalPolicy.RETAIN)

    def add_log_group(self, scope: Construct) -> logs.LogGroup:
        """Make the log group of one API below `scope`."""
        return self._log_groups.add(scope, "AccessLogs")


def access_log_format(fields: Mapping[str, str]) -> apigateway.AccessLogFormat:
    """Make a format of one JSON object per request, from names and context variables.

    API Gateway does not promise to escape values, so log nothing that a client writes: use the
    resource instead of the path, and the authorizer's principal (percent-encoded) instead of the
    user id.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
    """
    return apigateway.AccessLogFormat.custom(json.dumps(dict(fields), separators=(",", ":")))
