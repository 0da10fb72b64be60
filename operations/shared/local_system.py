"""The system that `make run` started: its folder, its endpoints, and clients for its AWS API."""

import json
import os
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

import boto3
import urllib3

from operations.shared.exit_codes import CannotBegin
from operations.shared.repository import ROOT

REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"


class NotRunning(CannotBegin):
    """No local system uses this state folder."""


def state_folder() -> Path:
    """Where a running system keeps its files: `LOCAL_STATE`, or `.local` in the repository."""
    return Path(os.environ.get("LOCAL_STATE") or ROOT / ".local").resolve()


@dataclass(frozen=True)
class LocalSystem:
    """A running system, as `endpoints.json` describes it."""

    restUrl: str  # noqa: N815 - the names of the file are its interface
    websocketUrl: str  # noqa: N815
    awsEndpointUrl: str  # noqa: N815
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
        """Write the file in one step, so that nobody reads half of it."""
        unfinished = self.file().with_suffix(".unfinished")
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n")
        unfinished.replace(self.file())

    def session(self) -> Any:
        """Return a boto3 session with the credentials that the emulator accepts."""
        return _session(self.region)

    def client(self, service: str) -> Any:
        """Return a boto3 client for one AWS service of this system."""
        return aws_client(service, self.awsEndpointUrl)


def aws_client(service: str, endpoint_url: str) -> Any:
    """Return a boto3 client for an emulator, whatever the AWS settings of this machine are."""
    return _session(REGION).client(service, endpoint_url=endpoint_url)


def _session(region: str) -> Any:
    return boto3.Session(
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="local",  # noqa: S106 - the emulator accepts any
        region_name=region,
    )


def is_ready(endpoint_url: str) -> bool:
    """Return whether the emulator answers there and has finished starting."""
    try:
        url = f"{endpoint_url}/_ministack/ready"
        return urllib3.request("GET", url, timeout=5, retries=False).status == HTTPStatus.OK
    except urllib3.exceptions.HTTPError:
        return False
