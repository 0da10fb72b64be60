"""Promotes the build from one environment to the next: what was tested is what is deployed.

    make promote FROM=staging TO=prod [WAIT=1]

It is refused unless the build is from a clean commit, nothing in it was changed, and TO follows
FROM. This is checked first, without credentials. Then AWS is asked, and all reasons are given at
once: FROM must run exactly this build, its alarms that page must be OK and must have judged this
build alone, its smoke test must pass, and the account of TO must have room for what the build
reserves. Then the same assembly is deployed to TO as `make deploy` does.

--wait waits until the alarms have judged the build, for an hour at most. --dry-run only says
whether it would, and does not play the smoke test, which writes to FROM.
Exit codes: 0 promoted, 1 refused, 2 could not begin (neither changes anything), 3 deployed, or
tried to, but it does not work.
"""

import argparse
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.release import quotas, records
from operations.release.assembly import Build
from operations.release.deploy import deploy
from operations.release.deployment_lock import deployment_lock
from operations.release.live_state import (
    AlarmState,
    alarms_behind_pages,
    changed_stacks,
    code_of_functions,
    stack_states,
)
from operations.release.records import Record
from operations.release.smoke import smoke
from operations.shared.environment import (
    DeployedEnvironment,
    configured_environment,
    require_deployable,
)
from operations.shared.verbs import CannotBegin, ExitCode, Refused, exit_code

_LONGEST_WAIT: Final = timedelta(hours=1)

_BETWEEN_LOOKS: Final = timedelta(seconds=30)

