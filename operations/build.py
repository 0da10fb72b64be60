"""Builds what is promoted: one cloud assembly with all environments, and a manifest beside it.

    make build

Made from one commit, it is deployed to one environment after the other, and never built again in
between. It says when the working tree holds more than the commit; such a build cannot be promoted.
Exit codes: 0 built, 1 the synthesis failed.
"""

import argparse
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from operations.assembly import BUILD, ROOT, Assembly, Manifest

CDK: Final = ROOT / "node_modules" / ".bin" / "cdk"


class BuildFailed(Exception):
    """The synthesis failed. The text is what it printed."""


def build(folder: Path = BUILD, *, local_endpoint: str | None = None) -> Manifest:
    """Build into `folder`, in the place of what was there. Raises `BuildFailed`.

    With `local_endpoint`, the build has two environments of an AWS emulator there and no other.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    assembly = Assembly(folder / "assembly")
    # Before the synthesis: what changes meanwhile may or may not be in it.
    commit, clean, committed_at = _commit()
    _synthesize(assembly.folder, local_endpoint)
    clean = clean and _commit() == (commit, clean, committed_at)
    manifest = Manifest(
        commit=commit,
        clean=clean,
        committedAt=committed_at,
        environments=assembly.environments(),
        digest=assembly.digest(),
    )
    manifest.write(folder)
    return manifest


def _synthesize(output: Path, local_endpoint: str | None) -> None:
    context = ["--context", "localPromotion=true", "--context", f"localEndpoint={local_endpoint}"]
    synthesis = subprocess.run(
        [
            *(str(CDK), "synth", "--quiet", "--app", f"{sys.executable} app.py"),
            *("--output", str(output)),
            *(context if local_endpoint else ()),
        ],
        cwd=ROOT,
        env={**os.environ, "CDK_DISABLE_CLI_TELEMETRY": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    if synthesis.returncode != 0:
        raise BuildFailed(synthesis.stdout)


def _commit() -> tuple[str, bool, str]:
    """The commit, whether the working tree is that commit and nothing else, and its time."""
    try:
        commit, seconds = git("log", "-1", "--format=%H %ct").split()
        clean = not git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False, "unknown"
    return commit, clean, datetime.fromtimestamp(int(seconds), tz=UTC).isoformat()


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


def main() -> int:
    parser = argparse.ArgumentParser(prog="make build", description=__doc__)
    parser.add_argument("--folder", type=Path, default=BUILD)
    parser.add_argument(
        "--local", metavar="URL", help="build two environments of an AWS emulator there, instead"
    )
    wanted = parser.parse_args()
    try:
        manifest = build(wanted.folder.resolve(), local_endpoint=wanted.local)
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"built {manifest.title} in {wanted.folder}")
    for environment, asset in manifest.environments.items():
        print(f"  {environment:16} bundle {asset}")
    if not manifest.clean:
        print(
            "The working tree holds more than its commit: this build can be tried, not promoted.",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
