"""How every dead-letter queue of the service is made."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.security import AWS_OWNED_KEY, acknowledge


def dead_letter_queue(scope: Construct, *, key: kms.IKey | None) -> sqs.Queue:
    """Make a queue for people to read. It keeps messages for 14 days, the longest that SQS does."""
    queue = sqs.Queue(
        scope,
        "DeadLetters",
        encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
        encryption_master_key=key,
        enforce_ssl=True,
        retention_period=cdk.Duration.days(14),
    )
    for rule in ("AwsSolutions-SQS3", "Serverless-SQSRedrivePolicy"):
        acknowledge(queue, rule, "It is a dead-letter queue itself, and people read it.")
    if key is None:
        # The check only looks for a KMS key, and ignores SqsManagedSseEnabled.
        acknowledge(queue, "CKV_AWS_27", AWS_OWNED_KEY)
    return queue
