"""Rolls an environment back to what it ran before, or to a given commit.

    make rollback ENVIRONMENT=prod [COMMIT=<commit>]

It goes through the history of the environment's deployments, newest first, and picks the first
commit that was built clean, passed its smoke test, and has not been rolled back since. It builds
that commit in a temporary folder, checks that the bundle is the recorded one, and deploys it as
`make deploy` does. A second rollback goes back further. Only the bundle (the code of the functions)
is compared: the templates come from the commit and from BUILD_ARGS, and are deployed as built now.
Exit codes: 0 done, 1 refused, 2 could not begin (neither changes anything), 3 deployed, or tried
to, but it does not work.
"""

import argparse
import filecmp
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.deploy import deploy
from operations.shared import records, repository
from operations.shared.assembly import Build
from operations.shared.environment import DeployedEnvironment, refuse_local_system
from operations.shared.exit_codes import CannotBegin, ExitCode, Refused, exit_code
from operations.shared.records import Record
from operations.shared.repository import git

_INSTALLED: Final = {"requirements-dev.txt": ".venv", "package-lock.json": "node_modules"}
"""The lock files of the tools that build, and the folders where those are installed."""


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """Which commit an environment leaves, and which deployment it goes back to."""

    leaves: str
    to: Record
    skipped: Sequence[str]
    """Why newer deployments were skipped, one text for each."""


def choose(history: Sequence[Record], commit: str | None = None) -> Rollback:
    """Choose what to roll back to. `history` has the newest first, and at least one.

    Raises `Refused`.
    """
    newest = history[0]
    # Resume a rollback that did not finish.
    unfinished = newest.rolledBackFrom if newest.smoke == "pending" else None
    leaves = unfinished or newest.commit
    if commit is not None:
        return Rollback(leaves=leaves, to=_named(history, commit), skipped=())
    skipped: list[str] = []
    rolled_back: dict[str, str] = {}
    for record in history:
        if record.commit != leaves:
            why = rolled_back.get(record.commit) or _unfit(record)
            if why is None:
                return Rollback(leaves=leaves, to=record, skipped=skipped)
            skipped.append(f"{record.commit[:12]}, deployed {record.at}: {why}")
        if record.rolledBackFrom is not None:
            rolled_back.setdefault(record.rolledBackFrom, f"it was rolled back {record.at}")
    raise Refused(
        f"there is nothing before commit {leaves[:12]} to roll back to"
        + "".join(f"\n  - not {reason}" for reason in skipped)
    )


def _named(history: Sequence[Record], commit: str) -> Record:
    newest = history[0]
    found = [record for record in history if record.commit.startswith(commit)]
    known = list(dict.fromkeys(record.commit[:12] for record in history))
    if not found:
        raise Refused(f"no deployment of commit {commit} is recorded, only of {', '.join(known)}")
    if len({record.commit for record in found}) > 1:
        raise Refused(f"more than one recorded commit begins with {commit}: {', '.join(known)}")
    if found[0] is newest and newest.smoke != "pending":
        raise Refused(
            f"commit {newest.commit[:12]} is what runs now: `make deploy` deploys it again"
        )
    # Somebody who names a commit may know better than its smoke test at the time.
    fit = [record for record in found if record.clean and record.smoke != "pending"]
    if not fit:
        raise Refused(f"commit {commit} cannot be rolled back to: {_unfit(found[0])}")
    return min(fit, key=lambda record: record.smoke == "failed")


def _unfit(record: Record) -> str | None:
    if not record.clean:
        return "it was not built from a clean commit"
    if record.smoke == "pending":
        return "its deployment did not finish"
    if record.smoke == "failed":
        return "its smoke test failed"
    return None


def require_commit(commit: str) -> None:
    """Raise `CannotBegin` if this clone does not have the commit."""
    try:
        git("cat-file", "-e", f"{commit}^{{commit}}")
    except (OSError, subprocess.CalledProcessError):
        raise CannotBegin(
            f"commit {commit} is not in this clone: run `git fetch origin {commit}` and try again"
        ) from None


