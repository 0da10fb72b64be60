"""Real DynamoDB APIs for the integration tests.

MiniStack is started once per test session. DynamoDB Local is used too if `DYNAMODB_LOCAL_URL` names
a running one.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
import pytest

from local.run import running_emulator
from operations.shared.local_system import Emulator
from tests.dynamodb import dynamodb_local_client

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The MiniStack of this test session."""
    with running_emulator(tmp_path_factory.mktemp("ministack")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def ministack(emulator: Emulator) -> "DynamoDBClient":
    """A client of MiniStack's DynamoDB."""
    client: DynamoDBClient = emulator.client("dynamodb")
    return client


@pytest.fixture(scope="session")
def dynamodb_local() -> "DynamoDBClient":
    """A client of DynamoDB Local, AWS's own engine."""
    return dynamodb_local_client()


@pytest.fixture
def shell(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell with the AWS settings of the emulator."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in emulator.variables().items():
        monkeypatch.setenv(name, value)


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
