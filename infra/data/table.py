"""The tables that hold all data of this service."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.configuration import TableThroughput
from infra.security import AWS_OWNED_KEY, acknowledge
from lambdas import table_schema


class ConnectionsTable(Construct):
    """One item collection per business: its settings, its real and its virtual connections.

    `key` encrypts it; without one, a key owned by AWS does. With `keep`, the table is protected
    against deletion and outlives its stack. `throughput` limits the table and each index.

    Its stream names the items that changed. The change feed reads it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        keep: bool,
        key: kms.IKey | None,
        throughput: TableThroughput | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.table = _table(
            self,
            stream=dynamodb.StreamViewType.KEYS_ONLY,
            keep=keep,
            key=key,
            throughput=throughput,
        )
        max_read = throughput.read if throughput else None
        max_write = throughput.write if throughput else None
        self.table.add_global_secondary_index(
            index_name=table_schema.CONNECTION_INDEX,
            partition_key=_string(table_schema.CONNECTION_ID),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
            max_read_request_units=max_read,
            max_write_request_units=max_write,
        )
        self.table.add_global_secondary_index(
            index_name=table_schema.ATTENTION_INDEX,
            partition_key=_string(table_schema.ATTENTION),
            sort_key=dynamodb.Attribute(
                name=table_schema.ATTENTION_SINCE, type=dynamodb.AttributeType.NUMBER
            ),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
            max_read_request_units=max_read,
            max_write_request_units=max_write,
        )


class HistoryTable(Construct):
    """The recorded transitions of each business, one item each. Its stream carries whole items.

    The parameters are those of `ConnectionsTable`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        keep: bool,
        key: kms.IKey | None,
        throughput: TableThroughput | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.table = _table(
            self,
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            keep=keep,
            key=key,
            throughput=throughput,
        )


def _table(
    scope: Construct,
    *,
    stream: dynamodb.StreamViewType,
    keep: bool,
    key: kms.IKey | None,
    throughput: TableThroughput | None,
) -> dynamodb.Table:
    """Make a table without indexes. Another `stream` later would replace the stream."""
    table = dynamodb.Table(
        scope,
        "Table",
        partition_key=_string(table_schema.PARTITION_KEY),
        sort_key=_string(table_schema.SORT_KEY),
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        max_read_request_units=throughput.read if throughput else None,
        max_write_request_units=throughput.write if throughput else None,
        time_to_live_attribute=table_schema.TTL,
        stream=stream,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        encryption=(
            dynamodb.TableEncryption.CUSTOMER_MANAGED if key else dynamodb.TableEncryption.DEFAULT
        ),
        encryption_key=key,
        deletion_protection=keep,
        removal_policy=cdk.RemovalPolicy.RETAIN if keep else cdk.RemovalPolicy.DESTROY,
    )
    if key is None:
        acknowledge(table, "CKV_AWS_119", AWS_OWNED_KEY)
    return table


def _string(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
