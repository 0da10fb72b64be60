"""Makes the build: one cloud assembly with all environments, and a manifest beside it.

    make build

A build is made once from one commit, and then deployed to one environment after the other. It says
when the working tree holds more than the commit; such a build cannot be promoted.
Exit codes: 0 built, 1 the sources are wrong or the synthesis failed, 130 interrupted.
"""

import argparse
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from operations.release.assembly import RELEASE, Assembly, Manifest
from operations.shared import repository
from operations.shared.repository import run_group
from operations.shared.verbs import INTERRUPTED, interruptible

# Prints what prevents the import of modules, and where. The tools alone (`make tools`) do not
# include the packages of the functions: then there is nothing to import with.
_IMPORT: Final = """
import importlib.util, sys, traceback
if importlib.util.find_spec("aws_lambda_powertools") is None:
    sys.exit()
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        places = [each for each in traceback.extract_tb(error.__traceback__) if each[0][0] != "<"]
        sys.exit(f"{places[-1][0]}:{places[-1][1]}: {type(error).__name__}: {error}")
"""


class BuildFailed(Exception):
    """The sources of the functions are wrong, or the synthesis failed. The text says where."""


def build(folder: Path) -> Manifest:
    """Build into `folder`, and remove what was there. Raises `BuildFailed`."""
    _require_sound_sources()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    assembly = Assembly(folder / "assembly")
    # Compared before and after: a file that changes meanwhile may or may not be in the assembly.
    commit, clean, committed_at = _commit()
    _synthesize(assembly.folder)
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


def _require_sound_sources() -> None:
    """Raise `BuildFailed` if a source of the functions cannot be compiled, or a handler imported.

    Otherwise the first to notice would be the smoke test of a deployed environment. This Python is
    the one that the tests run on; it may be older than that of the functions. Handlers are imported
    only where their packages are installed, as on a developer's machine.
    """
    sources = sorted((repository.ROOT / "lambdas").rglob("*.py"))
    wrong = [problem for source in sources if (problem := _syntax_error(source))]
    if wrong:
        raise BuildFailed("\n".join(wrong))
    names = [
        ".".join(source.relative_to(repository.ROOT).with_suffix("").parts)
        for source in sources
        if source.parent.name == "handlers"
    ]
    # The modules need no environment, and without one they could not reach AWS.
    imported = run_group(
        [sys.executable, "-B", "-c", _IMPORT, *names], cwd=repository.ROOT, env={}, capture=True
    )
    if imported.returncode != 0:
        raise BuildFailed(imported.stdout.replace(f"{repository.ROOT}/", "").rstrip())


def _syntax_error(source: Path) -> str | None:
    path = source.relative_to(repository.ROOT)
    try:
        compile(source.read_bytes(), source, "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"{path}:{error.lineno}: {type(error).__name__}: {error.msg}"
    except ValueError as error:  # a null byte
        return f"{path}: {error}"
    return None


def _synthesize(output: Path) -> None:
    synthesis = run_group(
        [
            *(str(repository.CDK), "synth", "--quiet", "--app", f"{sys.executable} app.py"),
            *("--output", str(output)),
        ],
        cwd=repository.ROOT,
        env={**os.environ, "CDK_DISABLE_CLI_TELEMETRY": "true"},
        capture=True,
    )
    if synthesis.returncode != 0:
        raise BuildFailed(synthesis.stdout)


def _commit() -> tuple[str, bool, str]:
    """The commit, whether the working tree has no changes, and the commit's time."""
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
        cwd=repository.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    return git.stdout.strip()


def main() -> int:
    argparse.ArgumentParser(prog="make build", description=__doc__).parse_args()
    print("synthesizing and bundling (about 15 s)", file=sys.stderr)
    try:
        with interruptible():
            manifest = build(RELEASE)
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: there is no build", file=sys.stderr)
        return INTERRUPTED
    print(f"built {manifest.title} in {RELEASE}")
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
