"""The repository that these tools belong to: its folders, its CDK CLI and its Git history."""

import os
import subprocess
from pathlib import Path
from typing import Final

from operations.shared.processes import run_group

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
