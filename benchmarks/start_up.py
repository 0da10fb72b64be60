"""Measures how much CPU time a function needs before its first request.

    python -m benchmarks.start_up [--rounds 9]

Each measurement is a fresh process, which imports a function's handler and builds what its first
request uses. The baseline, "the floor", is boto3 with one client, and the Logger and Metrics of
Powertools. The bundle has no bytecode, as in Lambda; Python's own modules and boto3 have theirs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from benchmarks.measuring import VARIABLES, ratio, take_turns
from infra.bundle import LOCK, SOURCE, size

_FLOOR: Final = """
import boto3
from aws_lambda_powertools import Logger, Metrics
boto3.Session().client("dynamodb")
Logger(service="floor")
Metrics(namespace="floor", service="floor")
"""

_FUNCTIONS: Final = {
    "WebSocket": ("websocket", "presence", "metrics"),
    "REST": ("rest", "status_reader", "metrics"),
    "authorizer": ("authorizer", "token_verifier", "metrics"),
    "cleanup": ("cleanup", "cleanup", "metrics"),
    "recorder": ("recorder", "recorder", "metrics"),
    "publisher": ("publisher", "event_bus", "metrics"),
}
"""The module of each handler, and the parts that its first request uses."""


def script(module: str, *parts: str) -> str:
    """What a function does until it can handle its first request."""
    return "\n".join(
        (
            f"from lambdas.handlers import {module}",
            "from lambdas.handlers.entry_point import service_of_process",
            "service = service_of_process()",
            *(f"service.{part}" for part in parts),
        )
    )


def cpu_of_process(code: str, bundle: Path) -> Callable[[], float]:
    """Measure the CPU time of a script in a fresh process, without the start of Python itself."""
    timed = f"import time\nbegan = time.process_time()\n{code}\nprint(time.process_time() - began)"
    variables = {**VARIABLES, "PYTHONPATH": str(bundle), "PYTHONDONTWRITEBYTECODE": "1"}

    def measure() -> float:
        answer = subprocess.run(
            [sys.executable, "-c", timed],
            cwd=bundle,
            env={"PATH": os.environ["PATH"], **variables},
            check=True,
            capture_output=True,
            text=True,
        )
        return float(answer.stdout)

    return measure


def make_bundle(folder: Path) -> Path:
    """Copy what a bundle holds, as it is installed for this Python, without bytecode."""
    shutil.copytree(
        SOURCE, folder / SOURCE.name, ignore=shutil.ignore_patterns("__pycache__", "*.txt", "*.in")
    )
    names = [line.partition("==")[0] for line in LOCK.read_text().splitlines() if "==" in line]
    for name in names:
        for file in distribution(name).files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                copy = folder / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), copy)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        bundle = make_bundle(Path(temporary) / "bundle")
        scripts = {"the floor": _FLOOR, **{name: script(*f) for name, f in _FUNCTIONS.items()}}
        measured = take_turns(
            {name: cpu_of_process(code, bundle) for name, code in scripts.items()}, rounds=rounds
        )
        megabytes = size(bundle) / 1e6
    print(f"CPU time before the first request, Python {sys.version.split()[0]}")
    for name in scripts:
        took = measured[name]
        floor = ratio(took, measured["the floor"])
        print(f"  {name:12} {min(took) * 1e3:5.0f} ms   {floor} × the floor")
    print(f"size of the bundle: {megabytes:.1f} MB")


if __name__ == "__main__":
    main()
