"""The tables for tests."""

import os
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import boto3

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


def dynamodb_local_client() -> "DynamoDBClient":
    """A client of the DynamoDB Local, AWS's own engine, that `DYNAMODB_LOCAL_URL` names."""
    return boto3.client(
        "dynamodb",
        endpoint_url=os.environ["DYNAMODB_LOCAL_URL"],
        region_name="us-east-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="test",
    )


def create_table(client: "DynamoDBClient") -> str:
    """A new, empty table like the one of the businesses that `infra/data` deploys."""
    return _create(
        client,
        {CONNECTION_ID: "S", ATTENTION: "S", ATTENTION_SINCE: "N"},
        {CONNECTION_INDEX: (CONNECTION_ID,), ATTENTION_INDEX: (ATTENTION, ATTENTION_SINCE)},
    )


def create_history_table(client: "DynamoDBClient") -> str:
    """A new, empty table for the history."""
    return _create(client, {}, {}, prefix="history")


def _create(
    client: "DynamoDBClient",
    attributes: Mapping[str, Literal["S", "N"]],
    indexes: Mapping[str, Sequence[str]],
    *,
    prefix: str = "test",
) -> str:
    name = f"{prefix}-{uuid.uuid4().hex}"
    types: Mapping[str, Literal["S", "N"]] = {PARTITION_KEY: "S", SORT_KEY: "S", **attributes}
    more: Any = {"GlobalSecondaryIndexes": []} if indexes else {}
    for index, keys in indexes.items():
        more["GlobalSecondaryIndexes"].append(
            {
                "IndexName": index,
                "KeySchema": _key_schema(keys),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        )
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=_key_schema((PARTITION_KEY, SORT_KEY)),
        AttributeDefinitions=[
            {"AttributeName": each, "AttributeType": kind} for each, kind in types.items()
        ],
        **more,
    )
    return name


def _key_schema(names: Sequence[str]) -> Any:
    kinds = ("HASH", "RANGE")
    return [
        {"AttributeName": each, "KeyType": kind} for each, kind in zip(names, kinds, strict=False)
    ]
