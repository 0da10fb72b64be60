"""The repository that these tools belong to: its folders, its CDK CLI, its Git history; and how a
program is run that must end with the tool that starts it.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from operations.shared.verbs import interruptible, interrupts_held_back

ROOT: Final = Path(__file__).resolve().parents[2]

RELEASE: Final = ROOT / "build" / "release"
"""Where `make build` puts a build: `assembly` and `manifest.json`."""

CDK: Final = ROOT / "node_modules" / ".bin" / "cdk"


def cdk(*arguments: str, folder: Path, profile: str | None, region: str) -> int:
    """Run the CDK CLI in a region, and return its exit code. An interrupt ends it.

    `folder` must have no cdk.json: with one, the CLI would synthesize the application first.
    """
    command = [str(CDK), *arguments, *(("--profile", profile) if profile else ())]
    environment = {
        **os.environ,
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
    return run_group(command, cwd=folder, env=environment).returncode


def git(*arguments: str) -> str:
    """Run Git in this repository, and return its output. Raises subprocess.CalledProcessError."""
    git = subprocess.run(
        ["git", *arguments],  # noqa: S607 - the developer's own
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    return git.stdout.strip()


def run_group(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], capture: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, in a process group of its own.

    With `capture`, the result has its output, errors included; otherwise it prints it. An interrupt
    ends the program with all that it started, and then raises `KeyboardInterrupt`.
    """
    process = None
    with interruptible():
        try:
            with interrupts_held_back():
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=env,
                    stdout=subprocess.PIPE if capture else None,
                    stderr=subprocess.STDOUT if capture else None,
                    start_new_session=True,
                    text=True,
                )
            output, _ = process.communicate()
        except BaseException:
            if process is not None:
                kill_group(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output)


def kill_group(process: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
    """Kill a program that leads a process group, and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
