"""Real DynamoDB APIs for the integration tests.

MiniStack is started once per test session. DynamoDB Local is used too if `DYNAMODB_LOCAL_URL` names
a running one.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
import pytest

from operations.shared.local_system import is_ready

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

START_SECONDS = 30


@pytest.fixture(scope="session")
def ministack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the MiniStack of this test session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("ministack")
    log = folder / "log"
    environment = {
        "PATH": os.environ["PATH"],
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "TMPDIR": str(folder),
        "STATE_DIR": str(folder),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url, process, log)
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"MiniStack did not start:\n{log.read_text()}")
        time.sleep(0.05)


def _client(url: str) -> "DynamoDBClient":
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="test",
    )


@pytest.fixture(scope="session")
def ministack(ministack_url: str) -> "DynamoDBClient":
    """A client of MiniStack's DynamoDB."""
    return _client(ministack_url)


@pytest.fixture(scope="session")
def dynamodb_local() -> "DynamoDBClient":
    """A client of DynamoDB Local, AWS's own engine."""
    return _client(os.environ["DYNAMODB_LOCAL_URL"])


@pytest.fixture
def shell(ministack_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell with the AWS settings of the emulator."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for variable in ("AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "000000000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.fixture
def deploy(shell: None) -> Iterator[Callable[[dict[str, str]], str]]:
    """Deploys a Data stack with these outputs, and returns the name of its environment."""
    cloudformation = boto3.client("cloudformation", region_name="us-east-1")
    stacks: list[str] = []

    def deploy(outputs: dict[str, str]) -> str:
        environment = f"e{uuid4().hex[:10]}"
        stacks.append(f"BusinessConnections-{environment}-Data")
        template = {
            "Resources": {"Q": {"Type": "AWS::SQS::Queue"}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        cloudformation.create_stack(StackName=stacks[-1], TemplateBody=json.dumps(template))
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName=stacks[-1], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        return environment

    yield deploy
    for stack in stacks:
        cloudformation.delete_stack(StackName=stack)
