"""Real DynamoDB APIs for the integration tests.

MiniStack is started once per test session. DynamoDB Local is used too if `DYNAMODB_LOCAL_URL` names
a running one.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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
