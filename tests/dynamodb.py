"""The tables for tests."""

import uuid
from typing import TYPE_CHECKING

from lambdas.table_schema import (
    ATTENTION,
    ATTENTION_INDEX,
    ATTENTION_SINCE,
    CONNECTION_ID,
    CONNECTION_INDEX,
    PARTITION_KEY,
    SORT_KEY,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


def create_table(client: "DynamoDBClient") -> str:
    """A new, empty table like the one that `infra/data` deploys."""
    name = f"test-{uuid.uuid4().hex}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": PARTITION_KEY, "KeyType": "HASH"},
            {"AttributeName": SORT_KEY, "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": PARTITION_KEY, "AttributeType": "S"},
            {"AttributeName": SORT_KEY, "AttributeType": "S"},
            {"AttributeName": CONNECTION_ID, "AttributeType": "S"},
            {"AttributeName": ATTENTION, "AttributeType": "S"},
            {"AttributeName": ATTENTION_SINCE, "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": CONNECTION_INDEX,
                "KeySchema": [{"AttributeName": CONNECTION_ID, "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
            {
                "IndexName": ATTENTION_INDEX,
                "KeySchema": [
                    {"AttributeName": ATTENTION, "KeyType": "HASH"},
                    {"AttributeName": ATTENTION_SINCE, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
        ],
    )
    return name


def create_history_table(client: "DynamoDBClient") -> str:
    """A new, empty table for the history."""
    name = f"history-{uuid.uuid4().hex}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": PARTITION_KEY, "KeyType": "HASH"},
            {"AttributeName": SORT_KEY, "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": PARTITION_KEY, "AttributeType": "S"},
            {"AttributeName": SORT_KEY, "AttributeType": "S"},
        ],
    )
    return name
