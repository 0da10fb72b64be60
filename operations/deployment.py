"""Where a deployed environment keeps its table."""

import os
import re
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.adapters.table import Table

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

LOCAL: Final = "local"

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,15}")


class NoDeployment(Exception):
    """The environment cannot be reached from here. The text says what to do, in one line."""


def open_table(environment: str, *, connections: int) -> Table:
    """The table of an environment, for up to so many calls at once.

    A deployed one is found by the outputs of its data stack, with the credentials and the region of
    the shell; `local` is the system that `make run` started. Raises `NoDeployment`.
    """
    if not _NAME.fullmatch(environment):
        raise NoDeployment(f"{environment!r} is no environment: name one, for example dev")
    # Long enough for a table that is busy growing: a tool is in no hurry.
    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=connections,
    )
    return _local_table(config) if environment == LOCAL else _deployed_table(environment, config)


def _deployed_table(environment: str, config: Config) -> Table:
    stack = f"BusinessConnections-{environment}-Data"
    try:
        # As the CDK CLI does; boto3 itself knows AWS_DEFAULT_REGION alone.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        cloudformation = session.client("cloudformation", config=config)
        where = f"region {cloudformation.meta.region_name} of this account"
        described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        dynamodb: DynamoDBClient = session.client("dynamodb", config=config)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            raise NoDeployment(
                f"there is no stack {stack} in {where}: check ENVIRONMENT, AWS_PROFILE and"
                f" AWS_REGION, or deploy it with `make deploy ENVIRONMENT={environment}`"
            ) from error
        raise NoDeployment(f"CloudFormation did not describe {stack}: {error}") from error
    except BotoCoreError as error:
        raise NoDeployment(
            f"AWS cannot be asked ({error}): check the credentials and AWS_REGION of this shell"
        ) from error
    outputs: list[Any] = list(described.get("Outputs", ()))
    for output in outputs:
        if output["OutputKey"] == "TableName":
            return Table(dynamodb, output["OutputValue"])
    raise NoDeployment(f"the stack {stack} has no output TableName: deploy it again")


def _local_table(config: Config) -> Table:
    from local.system import ACCOUNT, Endpoints, NotRunning

    try:
        endpoints = Endpoints.of_running_system()
    except NotRunning as error:
        raise NoDeployment(str(error)) from error
    # The emulator alone, whatever the machine's AWS settings are.
    session = boto3.Session(
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key=LOCAL,
        region_name=endpoints.region,
    )
    dynamodb: DynamoDBClient = session.client(
        "dynamodb", endpoint_url=endpoints.awsEndpointUrl, config=config
    )
    return Table(dynamodb, endpoints.tableName)
