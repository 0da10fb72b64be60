"""Where a deployed environment is: its AWS account, its stacks and what they say of themselves."""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.adapters.table import Table

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

LOCAL: Final = "local"

PARTS: Final = ("Data", "Service", "Monitoring")
"""The stacks of an environment, in the order in which they are deployed."""

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,15}")


class NoDeployment(Exception):
    """The environment cannot be reached from here. The text says what to do, in one line."""


def session(*, profile: str | None = None, region: str | None = None) -> boto3.Session:
    """Open a session with the credentials and the region of the shell, or those that are given.

    Raises `NoDeployment`.
    """
    try:
        # As the CDK CLI does; boto3 itself only knows AWS_DEFAULT_REGION.
        opened = boto3.Session(profile_name=profile, region_name=region)
        shell = os.environ.get("AWS_REGION")
        if region is None and shell and (profile is None or opened.region_name is None):
            opened = boto3.Session(profile_name=profile, region_name=shell)
    except BotoCoreError as error:
        raise _no_answer(error) from error
    return opened


class Deployment:
    """One environment, seen with the credentials and the region of the shell.

    `profile` and `region` stand in for those of the shell. `local` is the system that `make run`
    started, unless AWS_ENDPOINT_URL names another. Raises `NoDeployment`.
    """

    def __init__(
        self, environment: str, *, profile: str | None = None, region: str | None = None
    ) -> None:
        if not _NAME.fullmatch(environment):
            raise NoDeployment(f"{environment!r} is no environment: name one, for example dev")
        self.environment: Final = environment
        self._endpoint_url: str | None = None
        if environment == LOCAL and not os.environ.get("AWS_ENDPOINT_URL"):
            self._session = self._local_session()
            return
        self._session = session(profile=profile, region=region)

    def _local_session(self) -> boto3.Session:
        from local.system import ACCOUNT, Endpoints, NotRunning

        try:
            endpoints = Endpoints.of_running_system()
        except NotRunning as error:
            raise NoDeployment(str(error)) from error
        self._endpoint_url = endpoints.awsEndpointUrl
        # The emulator alone, whatever the machine's AWS settings are.
        return boto3.Session(
            aws_access_key_id=ACCOUNT, aws_secret_access_key=LOCAL, region_name=endpoints.region
        )

    def client(self, service: str, *, connections: int = 10) -> Any:
        """A client for one AWS service. A tool is in no hurry: it tries for a while."""
        config = Config(
            connect_timeout=3,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 5},
            max_pool_connections=connections,
        )
        session: Any = self._session
        try:
            return session.client(service, endpoint_url=self._endpoint_url, config=config)
        except BotoCoreError as error:
            raise _no_answer(error) from error

    def stack(self, part: str) -> str:
        """The name of one of its stacks."""
        return f"BusinessConnections-{self.environment}-{part}"

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """What its stacks say of themselves, by name. Raises `NoDeployment`."""
        return {name: value for part in PARTS for name, value in self.outputs_of(part).items()}

    def outputs_of(self, part: str) -> Mapping[str, str]:
        """What one of its stacks says of itself. Raises `NoDeployment`."""
        stack = self.stack(part)
        cloudformation = self.client("cloudformation")
        try:
            described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                region = cloudformation.meta.region_name
                raise NoDeployment(
                    f"there is no stack {stack} in region {region} of this account: check"
                    " ENVIRONMENT, AWS_PROFILE and AWS_REGION, or deploy it first"
                ) from error
            raise NoDeployment(f"CloudFormation did not describe {stack}: {error}") from error
        except BotoCoreError as error:
            raise _no_answer(error) from error
        return {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", ())}


def _no_answer(error: BotoCoreError) -> NoDeployment:
    return NoDeployment(
        f"AWS cannot be asked ({error}): check the credentials and AWS_REGION of this shell"
    )


def open_table(environment: str, *, connections: int) -> Table:
    """The table of an environment, for up to so many calls at once. Raises `NoDeployment`."""
    deployment = Deployment(environment)
    table = deployment.outputs_of("Data").get("TableName")
    if table is None:
        raise NoDeployment(
            f"the stack {deployment.stack('Data')} has no output TableName: deploy it again"
        )
    dynamodb: DynamoDBClient = deployment.client("dynamodb", connections=connections)
    return Table(dynamodb, table)
