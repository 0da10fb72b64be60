"""The tables that hold all data of this service."""

from typing import ClassVar

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.configuration import TableThroughput
from infra.retention import removal_policy
from infra.security import AWS_OWNED_KEY, acknowledge
from lambdas import table_schema


class _Table(Construct):
    """A table of item collections, one for each business.

    `key` encrypts it; without one, a key owned by AWS does. With `keep`, the table is protected
    against deletion and outlives its stack. `throughput` limits the table and each index.
    """

    stream: ClassVar[dynamodb.StreamViewType]
    """What its stream says of each change. Another one later would replace the stream."""

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
        self._max_read = throughput.read if throughput else None
        self._max_write = throughput.write if throughput else None
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=_string(table_schema.PARTITION_KEY),
            sort_key=_string(table_schema.SORT_KEY),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            max_read_request_units=self._max_read,
            max_write_request_units=self._max_write,
            time_to_live_attribute=table_schema.TTL,
            stream=self.stream,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            encryption=(
                dynamodb.TableEncryption.CUSTOMER_MANAGED
                if key
                else dynamodb.TableEncryption.DEFAULT
            ),
            encryption_key=key,
            deletion_protection=keep,
            removal_policy=removal_policy(keep=keep),
        )
        if key is None:
            acknowledge(self.table, "CKV_AWS_119", AWS_OWNED_KEY)
        self._add_indexes()

    def _add_indexes(self) -> None:
        """Add the indexes that this table has."""

    def _add_index(
        self, name: str, partition_key: str, sort_key: dynamodb.Attribute | None = None
    ) -> None:
        self.table.add_global_secondary_index(
            index_name=name,
            partition_key=_string(partition_key),
            sort_key=sort_key,
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
            max_read_request_units=self._max_read,
            max_write_request_units=self._max_write,
        )


class ConnectionsTable(_Table):
    """The settings of each business, its real and its virtual connections, and its last transition.
    Its stream names the items that changed.
    """

    stream = dynamodb.StreamViewType.KEYS_ONLY

    def _add_indexes(self) -> None:
        self._add_index(table_schema.CONNECTION_INDEX, table_schema.CONNECTION_ID)
        since = dynamodb.Attribute(
            name=table_schema.ATTENTION_SINCE, type=dynamodb.AttributeType.NUMBER
        )
        self._add_index(table_schema.ATTENTION_INDEX, table_schema.ATTENTION, since)


class HistoryTable(_Table):
    """The recorded transitions of each business, one item each. Its stream carries whole items."""

    stream = dynamodb.StreamViewType.NEW_IMAGE


def _string(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