_EVALUATION: Final = timedelta(minutes=2)
"""CloudWatch evaluates an alarm every minute, and metrics arrive some seconds late."""


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """The state of an environment that a build shall be promoted from."""

    record: Record | None
    """The record of its last deployment."""
    missing_stacks: list[str] = field(default_factory=list)
    """The stacks of the build that it does not have. The fields below are empty then."""
    changed_stacks: list[str] = field(default_factory=list)
    """The stacks whose template is not the one of the build."""
    code: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of the code that each function runs."""
    alarms: Mapping[str, AlarmState] = field(default_factory=dict)
    """The alarms that page, and those that these depend on."""

    @property
    def is_whole(self) -> bool:
        """Whether it is deployed, and no deployment is under way."""
        return (
            not self.missing_stacks and self.record is not None and self.record.smoke != "pending"
        )


def inspect_source(environment: DeployedEnvironment, build: Build) -> SourceState:
    """Find out what an environment runs and how it is. Raises `CannotBegin`."""
    stacks = build.assembly.stacks(environment.name)
    record, _ = records.newest(environment)
    existing = stack_states(environment)
    missing = [stack.name for stack in stacks if stack.name not in existing]
    if missing:
        return SourceState(record=record, missing_stacks=missing)
    service = next(stack for stack in stacks if stack.functions())
    return SourceState(
        record=record,
        changed_stacks=changed_stacks(environment, stacks),
        code=code_of_functions(environment, service),
        alarms=alarms_behind_pages(environment),
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
            f"the deployment of commit {record.commit[:12]} to {source}, begun {record.at} by"
            f" {record.by}, is not finished: wait for it. If it was interrupted, deploy again, or"
            f" `make rollback ENVIRONMENT={source}`"
        )
    elif record.assetHash != asset:
        yield (
            f"{source} does not run this bundle: it runs {record.assetHash[:12]} of commit"
            f" {record.commit[:12]}, and the build has {asset[:12]} of {manifest.commit[:12]}"
        )
    else:
        if record.smoke == "failed":
            yield f"the smoke test failed when this build was deployed to {source}"
        others = [name for name, code in state.code.items() if code != record.codeSha256]
        if others:
            yield (
                f"{source} does not run this bundle: since it was deployed, somebody changed the"
                f" code of {', '.join(others)}"
            )
    if state.missing_stacks:
        yield f"{source} is deployed in part only: it has no {', '.join(state.missing_stacks)}"
        return
    if state.changed_stacks:
        yield (
            f"{source} does not run this build: the templates of {', '.join(state.changed_stacks)}"
            " differ"
        )
    states = {name: alarm.state for name, alarm in state.alarms.items() if alarm.pages}
    for problem in sorted(set(states.values()) - {"OK", _NO_DATA}):
        names = ", ".join(name for name, its in states.items() if its == problem)
        yield f"alarms of {source} that page are not OK but {problem}: {names}"
    if not states:
        yield f"no alarm of {source} pages anybody: nobody would know that something is wrong"


_NO_DATA: Final = "INSUFFICIENT_DATA"


def what_time_will_tell(source: str, state: SourceState, now: datetime) -> Iterator[str]:
    """Give the reasons against a promotion that end by themselves: the alarms judge too little."""
    names = [n for n, alarm in state.alarms.items() if alarm.pages and alarm.state == _NO_DATA]
    if names:
        yield f"alarms of {source} that page are not OK but {_NO_DATA}: {', '.join(names)}"
    if state.record is None or not state.alarms:
        return
    took_over = datetime.fromisoformat(state.record.at)
    looks_back = max(alarm.looks_back for alarm in state.alarms.values())
    judged_at = took_over + looks_back + _EVALUATION
    if now < judged_at:
        yield (
            f"the alarms of {source} look back up to {looks_back // timedelta(minutes=1)} minutes,"
            f" so they judge this build alone from {judged_at:%H:%M:%S} UTC on: it took over at"
            f" {took_over:%H:%M:%S}"
        )


def require_promotable(
    build: Build,
    source: str,
    target: str,
    *,
    source_profile: str | None,
    target_profile: str | None,
    wait: bool,
    play_smoke_test: bool,
) -> None:
    """Raise `Refused` with all reasons against a promotion, or `CannotBegin`."""
    build.require(source, target)
    _refuse(build, source, target, list(objections_to_build(build, source, target)))
    try:
        environment = build.environment(source, profile=source_profile)
        shortage = quotas.concurrency_shortage(
            build.environment(target, profile=target_profile),
            build.assembly.stacks(target),
        )
        state, reasons = _judge_source(build, environment, wait=wait)
        if play_smoke_test and state.is_whole:
            with deployment_lock(environment, "smoke test before a promotion"):
                # Somebody may have deployed since, and the smoke test would be of something else.
                if records.newest(environment)[0] != state.record:
                    reasons.append(f"somebody has deployed to {source} meanwhile")
                elif (failure := smoke(environment)) is not None:
                    reasons.append(f"the smoke test fails on {source}: {failure}")
    except (BotoCoreError, ClientError) as error:
        raise CannotBegin(
            f"AWS did not show {source} or the account of {target}: {error}"
        ) from error
    _refuse(build, source, target, [*reasons, *([shortage] if shortage else ())])


def _judge_source(
    build: Build, environment: DeployedEnvironment, *, wait: bool
) -> tuple[SourceState, list[str]]:
    """The state of the source, and the reasons against a promotion that it shows.

    With `wait`, wait for the end of those that end by themselves.
    """
    name, told = environment.name, ""
    deadline = _now() + _LONGEST_WAIT
    while True:
        state = inspect_source(environment, build)
        lasting = list(objections_to_source(build, name, state))
        passing = list(what_time_will_tell(name, state, _now()))
        if lasting or not passing or not wait or _now() > deadline:
            return state, lasting + passing
        if passing[-1] != told:
            told = passing[-1]
            print(f"waiting: {told}")
        time.sleep(_BETWEEN_LOOKS.total_seconds())


def _now() -> datetime:
    return datetime.now(tz=UTC)


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
    parser.add_argument("--wait", action="store_true", help="wait until the alarms have judged it")
    parser.add_argument("--dry-run", action="store_true", help="only say whether it would")
    wanted = parser.parse_args()
    source: str = wanted.source
    target: str = wanted.target

    def verb() -> int:
        configured_environment(source)
        require_deployable(target)
        with Build.taken() as build:
            require_promotable(
                build,
                source,
                target,
                source_profile=wanted.from_profile,
                target_profile=wanted.to_profile,
                wait=wanted.wait,
                play_smoke_test=not wanted.dry_run,
            )
            if wanted.dry_run:
                print(
                    f"{build.manifest.title} can be promoted from {source} to {target}, if the"
                    f" smoke test passes on {source}: a dry run does not play it"
                )
                return ExitCode.DONE
            deploy(build, target, source=source, profile=wanted.to_profile)
        print(f"{target} runs {build.manifest.title}, promoted from {source}")
        return ExitCode.DONE

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
