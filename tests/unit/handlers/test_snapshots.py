"""What is shared by all environments that start from one snapshot is harmless there."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.handlers.conftest import VARIABLES

ROOT = Path(__file__).resolve().parents[3]
NOBODY = "http://127.0.0.1:1"
"""Where nothing listens."""

RUNTIME = '''
"""The module of the same name in the Lambda runtime, as far as it is used."""
before, after = [], []
register_before_snapshot, register_after_restore = before.append, after.append
'''

LAMBDA = """
import importlib, json, random, sys
connections = []
def listen(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        connections.append(event)
sys.addaudithook(listen)
importlib.import_module(f"lambdas.handlers.{sys.argv[1]}")
from lambdas.handlers.entry_point import service_of_process
import snapshot_restore_py as runtime
for hook in reversed(runtime.before):
    hook()
service = service_of_process()
found = {
    "hooks": len(runtime.before),
    "built": sorted(vars(service)),
    "connectionsBefore": list(connections),
    "numbers": [],
}
# Each environment begins with the same memory.
memory = random.getstate()
for environment in range(3):
    random.setstate(memory)
    for hook in runtime.after:
        hook()
    found["numbers"].append(random.random())
if sys.argv[1] == "authorizer":
    from lambdas.domain.errors import Unavailable
    try:
        service.token_verifier.verify("a.b.c")
    except Unavailable:
        found["connectionsAfter"] = list(connections)
print(json.dumps(found))
"""


def _start(
    module: str, runtime: Path, *, kind: str = "snap-start", **changes: str
) -> dict[str, Any]:
    """Initialize a function in a process of its own, and start three environments from it."""
    (runtime / "snapshot_restore_py.py").write_text(RUNTIME)
    oidc = ("ISSUER", "AUDIENCE", "USER_CLAIM", "BUSINESSES_CLAIM", "ROLES_CLAIM")
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{runtime}{os.pathsep}{ROOT}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": kind,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": NOBODY,
        "TABLE_NAME": "table",
        **VARIABLES,
        **{f"OIDC_{name}": "x" for name in oidc},
        "OIDC_JWKS_URL": f"{NOBODY}/keys",
        **changes,
    }
    answer = subprocess.run(
        [sys.executable, "-c", LAMBDA, module],
        cwd=runtime,
        env=variables,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("module", "part"),
    [("authorizer", "token_verifier"), ("websocket", "presence"), ("rest", "status_reader")],
)
def test_a_function_is_built_before_the_snapshot_and_calls_nobody(
    module: str, part: str, tmp_path: Path
) -> None:
    found = _start(module, tmp_path)
    assert {part, "dynamodb"} <= set(found["built"])
    assert found["connectionsBefore"] == []


def test_environments_from_one_snapshot_get_different_random_numbers(tmp_path: Path) -> None:
    assert len(set(_start("websocket", tmp_path)["numbers"])) == 3


def test_the_keys_of_the_issuer_are_fetched_after_the_restore(tmp_path: Path) -> None:
    assert "socket.connect" in _start("authorizer", tmp_path)["connectionsAfter"]


def test_a_function_that_cannot_be_built_yet_is_published_all_the_same(tmp_path: Path) -> None:
    found = _start("websocket", tmp_path, AWS_PROFILE="unknown")
    assert "dynamodb" not in found["built"]


def test_without_snap_start_nothing_is_built_ahead(tmp_path: Path) -> None:
    found = _start("websocket", tmp_path, kind="on-demand")
    assert found["hooks"] == 0
    assert "dynamodb" not in found["built"]
