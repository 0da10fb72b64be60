"""Promotes the build from one environment to the next: what was tested is what is deployed.

    make promote FROM=staging TO=prod

It is refused unless the build is from a clean commit, nothing in it was changed, and TO follows
FROM. This is checked first, without credentials. Then AWS is asked, and all reasons are given at
once: FROM must run exactly this build, its alarms that page must be OK, none of its alarms may
watch something that no longer exists, its smoke test must pass, and the account of TO must have
room for what the build reserves. Then the same assembly is deployed to TO as `make deploy` does.
Exit codes: 0 promoted, 1 refused, 2 could not begin (neither changes anything), 3 deployed, or
tried to, but it does not work.
"""

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from operations.deploy import deploy
from operations.shared import quotas, records
from operations.shared.assembly import Build
from operations.shared.environment import DeployedEnvironment, refuse_local_system
from operations.shared.exit_codes import CannotBegin, ExitCode, Refused, exit_code
from operations.shared.live_state import (
    blind_alarms,
    changed_stacks,
    code_of_functions,
    paging_alarms,
)
from operations.shared.records import Record
from operations.shared.repository import RELEASE
from operations.smoke import smoke


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """The state of an environment that a build shall be promoted from."""

    record: Record | None
    """The record of its last deployment."""
    changed_stacks: list[str] = field(default_factory=list)
    """The stacks whose template is not the one of the build."""
    code: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of the code that each function runs."""
    alarms: Mapping[str, str] = field(default_factory=dict)
    """The state of each alarm that pages."""
    blind: Mapping[str, str] = field(default_factory=dict)
    """The missing resources that an alarm watches, by the alarm's name."""
    smoke_failure: str | None = None
    """Why the smoke test failed; None if it passed."""


def inspect_source(environment: DeployedEnvironment, build: Build) -> SourceState:
    """Find out what an environment runs and how it is. Raises `CannotBegin`."""
    stacks = build.assembly.stacks(environment.name)
    service = next(stack for stack in stacks if stack.functions())
    return SourceState(
        record=records.read(environment),
        changed_stacks=changed_stacks(environment, stacks),
        code=code_of_functions(environment, service),
        alarms=paging_alarms(environment),
        blind=blind_alarms(environment),
        smoke_failure=smoke(environment),
    )


def objections_to_build(build: Build, source: str, target: str) -> Iterator[str]:
    """Give the reasons against a promotion that the build alone shows."""
    manifest = build.manifest
    if not manifest.clean:
        yield (
            "the build is not from a clean commit: commit what is in the working tree, and"
            " `make build` again"
        )
    if not build.is_intact():
        yield "the assembly was changed after it was built: `make build` again"
    order = manifest.neighbours(target)
    if source not in order:
        yield f"{source} and {target} do not run the same bundle"
    elif order.index(target) != order.index(source) + 1:
        yield f"{target} does not follow {source}: the order is {', '.join(order)}"


def objections_to_source(build: Build, source: str, state: SourceState) -> Iterator[str]:
    """Give the reasons against a promotion that the state of the source environment shows."""
    manifest, record = build.manifest, state.record
    asset = manifest.environments[source]
    if record is None:
        yield f"{source} has no record: it was not deployed to with `make deploy`"
    elif record.smoke == "pending":
        yield (
            f"the last deployment to {source}, of commit {record.commit[:12]}, did not finish:"
            f" deploy again, or `make rollback ENVIRONMENT={source}`"
        )
    elif record.assetHash != asset:
        yield (
            f"{source} does not run this bundle: it runs {record.assetHash[:12]} of commit"
            f" {record.commit[:12]}, and the build has {asset[:12]} of {manifest.commit[:12]}"
        )
    else:
        others = [name for name, code in state.code.items() if code != record.codeSha256]
        if others:
            yield (
                f"{source} does not run this bundle: since it was deployed, somebody changed the"
                f" code of {', '.join(others)}"
            )
    if state.changed_stacks:
        yield (
            f"{source} does not run this build: the templates of {', '.join(state.changed_stacks)}"
            " differ"
        )
    for problem in sorted(set(state.alarms.values()) - {"OK"}):
        names = ", ".join(name for name, its in state.alarms.items() if its == problem)
        yield f"alarms of {source} that page are not OK but {problem}: {names}"
    for alarm, missing in state.blind.items():
        yield (
            f"alarm {alarm} of {source} watches something that does not exist: {missing}; deploy to"
            f" {source} again"
        )
    if not state.alarms:
        yield f"no alarm of {source} pages anybody: nobody would know that something is wrong"
    if state.smoke_failure is not None:
        yield f"the smoke test fails on {source}: {state.smoke_failure}"


def require_promotable(
    build: Build,
    source: str,
    target: str,
    *,
    source_profile: str | None,
    target_profile: str | None,
) -> None:
    """Raise `Refused` with all reasons against a promotion, or `CannotBegin`."""
    build.require(source, target)
    _refuse(build, source, target, list(objections_to_build(build, source, target)))
    try:
        state = inspect_source(
            DeployedEnvironment.of_build(build, source, profile=source_profile), build
        )
        shortage = quotas.concurrency_shortage(
            DeployedEnvironment.of_build(build, target, profile=target_profile),
            build.assembly.stacks(target),
        )
    except (BotoCoreError, ClientError) as error:
        raise CannotBegin(
            f"AWS did not show {source} or the account of {target}: {error}"
        ) from error
    reasons = [*objections_to_source(build, source, state), *([shortage] if shortage else ())]
    _refuse(build, source, target, reasons)


def _refuse(build: Build, source: str, target: str, reasons: Collection[str]) -> None:
    if reasons:
        raise Refused(
            f"{build.manifest.title} is not promoted from {source} to {target}:"
            + "".join(f"\n  - {reason}" for reason in reasons)
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make promote", description=__doc__)
    parser.add_argument("--from", dest="source", required=True, metavar="ENVIRONMENT")
    parser.add_argument("--to", dest="target", required=True, metavar="ENVIRONMENT")
    parser.add_argument("--from-profile", help="AWS credentials for FROM; the shell's by default")
    parser.add_argument("--to-profile", help="AWS credentials for TO; the shell's by default")
    parser.add_argument("--dry-run", action="store_true", help="only say whether it would")
    parser.add_argument("--build", type=Path, default=RELEASE)
    wanted = parser.parse_args()
    source: str = wanted.source
    target: str = wanted.target

    def verb() -> int:
        refuse_local_system(target)
        build = Build.read(wanted.build.resolve())
        require_promotable(
            build,
            source,
            target,
            source_profile=wanted.from_profile,
            target_profile=wanted.to_profile,
        )
        if wanted.dry_run:
            print(f"{build.manifest.title} can be promoted from {source} to {target}")
            return ExitCode.DONE
        deploy(build, target, source=source, profile=wanted.to_profile)
        print(f"{target} runs {build.manifest.title}, promoted from {source}")
        return ExitCode.DONE

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
