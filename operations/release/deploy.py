"""Deploys the build to the first environment; the next ones are promoted to.

    make deploy ENVIRONMENT=dev

It deploys what `make build` made with the ordinary CDK CLI, plays the smoke test, and keeps a
record of the deployment and the build itself, for a rollback. Only one deployment to an
environment runs at a time. --force deploys a clean build to any environment, even if earlier
environments never ran it. --unguarded ignores the alarms that would stop a gradual deployment.
Exit codes: 0 done, 1 refused, 2 could not begin and nothing changed (no build, no credentials, a
quota that is too small), 3 deployed, or tried to, but it does not work.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from botocore.exceptions import BotoCoreError, ClientError

from operations.release import quotas, records, stored_builds
from operations.release.assembly import Build
from operations.release.canary_credential import give_credential
from operations.release.cdk import cdk_deploy
from operations.release.deployment_lock import DeploymentLock, LockLost, deployment_lock
from operations.release.live_state import (
    StackState,
    changed_stacks,
    code_of_functions,
    log_groups,
    stack_states,
)
from operations.release.records import Record
from operations.release.smoke import smoke
from operations.shared.environment import DeployedEnvironment, require_deployable
from operations.shared.verbs import (
    CannotBegin,
    DeploymentFailed,
    ExitCode,
    Refused,
    exit_code,
    verb_parser,
)


def deploy(
    build: Build,
    name: str,
    *,
    source: str | None = None,
    rolled_back_from: str | None = None,
    seen: int | None = None,
    unguarded: bool = False,
    profile: str | None = None,
) -> None:
    """Deploy to an environment, play the smoke test on it, and record both.

    A rollback passes what it leaves, and the version of the record that it has `seen`: if there is
    a newer one, it is refused.

    Raises `Refused` or `CannotBegin` if nothing was changed, and `DeploymentFailed` otherwise. If
    the smoke test failed, the record says so.
    """
    with _nothing_deployed(name):
        environment = build.environment(name, profile=profile)
    with deployment_lock(environment, f"deployment of {build.manifest.title}") as lock:
        with _nothing_deployed(name):
            previous, version = records.newest(environment)
            if seen is not None and version != seen:
                raise Refused(f"somebody has deployed to {name} since this rollback was decided")
            before = stack_states(environment)
            _require_at_rest(name, before)
            quotas.require(environment, build.assembly.stacks(name))
            _unprotect_failed_creations(environment, before)
            stored_builds.store(environment, build)
        record = Record(
            commit=build.manifest.commit,
            clean=build.manifest.clean,
            assetHash=build.manifest.environments[name],
            codeSha256=None,
            source=source,
            target=name,
            at=_now(),
            by=environment.caller["Arn"],
            smoke="pending",
            digest=build.manifest.digest,
            rolledBackFrom=rolled_back_from,
        )
        print(f"deploying {build.manifest.title} to {name}")
        with _nothing_deployed(name):
            records.write(environment, record, lock)
        with _interruptible(name, lock):
            if not cdk_deploy(
                build, environment, unguarded=unguarded, at=record.at, profile=profile, lock=lock
            ):
                after = stack_states(environment)
                if after == before:
                    _restore_record(environment, previous, lock, is_first=version == 0)
                    raise CannotBegin(f"`cdk deploy` to {name} failed before it changed any stack")
                raise DeploymentFailed(
                    f"`cdk deploy` to {name} failed, and left {_changes(before, after)}.\n"
                    "The reason is in the events above. More events and the logs: docs/runbook.md,"
                    f' "A deployment was rolled back"{_way_back(record, previous)}'
                )
            _test(build, environment, record, previous, lock)
        # Not earlier: the canary begins with its credential, and pages if what it plays fails.
        try:
            give_credential(environment)
        except CannotBegin as error:
            raise DeploymentFailed(
                f"{name} was deployed and works, but its canary got no credential: {error}"
            ) from error


@contextmanager
def _nothing_deployed(name: str) -> Iterator[None]:
    """Raise `CannotBegin` if AWS refuses a step before the CDK CLI runs."""
    try:
        yield
    except (BotoCoreError, ClientError, LockLost) as error:
        raise CannotBegin(f"nothing was deployed to {name}: {error}") from error


@contextmanager
def _interruptible(name: str, lock: DeploymentLock) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if lock.lost is not None:
            raise
        raise DeploymentFailed(
            f"interrupted: CloudFormation goes on with what it has begun in {name}, and the record"
            " says that this deployment did not finish. Deploy or roll back once it has"
        ) from None


def _restore_record(
    environment: DeployedEnvironment,
    previous: Record | None,
    lock: DeploymentLock,
    *,
    is_first: bool,
) -> None:
    """Take back the record of a deployment that changed nothing. Raises `CannotBegin`."""
    try:
        if is_first:
            records.delete(environment, lock)
        elif previous is not None:
            records.write(environment, previous, lock)
    except (BotoCoreError, ClientError) as error:
        raise CannotBegin(
            f"`cdk deploy` to {environment.name} failed before it changed any stack, and the record"
            f" goes on to say that it did not finish, because it cannot be written: {error}"
        ) from error


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")


def _require_at_rest(name: str, stacks: Mapping[str, StackState]) -> None:
    """Raise `CannotBegin` if CloudFormation is changing a stack, or cannot change it."""
    for stack, state in stacks.items():
        if state.status.endswith("IN_PROGRESS"):
            raise CannotBegin(
                f"CloudFormation is changing {name}: {stack} is {state.status} since"
                f" {state.changed_at:%Y-%m-%d %H:%M:%S} UTC. An interrupted deployment goes on"
                " there, or somebody deploys by other means: try again when it has finished"
            )
        if state.status == "UPDATE_ROLLBACK_FAILED":
            raise CannotBegin(
                f"{stack} is UPDATE_ROLLBACK_FAILED, and CloudFormation changes nothing in it until"
                ' it is continued: docs/runbook.md, "A deployment was rolled back"'
            )
        if state.status == "ROLLBACK_FAILED":
            raise CannotBegin(
                f"{stack} is ROLLBACK_FAILED: it could not be created, and not be removed either:"
                ' docs/runbook.md, "First deploy of an environment"'
            )


def _unprotect_failed_creations(
    environment: DeployedEnvironment, stacks: Mapping[str, StackState]
) -> None:
    """Let the CDK CLI delete a stack that could not be created. It never held any data."""
    for stack, state in stacks.items():
        if state.status == "ROLLBACK_COMPLETE":
            environment.client("cloudformation").update_termination_protection(
                StackName=stack, EnableTerminationProtection=False
            )


def _changes(before: Mapping[str, StackState], after: Mapping[str, StackState]) -> str:
    """Say in what state a failed deployment left each stack."""
    states = {name: "deleted" for name in before if name not in after} | {
        name: "as it was" if state == before.get(name) else state.status
        for name, state in after.items()
    }
    return ", ".join(f"{name} {state}" for name, state in states.items())


def _way_back(record: Record, previous: Record | None) -> str:
    """Say how to return to what ran before, if anything did."""
    if previous is None or (previous.smoke != "passed" and previous.rolledBackFrom is None):
        return ""
    # A rollback that is repeated goes to the same build again.
    another = " COMMIT=<another>" if record.rolledBackFrom is not None else ""
    return f"\nTo return to what ran before: make rollback ENVIRONMENT={record.target}{another}"


def _test(
    build: Build,
    environment: DeployedEnvironment,
    record: Record,
    previous: Record | None,
    lock: DeploymentLock,
) -> None:
    """Play the smoke test on what was deployed, and record the result."""
    name, stacks = environment.name, build.assembly.stacks(environment.name)
    service = next(stack for stack in stacks if stack.functions())
    code = set(code_of_functions(environment, service).values())
    if len(code) != 1:
        raise DeploymentFailed(f"the functions of {name} do not all run the same bundle: {code}")
    try:
        failure = smoke(environment)
    except CannotBegin as error:
        failure = str(error)
    # Another deployment would explain both a failure and a success.
    if others := changed_stacks(environment, stacks):
        raise DeploymentFailed(
            f"somebody else deployed to {name} meanwhile, by other means than these tools:"
            f" {', '.join(others)} no longer has the template of this build. The result of the"
            " smoke test is not recorded"
        )
    result: Literal["passed", "failed"] = "passed" if failure is None else "failed"
    done = replace(record, codeSha256=code.pop(), at=_now(), smoke=result)
    records.write(environment, done, lock)
    print(f"recorded in {records.parameter(name)}")
    if failure is not None:
        logs = "".join(f"\n  {group}" for group in log_groups(environment, service))
        raise DeploymentFailed(
            f"{name} was deployed, and its smoke test failed: {failure}\n"
            f"The logs of its functions (`aws logs tail <name>`):{logs}"
            f"{_way_back(record, previous)}"
        )


def main() -> int:
    parser = verb_parser("deploy", __doc__)
    parser.add_argument(
        "--force",
        action="store_true",
        help="deploy even if earlier environments never ran this build",
    )
    parser.add_argument("--unguarded", action="store_true", help="ignore the alarms that guard it")
    wanted = parser.parse_args()
    name: str = wanted.environment

    def verb() -> int:
        require_deployable(name)
        with Build.taken() as build:
            build.require(name)
            if not build.is_intact():
                raise Refused("the assembly was changed after it was built: `make build` again")
            first, *_ = build.manifest.neighbours(name)
            if name != first and not wanted.force:
                raise Refused(
                    f"{name} comes after {first}: promote to it with `make promote`, or deploy"
                    " anyway with FORCE=1"
                )
            if name != first and not build.manifest.clean:
                raise Refused(
                    f"the build has uncommitted changes, and only {first} gets such a build, also"
                    " with FORCE=1: commit them, and `make build` again"
                )
            deploy(build, name, unguarded=wanted.unguarded, profile=wanted.profile)
        print(f"{name} runs {build.manifest.title}")
        return ExitCode.DONE

    return exit_code(verb)


if __name__ == "__main__":
    sys.exit(main())
