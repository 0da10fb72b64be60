"""Rolls an environment back to what it ran before, or to a given commit.

    make rollback ENVIRONMENT=prod [COMMIT=<commit>]

It goes through the history of the environment's deployments, newest first, and picks the first
build that was clean, passed its smoke test, has not been rolled back since, and is still kept. It
fetches that build from where it was deployed, checks its digest, and deploys it as `make deploy`
does. To go back further after a finished rollback, name the COMMIT.
Exit codes: 0 done, 1 refused, 2 could not begin (neither changes anything), 3 deployed, or tried
to, but it does not work.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from operations.release import records
from operations.release.assembly import Build
from operations.release.deploy import deploy
from operations.release.records import Record
from operations.release.stored_builds import NotKept, stored
from operations.shared.environment import DeployedEnvironment, refuse_local_system
from operations.shared.verbs import CannotBegin, ExitCode, Refused, exit_code, verb_parser


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """Which build an environment leaves, and to which deployments it can go back."""

    leaves: str
    """`Record.build` of what it leaves."""
    candidates: Sequence[Record]
    """The best first."""
    skipped: Sequence[str]
    """Why newer deployments were skipped, one text for each."""


def choose(history: Sequence[Record], commit: str | None = None) -> Rollback:
    """Choose what to roll back to. `history` has the newest first, and at least one.

    Raises `Refused`.
    """
    newest = history[0]
    unfinished = newest.rolledBackFrom if newest.smoke == "pending" else None
    leaves = unfinished or newest.build
    if commit is not None:
        return Rollback(leaves=leaves, candidates=_named(history, commit), skipped=())
    if unfinished is not None:  # resume it: somebody may have chosen where it goes
        return Rollback(leaves=leaves, candidates=[newest], skipped=())
    finished = next((record for record in history if record.smoke != "pending"), None)
    if newest.smoke == "pending" and finished is not None and finished.build == newest.build:
        raise Refused(
            f"{newest.title} was deployed again, and that did not finish: it ran before, too."
            f" Name the commit to deploy with COMMIT=, {newest.commit[:12]} or an earlier one"
        )
    candidates: dict[str, Record] = {}
    skipped: list[str] = []
    rolled_back: dict[str, str] = {}
    for record in history:
        # Records of older tools name what was rolled back by its commit alone.
        names = {record.build, record.commit}
        if leaves not in names:
            why = next((rolled_back[name] for name in names if name in rolled_back), None)
            if reason := why or _unfit(record):
                skipped.append(f"{_deployment(record)}: {reason}")
            else:
                candidates.setdefault(record.build, record)
        if record.rolledBackFrom is not None:
            rolled_back.setdefault(record.rolledBackFrom, f"it was rolled back {record.at}")
    if not candidates:
        raise Refused(
            f"there is nothing before {newest.title} to roll back to"
            + "".join(f"\n  - not {reason}" for reason in skipped)
        )
    if newest.rolledBackFrom is not None:
        raise Refused(
            f"{newest.title} is what {newest.by} rolled back to at {newest.at}; its smoke test"
            f" {newest.smoke}. To go back further, name the commit with COMMIT="
            + "".join(f"\n  - {_deployment(each)}" for each in candidates.values())
        )
    return Rollback(leaves=leaves, candidates=list(candidates.values()), skipped=skipped)


def _named(history: Sequence[Record], commit: str) -> Sequence[Record]:
    newest = history[0]
    found = [record for record in history if record.commit.startswith(commit)]
    known = list(dict.fromkeys(record.commit[:12] for record in history))
    if not found:
        raise Refused(f"no deployment of commit {commit} is recorded, only of {', '.join(known)}")
    matching = list(dict.fromkeys(record.commit for record in found))
    if len(matching) > 1:
        raise Refused(f"more than one recorded commit begins with {commit}: {', '.join(matching)}")
    others = [each for each in found if each.build != newest.build or newest.smoke == "pending"]
    if not others:
        raise Refused(
            f"commit {newest.commit[:12]} is what runs now: `make deploy` deploys it again"
        )
    # Somebody who names a commit may know better than its smoke test at the time.
    fit = [record for record in others if record.clean and record.smoke != "pending"]
    if not fit:
        raise Refused(f"commit {commit} cannot be rolled back to: {_unfit(others[0])}")
    return sorted(fit, key=lambda record: record.smoke == "failed")


def _unfit(record: Record) -> str | None:
    if not record.clean:
        return "it was not built from a clean commit"
    if record.smoke == "pending":
        return "its deployment did not finish"
    if record.smoke == "failed":
        return "its smoke test failed"
    return None


def _deployment(record: Record) -> str:
    return f"{record.title}, deployed {record.at} by {record.by}"


@contextmanager
def fetched(
    environment: DeployedEnvironment, rollback: Rollback
) -> Iterator[tuple[Record, Build, Sequence[str]]]:
    """Fetch the first candidate that can be had. Yield its record, its build, and the reasons why
    newer deployments were skipped. Raises `CannotBegin` if none can be had.
    """
    skipped = list(rollback.skipped)
    with ExitStack() as stack:
        for record in rollback.candidates:
            try:
                build = stack.enter_context(stored(environment, record))
            except NotKept as error:
                skipped.append(f"{_deployment(record)}: {error}")
            else:
                yield record, build, skipped
                return
    raise CannotBegin(
        f"{environment.name} cannot be rolled back: no build can be had"
        + "".join(f"\n  - not {reason}" for reason in skipped)
        + "\nDeploy a build that you have: make deploy"
        f" ENVIRONMENT={environment.name} FORCE=1"
    )


def _explain(environment: str, newest: Record, to: Record, skipped: Sequence[str]) -> None:
    if newest.smoke == "pending":
        print(
            f"the last deployment to {environment}, of {newest.title}, did not finish"
            f" ({newest.at}, {newest.by})"
        )
    else:
        print(f"{environment} runs {_deployment(newest)}; its smoke test {newest.smoke}")
    for reason in skipped:
        print(f"  not to {reason}")
    print(f"rolling back to {_deployment(to)}; its smoke test {to.smoke}")


def main() -> int:
    parser = verb_parser("rollback", __doc__)
    parser.add_argument("--commit", help="to roll back to; by default, what ran before")
    parser.add_argument("--unguarded", action="store_true", help="ignore the alarms that guard it")
    parser.add_argument("--dry-run", action="store_true", help="only say what it would do")
    wanted = parser.parse_args()
    name: str = wanted.environment

    def verb() -> int:
        refuse_local_system(name)
        environment = DeployedEnvironment(name, profile=wanted.profile)
        history, seen = _history(environment)
        way = choose(history, wanted.commit)
        with fetched(environment, way) as (to, build, skipped):
            build.require(name)
            _explain(name, history[0], to, skipped)
            if wanted.dry_run:
                print("this was a dry run: nothing was changed")
                return ExitCode.DONE
            deploy(
                build,
                name,
                rolled_back_from=way.leaves,
                seen=seen,
                unguarded=wanted.unguarded,
                profile=wanted.profile,
            )
        print(f"{name} runs commit {to.commit[:12]} again")
        return ExitCode.DONE

    return exit_code(verb)


def _history(environment: DeployedEnvironment) -> tuple[Sequence[Record], int]:
    """The history, and the version of the record that it had then."""
    try:
        _, seen = records.newest(environment)
        history = records.history(environment)
    except (BotoCoreError, ClientError) as error:
        environment.require_configured()
        raise CannotBegin(f"the record cannot be read: {error}") from error
    if not history:
        environment.require_configured()
        raise Refused(
            f"{records.parameter(environment.name)} has no record in region {environment.region} of"
            f" account {environment.account}: check the profile and AWS_REGION, or deploy first"
        )
    return history, seen


if __name__ == "__main__":
    sys.exit(main())
