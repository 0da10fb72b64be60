"""The KMS key of an environment that uses a customer-managed key."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.retention import removal_policy
from infra.security import acknowledge


class EncryptionKey(Construct):
    """One customer-managed key for the tables, the log groups, the topics, the queues, the bus and
    the credential of the canary.

    Its policy lets AWS services use it for this account's resources, as the policies of AWS-managed
    keys do. So a role that may read the table needs no further permission for the key. The CDK adds
    what the event bus needs.
    """

    def __init__(self, scope: Construct, construct_id: str, *, keep: bool) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        self.key = kms.Key(
            self,
            "Key",
            description=stack.stack_name,
            enable_key_rotation=True,
            removal_policy=removal_policy(keep=keep),
        )
        acknowledge(
            self.key,
            "CKV_AWS_33",
            "The statements for any principal apply only to callers of this account, through"
            " DynamoDB, SQS or Secrets Manager, as those of AWS-managed keys do.",
        )
        use = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"]
        account = {"kms:CallerAccount": stack.account}
        services = [
            f"{name}.{stack.region}.amazonaws.com" for name in ("dynamodb", "sqs", "secretsmanager")
        ]
        self._allow(
            "WhoeverMayUseTheTableTheQueueOrTheSecret",
            iam.AnyPrincipal(),
            [*use, "kms:DescribeKey"],
            {"StringEquals": {**account, "kms:ViaService": services}},
        )
        self._allow(
            "TheTableForItsOwnUpkeep",
            iam.AnyPrincipal(),
            ["kms:CreateGrant"],
            {
                "StringEquals": {**account, "kms:ViaService": services[0]},
                "Bool": {"kms:GrantIsForAWSResource": "true"},
            },
        )
        self._allow(
            "LogGroupsOfThisAccount",
            iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com"),
            [*use, "kms:DescribeKey"],
            {
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": stack.format_arn(
                        service="logs", resource="*"
                    )
                }
            },
        )
        self._allow(
            "AlarmsOfThisAccount",
            iam.ServicePrincipal("cloudwatch.amazonaws.com"),
            ["kms:Decrypt", "kms:GenerateDataKey*"],
            {"StringEquals": {"aws:SourceAccount": stack.account}},
        )

    def _allow(
        self,
        sid: str,
        principal: iam.IPrincipal,
        actions: list[str],
        conditions: dict[str, dict[str, object]],
    ) -> None:
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                principals=[principal],
                actions=actions,
                resources=["*"],
                conditions=conditions,
            )
        )
