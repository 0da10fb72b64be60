"""Promotes the build from one environment to the next: what was tried is what is deployed.

    make promote FROM=staging TO=prod

It refuses, and gives all reasons at once, unless: the build is of a clean commit, and as it was
built; the two environments follow each other; FROM runs exactly this build; the alarms of FROM that
page are OK, and none of its alarms watches something that no longer exists; the smoke test passes
on FROM; and the account of TO has room for what the build reserves. Then it deploys the same
assembly to TO with the ordinary CDK CLI, plays the smoke test there, and keeps a record with the
deployment.
Exit codes: 0 promoted, 1 refused, 2 could not begin (neither changes anything), 3 deployed, or
tried to, but it does not work.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from operations import quotas, records
from operations.assembly import BUILD, Build, NoBuild
from operations.deploy import (
    BROKEN,
    COULD_NOT_BEGIN,
    DONE,
    REFUSED,
    DeploymentFailed,
    deploy,
    find,
    say,
    smoke_failure,
)
from operations.deployment import Deployment, NoDeployment
from operations.records import Record
from operations.running import blind_alarms, changed_stacks, code_of_functions, paging_alarms


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What an environment was seen to be, before anything is promoted from it."""

    record: Record | None
    """What was recorded when it was deployed to."""
    changed_stacks: list[str] = field(default_factory=list)
    """The stacks whose template is not the one of the build."""
    code: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of the code that each function runs."""
    alarms: Mapping[str, str] = field(default_factory=dict)
    """The state of each alarm that pages."""
    blind: Mapping[str, str] = field(default_factory=dict)
    """The missing resources that an alarm watches, by the alarm's name."""
    smoke_failure: str | None = None


def look_at(deployment: Deployment, build: Build) -> Seen:
    """See what an environment runs and how it is. Raises `NoDeployment`."""
    stacks = build.assembly.stacks(deployment.environment)
    service = next(stack for stack in stacks if stack.functions())
    return Seen(
        record=records.read(deployment),
        changed_stacks=changed_stacks(deployment, stacks),
        code=code_of_functions(deployment, service),
        alarms=paging_alarms(deployment),
        blind=blind_alarms(deployment),
        smoke_failure=smoke_failure(deployment),
    )


def refused_by_build(build: Build, source: str, target: str) -> Iterator[str]:
    """Give the reasons that lie in the build itself, and in the order of its environments."""
    manifest = build.manifest
    if not manifest.clean:
        yield (
            "the build is not from a clean commit: commit what is in the working tree, and"
            " `make build` again"
        )
    if not build.is_intact():
        yield "the assembly is not as it was built: `make build` again"
    order = manifest.neighbours(target)
    if source not in order:
        yield f"{source} and {target} do not run the same bundle"
    elif order.index(target) != order.index(source) + 1:
        yield f"{target} does not follow {source}: the order is {', '.join(order)}"


def refused_by_source(build: Build, source: str, seen: Seen) -> Iterator[str]:
    """Give the reasons that lie in what the source environment was seen to be."""
    manifest, record = build.manifest, seen.record
    asset = manifest.environments[source]
    if record is None:
        yield f"nothing is recorded of {source}: it was not deployed to with `make deploy`"
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
        others = [name for name, code in seen.code.items() if code != record.codeSha256]
        if others:
            yield (
                f"{source} does not run this bundle: since it was deployed, somebody changed the"
                f" code of {', '.join(others)}"
            )
    if seen.changed_stacks:
        yield f"{source} does not run this build: {', '.join(seen.changed_stacks)} is another"
    for state in sorted(set(seen.alarms.values()) - {"OK"}):
        names = ", ".join(name for name, its in seen.alarms.items() if its == state)
        yield f"alarms of {source} that page are not OK but {state}: {names}"
    for alarm, missing in seen.blind.items():
        yield (
            f"alarm {alarm} of {source} watches something that does not exist: {missing}; deploy to"
            f" {source} again"
        )
    if not seen.alarms:
        yield f"no alarm of {source} pages anybody: nobody would know that something is wrong"
    if seen.smoke_failure is not None:
        yield f"the smoke test fails on {source}: {seen.smoke_failure}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make promote", description=__doc__)
    parser.add_argument("--from", dest="source", required=True, metavar="ENVIRONMENT")
    parser.add_argument("--to", dest="target", required=True, metavar="ENVIRONMENT")
    parser.add_argument("--from-profile", help="AWS credentials for FROM; the shell's by default")
    parser.add_argument("--to-profile", help="AWS credentials for TO; the shell's by default")
    parser.add_argument("--dry-run", action="store_true", help="only say whether it would")
    parser.add_argument("--build", type=Path, default=BUILD)
    wanted = parser.parse_args()
    source: str = wanted.source
    target: str = wanted.target
    try:
        build = Build.read(wanted.build.resolve())
        build.require(source)
        build.require(target)
        reasons = list(refused_by_build(build, source, target))
        reasons += refused_by_source(
            build, source, look_at(find(build, source, wanted.from_profile), build)
        )
        reasons += quotas.refused_by_account(
            find(build, target, wanted.to_profile), build.assembly.stacks(target)
        )
    except (NoBuild, NoDeployment) as error:
        print(error, file=sys.stderr)
        return COULD_NOT_BEGIN
    except (BotoCoreError, ClientError) as error:
        print(f"{source} cannot be looked at: {error}", file=sys.stderr)
        return COULD_NOT_BEGIN
    if reasons:
        print(f"{build.manifest.title} is not promoted from {source} to {target}:", file=sys.stderr)
        for reason in reasons:
            print(f"  - {reason}", file=sys.stderr)
        return REFUSED
    if wanted.dry_run:
        say(f"{build.manifest.title} can be promoted from {source} to {target}")
        return DONE
    try:
        deploy(build, target, source=source, profile=wanted.to_profile)
    except NoDeployment as error:
        print(error, file=sys.stderr)
        return COULD_NOT_BEGIN
    except (DeploymentFailed, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return BROKEN
    say(f"{target} runs {build.manifest.title}, promoted from {source}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
