"""How every log group of the service is made."""

from dataclasses import dataclass

from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.retention import removal_policy
from infra.security import AWS_OWNED_KEY, acknowledge


@dataclass(frozen=True)
class LogGroups:
    """Makes log groups with one retention and one key. With `keep`, they outlive their stack."""

    retention: int
    """Days."""
    keep: bool
    key: kms.IKey | None

    def add(self, scope: Construct, construct_id: str) -> logs.LogGroup:
        """Make one log group."""
        log_group = logs.LogGroup(
            scope,
            construct_id,
            retention=logs.RetentionDays.INFINITE,  # replaced below by a number of days
            encryption_key=self.key,
            removal_policy=removal_policy(keep=self.keep),
        )
        cfn_log_group = log_group.node.default_child
        assert isinstance(cfn_log_group, logs.CfnLogGroup)  # noqa: S101 - narrows the type
        cfn_log_group.retention_in_days = self.retention
        if self.key is None:
            acknowledge(log_group, "CKV_AWS_158", AWS_OWNED_KEY)
        return log_group
