"""Makes the build: one cloud assembly with all environments, and a manifest beside it.

    make build

A build is made once from one commit, and then deployed to one environment after the other. It says
when the working tree holds more than the commit; such a build cannot be promoted.
Exit codes: 0 built, 1 the synthesis failed.
"""

import argparse
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from operations.shared import repository
from operations.shared.assembly import Assembly, Manifest


class BuildFailed(Exception):
    """The synthesis failed. The text is what it printed."""


def build(folder: Path = repository.RELEASE, *, local_endpoint: str | None = None) -> Manifest:
    """Build into `folder`, and remove what was there. Raises `BuildFailed`.

    With `local_endpoint`, the build has two environments of the AWS emulator there, and no other.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    assembly = Assembly(folder / "assembly")
    # Compared before and after: a file that changes meanwhile may or may not be in the assembly.
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
            *(str(repository.CDK), "synth", "--quiet", "--app", f"{sys.executable} app.py"),
            *("--output", str(output)),
            *(context if local_endpoint else ()),
        ],
        cwd=repository.ROOT,
        env={**os.environ, "CDK_DISABLE_CLI_TELEMETRY": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    if synthesis.returncode != 0:
        raise BuildFailed(synthesis.stdout)


def _commit() -> tuple[str, bool, str]:
    """Return the commit, whether the working tree has no changes, and the commit's time."""
    try:
        commit, seconds = repository.git("log", "-1", "--format=%H %ct").split()
        clean = not repository.git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False, "unknown"
    return commit, clean, datetime.fromtimestamp(int(seconds), tz=UTC).isoformat()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make build", description=__doc__)
    parser.add_argument("--folder", type=Path, default=repository.RELEASE)
    parser.add_argument(
        "--local", metavar="URL", help="build two environments of the AWS emulator there instead"
    )
    wanted = parser.parse_args()
    print("synthesizing and bundling (about 15 s)", file=sys.stderr)
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
            "The working tree has uncommitted changes: this build can be deployed to the first"
            " environment, not promoted.",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
