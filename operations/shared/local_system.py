"""The system that `make run` started: its folder, its endpoints, and clients for its AWS API."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

import boto3
import urllib3

from operations.shared.repository import ROOT
from operations.shared.verbs import CannotBegin

REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"

_SECRET_KEY: Final = "any"  # noqa: S105 - the emulator checks no signatures


class NotRunning(CannotBegin):
    """No local system uses this state folder."""


def state_folder() -> Path:
    """Where a running system keeps its files: `LOCAL_STATE`, or `.local` in the repository."""
    return Path(os.environ.get("LOCAL_STATE") or ROOT / ".local").resolve()


@dataclass(frozen=True)
class Emulator:
    """An AWS emulator on this machine. Its AWS API wants the session token in each call.

    `account` is the access key: the emulator takes it for the account.
    """

    url: str
    session_token: str
    account: str = ACCOUNT
    region: str = REGION

    def session(self) -> Any:
        """A boto3 session, whatever the AWS settings of this machine are."""
        return boto3.Session(
            aws_access_key_id=self.account,
            aws_secret_access_key=_SECRET_KEY,
            aws_session_token=self.session_token,
            region_name=self.region,
        )

    def client(self, service: str) -> Any:
        """A boto3 client for one AWS service."""
        return self.session().client(service, endpoint_url=self.url)

    def variables(self) -> Mapping[str, str]:
        """The environment variables that send AWS's tools to the emulator."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": self.account,
            "AWS_SECRET_ACCESS_KEY": _SECRET_KEY,
            "AWS_SESSION_TOKEN": self.session_token,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }


@dataclass(frozen=True)
class LocalSystem:
    """A running system, as `endpoints.json` describes it."""

    restUrl: str  # noqa: N815 - the names of the file are its interface
    websocketUrl: str  # noqa: N815
    awsEndpointUrl: str  # noqa: N815
    awsSessionToken: str  # noqa: N815
    region: str
    tableName: str  # noqa: N815
    cleanupFunctionName: str  # noqa: N815
    alarmNames: list[str]  # noqa: N815
    userPoolId: str  # noqa: N815
    userPoolClientId: str  # noqa: N815
    onCallTopicArn: str  # noqa: N815
    eventBusName: str  # noqa: N815
    historyTableName: str  # noqa: N815
    consoleUrl: str  # noqa: N815

    @staticmethod
    def file() -> Path:
        return state_folder() / "endpoints.json"

    @classmethod
    def running(cls) -> Self:
        """Read the file and make sure that the system answers. Raises `NotRunning`."""
        try:
            system = cls(**json.loads(cls.file().read_text()))
        except FileNotFoundError:
            raise NotRunning(
                f"no local system is running ({cls.file()} is missing): start it with `make run`,"
                " and wait until it says that it is ready"
            ) from None
        if not is_ready(system.awsEndpointUrl):
            raise NotRunning(
                f"no local system is running (nothing answers at {system.awsEndpointUrl}):"
                " start it with `make run`"
            )
        return system

    def publish(self) -> None:
        """Write the file in one step, so that nobody reads half of it. Only its owner can read it:
        it has the session token.
        """
        unfinished = self.file().with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n")
        unfinished.replace(self.file())

    @property
    def emulator(self) -> Emulator:
        """The emulator that this system runs on."""
        return Emulator(self.awsEndpointUrl, self.awsSessionToken, region=self.region)

    def client(self, service: str) -> Any:
        """A boto3 client for one AWS service of this system."""
        return self.emulator.client(service)


def is_ready(endpoint_url: str) -> bool:
    """Whether the emulator answers there and has finished starting."""
    try:
        url = f"{endpoint_url}/_ministack/ready"
        return urllib3.request("GET", url, timeout=5, retries=False).status == HTTPStatus.OK
    except urllib3.exceptions.HTTPError:
        return False
