"""An environment as deployed: its AWS account, its stacks, their outputs and its table."""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra import names
from infra.configuration import Environment
from infra.environments import all_environments
from lambdas.adapters.table import Table
from operations.shared.local_system import LocalSystem
from operations.shared.verbs import CannotBegin, Refused

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

LOCAL: Final = "local"

PARTS: Final = ("Data", "Service", "Monitoring")
"""The stacks of an environment, in the order in which they are deployed."""

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,15}")


def configured_environments() -> Mapping[str, Environment]:
    """The environments of infra/environments.py by name, in the order of promotion."""
    return {each.name: each for each in all_environments()}


def error_code(error: ClientError) -> str:
    """The code by which AWS names an error."""
    return str(error.response["Error"]["Code"])


def refuse_local_system(name: str) -> None:
    """Raise `Refused` for `local`: the CDK CLI would deploy it to the account of the shell."""
    if name == LOCAL:
        raise Refused(
            f"only `make run` deploys {name}, to the emulator that it starts: stop it and start it"
            " again to try a change"
        )


def configured_environment(name: str) -> Environment:
    """An environment of infra/environments.py that is on AWS.

    Raises `CannotBegin` if there is none of this name, and `Refused` for the local one.
    """
    refuse_local_system(name)
    environment = configured_environments().get(name)
    if environment is None:
        raise _no_such_environment(name)
    return environment


def require_deployable(name: str) -> None:
    """Raise `CannotBegin` or `Refused` unless this environment can be deployed to."""
    undeployable = configured_environment(name).undeployable
    if undeployable is not None:
        raise CannotBegin(undeployable)


def _no_such_environment(name: str) -> CannotBegin:
    names = ", ".join(configured_environments())
    return CannotBegin(f"there is no environment {name!r}: infra/environments.py has {names}")


class DeployedEnvironment:
    """One environment, in its account and region.

    infra/environments.py decides where it is. What is not set there comes from the profile, or
    else from the credentials and the region of the shell. `local` is the system that is given, or
    else the one that `make run` started.

    Raises `CannotBegin`, also if AWS_REGION or the credentials contradict infra/environments.py or
    the profile.
    """

    def __init__(
        self, name: str, *, profile: str | None = None, system: LocalSystem | None = None
    ) -> None:
        if not _NAME.fullmatch(name):
            raise _no_such_environment(name)
        self.name: Final = name
        self._endpoint_url: str | None = None
        self._session: Any
        if name == LOCAL and system is None and not os.environ.get("AWS_ENDPOINT_URL"):
            system = LocalSystem.running()
        if system is not None:
            self._session, self._endpoint_url = system.emulator.session(), system.awsEndpointUrl
            return
        # An environment that was removed from infra/environments.py can still be rolled back.
        configured = None if name == LOCAL else configured_environments().get(name)
        self._session = _session(name, profile, configured.region if configured else None)
        account = configured.account if configured else None
        if account is not None and account != self.account:
            raise CannotBegin(
                f"{name} is in account {account} (infra/environments.py), but these"
                f" credentials are for {self.account}: check AWS_PROFILE, or the profile given for"
                f" {name}"
            )

    def client(self, service: str, *, connections: int = 10) -> Any:
        """A client for one AWS service, for up to so many calls at once."""
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

    @cached_property
    def caller(self) -> Mapping[str, str]:
        """Whose credentials these are: `Account` and `Arn`. Raises `CannotBegin`."""
        try:
            identity: Mapping[str, str] = self.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as error:
            self.require_configured()
            raise CannotBegin(
                f"AWS does not accept the credentials for {self.name}: {error}"
            ) from error
        return identity

    @property
    def account(self) -> str:
        """The AWS account. Raises `CannotBegin`."""
        return self.caller["Account"]

    @property
    def region(self) -> str:
        """The AWS region. Raises `CannotBegin`."""
        region: str = self.client("cloudformation").meta.region_name
        return region

    def stack(self, part: str) -> str:
        """The name of one of its stacks."""
        return names.stack_name(self.name, part)

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of all its stacks by name. Raises `CannotBegin`."""
        return {name: value for part in PARTS for name, value in self._outputs_of(part).items()}

    def output(self, part: str, name: str) -> str:
        """One output of one of its stacks. Raises `CannotBegin`."""
        outputs = self._outputs_of(part)
        if name not in outputs:
            raise CannotBegin(f"the stack {self.stack(part)} has no output {name}: deploy it again")
        return outputs[name]

    @property
    def table_name(self) -> str:
        """The name of its table. Raises `CannotBegin`."""
        return self.output("Data", names.TABLE_NAME)

    def table(self, *, connections: int) -> Table:
        """Open its table, for up to so many calls at once. Raises `CannotBegin`."""
        dynamodb: DynamoDBClient = self.client("dynamodb", connections=connections)
        return Table(dynamodb, self.table_name)

    def require_configured(self) -> None:
        """Raise `CannotBegin` if there is no such environment.

        Called only when AWS does not show it, so that an environment that was removed from
        infra/environments.py can still be rolled back.
        """
        if self.name != LOCAL and self.name not in configured_environments():
            raise _no_such_environment(self.name)

    def _outputs_of(self, part: str) -> Mapping[str, str]:
        stack = self.stack(part)
        cloudformation = self.client("cloudformation")
        try:
            described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            self.require_configured()
            if error_code(error) == "ValidationError":
                region = cloudformation.meta.region_name
                raise CannotBegin(
                    f"there is no stack {stack} in region {region} of account {self.account}: check"
                    " ENVIRONMENT, the profile and AWS_REGION, or deploy it first"
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


def _session(name: str, profile: str | None, region: str | None) -> boto3.Session:
    """Open a session in the region of the environment, of the profile, or else of the shell.

    Raises `CannotBegin`, also if AWS_REGION contradicts the environment or the profile.
    """
    profile = profile or os.environ.get("AWS_PROFILE") or None
    shell = os.environ.get("AWS_REGION") or None
    source = "infra/environments.py"
    try:
        if region is None and profile is not None:
            # Not `boto3.Session.region_name`: AWS_DEFAULT_REGION would win over the profile.
            of_profile = botocore.session.Session(profile=profile).get_scoped_config()
            region, source = of_profile.get("region"), f"profile {profile}"
        if region is not None and shell not in (None, region):
            raise CannotBegin(
                f"{name} is in region {region} ({source}), but AWS_REGION is {shell}: unset"
                f" AWS_REGION, or correct {source}"
            )
        return boto3.Session(profile_name=profile, region_name=region or shell)
    except BotoCoreError as error:
        raise _no_answer(error) from error
