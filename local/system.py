"""Where the local system is: its folder, its endpoints, and clients for its AWS API."""

import json
import os
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
import urllib3

ROOT = Path(__file__).resolve().parent.parent
"""The root of the repository."""

REGION = "us-east-1"
ACCOUNT = "000000000000"


class NotRunning(Exception):
    """No local system runs on this state folder. Its text is for people."""


def state_folder() -> Path:
    """Where a running system keeps its files: `LOCAL_STATE`, or `.local` in the repository."""
    return Path(os.environ.get("LOCAL_STATE") or ROOT / ".local").resolve()


@dataclass(frozen=True)
class Endpoints:
    """What one needs to know to use a running system; the content of `endpoints.json`."""

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

    @staticmethod
    def file() -> Path:
        return state_folder() / "endpoints.json"

    @classmethod
    def of_running_system(cls) -> "Endpoints":
        """Read the file and make sure that somebody answers. Raises `NotRunning`."""
        try:
            endpoints = cls(**json.loads(cls.file().read_text()))
        except FileNotFoundError:
            raise NotRunning(
                f"no local system is running ({cls.file()} is missing): start it with `make run`,"
                " and wait until it says that it is ready"
            ) from None
        if not is_ready(endpoints.awsEndpointUrl):
            raise NotRunning(
                f"no local system is running (nothing answers at {endpoints.awsEndpointUrl}):"
                " start it with `make run`"
            )
        return endpoints

    def publish(self) -> None:
        """Write the file so that nobody ever reads half of it."""
        unfinished = self.file().with_suffix(".unfinished")
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n")
        unfinished.replace(self.file())

    def client(self, service: str) -> Any:
        """A boto3 client for one AWS service of the local system."""
        return aws_client(service, self.awsEndpointUrl)


def aws_client(service: str, endpoint_url: str) -> Any:
    """A boto3 client that reaches the emulator alone, whatever the machine's AWS settings are."""
    session: Any = boto3.Session(
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="local",  # noqa: S106 - MiniStack takes any
        region_name=REGION,
    )
    return session.client(service, endpoint_url=endpoint_url)


def is_ready(endpoint_url: str) -> bool:
    """Whether MiniStack answers there and has finished starting."""
    try:
        url = f"{endpoint_url}/_ministack/ready"
        return urllib3.request("GET", url, timeout=5, retries=False).status == HTTPStatus.OK
    except urllib3.exceptions.HTTPError:
        return False
