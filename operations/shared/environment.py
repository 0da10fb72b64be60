"""An environment as deployed: its AWS account, its stacks, their outputs and its table."""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.adapters.table import Table
from operations.shared.assembly import Build
from operations.shared.exit_codes import CannotBegin, Refused
from operations.shared.local_system import LocalSystem

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from infra.configuration import Environment

LOCAL: Final = "local"

PARTS: Final = ("Data", "Service", "Monitoring")
"""The stacks of an environment, in the order in which they are deployed."""

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,15}")


def configured_environments() -> Mapping[str, "Environment"]:
    """Return the environments of infra/environments.py by name, in the order of promotion."""
    # Imported here because it starts the engine of the CDK, which takes a second.
    from infra.environments import all_environments

    return {each.name: each for each in all_environments()}


def no_such_environment(name: str) -> CannotBegin:
    """Say that an environment does not exist, and which ones do."""
    names = ", ".join(configured_environments())
    return CannotBegin(f"there is no environment {name!r}: infra/environments.py has {names}")


def session(*, profile: str | None = None, region: str | None = None) -> boto3.Session:
    """Open a session. What is not given comes from the shell. Raises `CannotBegin`."""
    try:
        # The CDK CLI reads AWS_REGION; boto3 itself reads AWS_DEFAULT_REGION alone.
        opened = boto3.Session(profile_name=profile, region_name=region)
        shell = os.environ.get("AWS_REGION")
        if region is None and shell and (profile is None or opened.region_name is None):
            opened = boto3.Session(profile_name=profile, region_name=shell)
    except BotoCoreError as error:
        raise _no_answer(error) from error
    return opened


def refuse_local_system(environment: str) -> None:
    """Raise `Refused` for a local environment, unless AWS_ENDPOINT_URL names an emulator.

    The CDK CLI would deploy it to the AWS account of the shell.
    """
    if _is_local(environment) and not os.environ.get("AWS_ENDPOINT_URL"):
        raise Refused(
            f"only `make run` deploys {environment}, to the emulator that it starts: stop it and"
            " start it again to try a change"
        )


def _is_local(environment: str) -> bool:
    """Return whether it is an environment of the emulator: `local`, or `local-next` of a build."""
    return environment == LOCAL or environment.startswith(f"{LOCAL}-")


class DeployedEnvironment:
    """One environment, seen with the credentials and the region of the shell.

    `profile` and `region` replace those of the shell. `local` is the system that is given, or else
    the one that `make run` started, unless AWS_ENDPOINT_URL names another emulator. Raises
    `CannotBegin`.
    """

    def __init__(
        self,
        name: str,
        *,
        profile: str | None = None,
        region: str | None = None,
        system: LocalSystem | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise no_such_environment(name)
        self.name: Final = name
        self._endpoint_url: str | None = None
        self._session: Any
        if system is None and name == LOCAL and not os.environ.get("AWS_ENDPOINT_URL"):
            system = LocalSystem.running()
        if system is not None:
            self._session, self._endpoint_url = system.session(), system.awsEndpointUrl
        else:
            self._session = session(profile=profile, region=region)

    @classmethod
    def of_build(cls, build: Build, name: str, *, profile: str | None = None) -> Self:
        """Open an environment in the account and region that the build names.

        Raises `CannotBegin`, also if the credentials are for another account.
        """
        data = build.assembly.stacks(name)[0]
        environment = cls(name, profile=profile, region=data.region)
        if data.account is not None:
            account = environment.client("sts").get_caller_identity()["Account"]
            if account != data.account:
                raise CannotBegin(
                    f"{name} is in account {data.account}, but these credentials are for"
                    f" {account}: check AWS_PROFILE, or the profile given for {name}"
                )
        return environment

    def client(self, service: str, *, connections: int = 10) -> Any:
        """Return a client for one AWS service, for up to so many calls at once."""
        config = Config(
            connect_timeout=3,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 5},
            max_pool_connections=connections,
        )
        try:
            return self._session.client(service, endpoint_url=self._endpoint_url, config=config)
        except BotoCoreError as error:
            self.require_configured()
            raise _no_answer(error) from error

    @property
    def region(self) -> str:
        """The AWS region that it is looked for in. Raises `CannotBegin`."""
        region: str = self.client("cloudformation").meta.region_name
        return region

    def stack(self, part: str) -> str:
        """Return the name of one of its stacks."""
        return f"BusinessConnections-{self.name}-{part}"

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of all its stacks by name. Raises `CannotBegin`."""
        return {name: value for part in PARTS for name, value in self._outputs_of(part).items()}

    def output(self, part: str, name: str) -> str:
        """Return one output of one of its stacks. Raises `CannotBegin`."""
        outputs = self._outputs_of(part)
        if name not in outputs:
            raise CannotBegin(f"the stack {self.stack(part)} has no output {name}: deploy it again")
        return outputs[name]

    @property
    def table_name(self) -> str:
        """The name of its table. Raises `CannotBegin`."""
        return self.output("Data", "TableName")

    def table(self, *, connections: int) -> Table:
        """Open its table, for up to so many calls at once. Raises `CannotBegin`."""
        dynamodb: DynamoDBClient = self.client("dynamodb", connections=connections)
        return Table(dynamodb, self.table_name)

    def require_configured(self) -> None:
        """Raise `CannotBegin` if there is no such environment.

        Called only when AWS does not show it, so that an environment that was removed from
        infra/environments.py can still be rolled back.
        """
        if not _is_local(self.name) and self.name not in configured_environments():
            raise no_such_environment(self.name)

    def _outputs_of(self, part: str) -> Mapping[str, str]:
        stack = self.stack(part)
        cloudformation = self.client("cloudformation")
        try:
            described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            self.require_configured()
            if error.response["Error"]["Code"] == "ValidationError":
                region = cloudformation.meta.region_name
                raise CannotBegin(
                    f"there is no stack {stack} in region {region} of this account: check"
                    " ENVIRONMENT, AWS_PROFILE and AWS_REGION, or deploy it first"
                ) from error
            raise CannotBegin(f"CloudFormation did not describe {stack}: {error}") from error
        except BotoCoreError as error:
            self.require_configured()
            raise _no_answer(error) from error
        return {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", ())}


def _no_answer(error: BotoCoreError) -> CannotBegin:
    return CannotBegin(
        f"AWS cannot be asked ({error}): check the credentials and AWS_REGION of this shell"
    )
