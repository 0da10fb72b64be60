"""Where this repository and its CDK CLI are, and how a program is run that must end with the tool
that starts it.
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

CDK: Final = ROOT / "node_modules" / ".bin" / "cdk"


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