@contextmanager
def built(commit: str) -> Iterator[Build]:
    """Build a commit in a temporary worktree, which is removed afterwards. Raises `CannotBegin`."""
    with tempfile.TemporaryDirectory(prefix="rollback-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary).resolve()
        tree = folder / "tree"
        try:
            git("worktree", "add", "--detach", str(tree), commit)
            _make_build(tree, folder / "ignored")
            yield Build.read(tree / "build" / "release")
        finally:
            subprocess.run(
                ["git", "worktree", "remove", "--force", str(tree)],  # noqa: S607
                cwd=repository.ROOT,
                stderr=subprocess.DEVNULL,
                check=False,
            )


def _make_build(tree: Path, ignored: Path) -> None:
    """Run `make build`, with the tools of this checkout where the commit pins the same ones."""
    shared = [
        installed
        for lock, installed in _INSTALLED.items()
        if (tree / lock).exists()
        and filecmp.cmp(repository.ROOT / lock, tree / lock, shallow=False)
    ]
    for installed in shared:
        (tree / installed).symlink_to((repository.ROOT / installed).resolve())
    # .gitignore names folders, but these are links: Git must ignore them too.
    ignored.write_text("\n".join(shared))
    made = subprocess.run(
        # The lock files of a new checkout are newer than what was installed from them.
        ["make", "build", *(f"--old-file={each}/.done" for each in shared)],  # noqa: S607
        cwd=tree,
        env={
            # Without what an outer `make` passes to an inner one: this is another Makefile.
            **{k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL"}},
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "core.excludesFile",
            "GIT_CONFIG_VALUE_0": str(ignored),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    if made.returncode != 0:
        raise CannotBegin(made.stdout)


def roll_back(
    rollback: Rollback, environment: str, *, unguarded: bool, profile: str | None
) -> None:
    """Build and deploy. Raises `Refused`, `CannotBegin` and `DeploymentFailed`."""
    to = rollback.to
    print(f"building commit {to.commit[:12]}")
    with built(to.commit) as build:
        build.require(environment)
        bundle = build.manifest.environments[environment]
        if bundle != to.assetHash:
            raise Refused(
                f"commit {to.commit[:12]} builds bundle {bundle[:12]} here, but {environment} ran"
                f" {to.assetHash[:12]}: use the build kept from that commit's release, with"
                f" `make deploy ENVIRONMENT={environment} FORCE=1`"
            )
        deploy(
            build,
            environment,
            rolled_back_from=rollback.leaves,
            unguarded=unguarded,
            profile=profile,
        )


def _explain(environment: str, newest: Record, rollback: Rollback) -> None:
    to = rollback.to
    if newest.smoke == "pending":
        print(
            f"the last deployment to {environment}, of commit {newest.commit[:12]}, did not finish"
            f" ({newest.at}, {newest.by})"
        )
    else:
        print(
            f"{environment} runs commit {newest.commit[:12]}, deployed {newest.at} by {newest.by};"
            f" its smoke test {newest.smoke}"
        )
    for reason in rollback.skipped:
        print(f"  not to {reason}")
    print(
        f"rolling back from {rollback.leaves[:12]} to {to.commit[:12]}, deployed {to.at} by"
        f" {to.by}; its smoke test {to.smoke}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make rollback", description=__doc__)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--commit", help="to roll back to; by default, what ran before")
    parser.add_argument("--unguarded", action="store_true", help="ignore the alarms that guard it")
    parser.add_argument("--dry-run", action="store_true", help="only say what it would do")
    parser.add_argument("--profile", help="AWS credentials; the shell's by default")
    wanted = parser.parse_args()
    environment: str = wanted.environment
    # So that the worktree is also removed when a pipeline is cancelled.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def verb() -> int:
        refuse_local_system(environment)
        history = _history(DeployedEnvironment(environment, profile=wanted.profile))
        rollback = choose(history, wanted.commit)
        require_commit(rollback.to.commit)
        _explain(environment, history[0], rollback)
        if wanted.dry_run:
            print("this was a dry run: nothing was changed")
            return ExitCode.DONE
        roll_back(rollback, environment, unguarded=wanted.unguarded, profile=wanted.profile)
        print(f"{environment} runs commit {rollback.to.commit[:12]} again")
        return ExitCode.DONE

    return exit_code(verb)


def _history(environment: DeployedEnvironment) -> Sequence[Record]:
    try:
        history = records.history(environment)
    except (BotoCoreError, ClientError) as error:
        environment.require_configured()
        raise CannotBegin(f"the record cannot be read: {error}") from error
    if not history:
        environment.require_configured()
        raise Refused(
            f"{records.parameter(environment.name)} has no record in region"
            f" {environment.client('ssm').meta.region_name} of this account: check the profile and"
            " AWS_REGION, or deploy first"
        )
    return history


if __name__ == "__main__":
    sys.exit(main())
