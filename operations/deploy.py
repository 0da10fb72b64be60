"""Deploys the build to the first environment; the next ones are promoted to.

    make deploy ENVIRONMENT=dev

It deploys what `make build` made with the ordinary CDK CLI, plays the smoke test, and keeps a
record with the deployment. --force deploys to any environment, even if earlier environments never
ran this build. --unguarded ignores the alarms that would stop a gradual deployment.
Exit codes: 0 done, 1 refused, 2 could not begin and nothing changed (no build, no credentials, a
quota that is too small), 3 deployed, or tried to, but it does not work.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from infra.parameters import DEPLOYMENT, GUARD
from operations import quotas, records
from operations.assembly import BUILD, Build, NoBuild
from operations.build import CDK
from operations.deployment import Deployment, NoDeployment
from operations.records import Record
from operations.running import StackState, code_of_functions, stack_states
from operations.smoke import SmokeFailed, smoke

DONE: Final = 0
REFUSED: Final = 1
COULD_NOT_BEGIN: Final = 2
BROKEN: Final = 3


class DeploymentFailed(Exception):
    """The CDK CLI failed, or what it deployed does not work. The text says which."""


def say(line: str) -> None:
    print(line, flush=True)


def find(build: Build, environment: str, profile: str | None) -> Deployment:
    """Find an environment of a build, where the build says that it is. Raises `NoDeployment`."""
    data = build.assembly.stacks(environment)[0]
    deployment = Deployment(environment, profile=profile, region=data.region)
    if data.account is not None:
        account = deployment.client("sts").get_caller_identity()["Account"]
        if account != data.account:
            raise NoDeployment(
                f"{environment} is in account {data.account}, and these credentials are of"
                f" {account}: check AWS_PROFILE, or the profile given for {environment}"
            )
    return deployment


def deploy(
    build: Build,
    environment: str,
    *,
    source: str | None = None,
    rolled_back_from: str | None = None,
    unguarded: bool = False,
    profile: str | None = None,
) -> Record:
    """Deploy to an environment, play the smoke test on it, and keep the record of both.

    Raises `NoDeployment` if nothing was changed, for example because a quota is too small, and
    `DeploymentFailed` otherwise. If the smoke test failed, the record says so.
    """
    say(f"deploying {build.manifest.title} to {environment}")
    with _interruptible(environment):
        try:
            deployment = find(build, environment, profile)
            quotas.require(deployment, build.assembly.stacks(environment))
            stacks, previous = stack_states(deployment), records.read(deployment)
            record = Record(
                commit=build.manifest.commit,
                clean=build.manifest.clean,
                assetHash=build.manifest.environments[environment],
                codeSha256=None,
                source=source,
                target=environment,
                at=_now(),
                by=records.who(deployment),
                smoke="pending",
                rolledBackFrom=rolled_back_from,
            )
            records.write(deployment, record)
        except (BotoCoreError, ClientError) as error:
            raise NoDeployment(f"nothing was deployed to {environment}: {error}") from error
        if not _cdk_deploy(build, environment, unguarded=unguarded, at=record.at, profile=profile):
            now = stack_states(deployment)
            if now == stacks:
                if previous is not None:
                    records.write(deployment, previous)
                raise NoDeployment(
                    f"`cdk deploy` to {environment} failed before it changed any stack"
                )
            raise DeploymentFailed(
                f"`cdk deploy` to {environment} failed, and left {_told(stacks, now)}"
            )
        return _checked(build, deployment, record)


@contextmanager
def _interruptible(environment: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise DeploymentFailed(
            f"interrupted: CloudFormation goes on with what it began in {environment}; deploy or"
            " roll back once it has finished"
        ) from None


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")


def _told(before: Mapping[str, StackState], after: Mapping[str, StackState]) -> str:
    """Say in what state a failed deployment left each stack."""
    return ", ".join(
        f"{name} {'as it was' if state == before.get(name) else state.status}"
        for name, state in after.items()
    )


def _checked(build: Build, deployment: Deployment, record: Record) -> Record:
    """Play the smoke test on what was deployed, and record its result."""
    environment = deployment.environment
    service = next(stack for stack in build.assembly.stacks(environment) if stack.functions())
    code = set(code_of_functions(deployment, service).values())
    if len(code) != 1:
        raise DeploymentFailed(f"the functions of {environment} do not run one bundle: {code}")
    try:
        failure = smoke_failure(deployment)
    except NoDeployment as error:
        failure = str(error)
    result: Literal["passed", "failed"] = "passed" if failure is None else "failed"
    record = replace(record, codeSha256=code.pop(), at=_now(), smoke=result)
    records.write(deployment, record)
    say(f"recorded in {records.parameter(environment)}")
    if failure is not None:
        raise DeploymentFailed(f"{environment} was deployed, and its smoke test failed: {failure}")
    return record


def smoke_failure(deployment: Deployment) -> str | None:
    """Play the smoke test; say why it failed. Raises `NoDeployment` if it could not begin."""
    say(f"smoke test of {deployment.environment}")
    try:
        smoke(deployment, say=lambda line: say(f"  {line}"))
    except SmokeFailed as failure:
        return str(failure)
    return None


def _cdk_deploy(
    build: Build, environment: str, *, unguarded: bool, at: str, profile: str | None
) -> bool:
    """Run `cdk deploy` to its end, and return whether it succeeded."""
    deployed = subprocess.run(
        [
            *(str(CDK), "deploy", f"{environment}/*", "--app", str(build.assembly.folder)),
            *("--require-approval", "never", "--progress", "events"),
            *parameters(build, environment, unguarded=unguarded, at=at),
            *(("--profile", profile) if profile else ()),
        ],
        # In a folder without cdk.json: everything there is about making an assembly.
        cwd=build.assembly.folder.parent,
        env={**os.environ, "CDK_DISABLE_CLI_TELEMETRY": "true"},
        check=False,
    )
    return deployed.returncode == 0


def parameters(build: Build, environment: str, *, unguarded: bool, at: str) -> list[str]:
    """Return the options of `cdk deploy` for the parameters of the stacks.

    All are passed every time: CloudFormation keeps the last deployment's values of any others.
    """
    values = {
        GUARD: "false" if unguarded else "true",
        DEPLOYMENT: f"{build.manifest.commit[:12]} at {at}",
    }
    given = [
        (name, f"{stack.name}:{name}={value}")
        for stack in build.assembly.stacks(environment)
        for name, value in values.items()
        if name in stack.template.get("Parameters", {})
    ]
    if unguarded and GUARD not in dict(given):
        say(f"this build has no {GUARD} for {environment}: UNGUARDED has no effect")
    return [word for _, option in given for word in ("--parameters", option)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make deploy", description=__doc__)
    parser.add_argument("--environment", required=True)
    parser.add_argument(
        "--force",
        action="store_true",
        help="deploy even if earlier environments never ran this build",
    )
    parser.add_argument("--unguarded", action="store_true", help="ignore the alarms that guard it")
    parser.add_argument("--profile", help="AWS credentials; the shell's by default")
    parser.add_argument("--build", type=Path, default=BUILD)
    wanted = parser.parse_args()
    environment: str = wanted.environment
    try:
        build = Build.read(wanted.build.resolve())
        build.require(environment)
        if not build.is_intact():
            print("the assembly is not as it was built: `make build` again", file=sys.stderr)
            return REFUSED
        first, *_ = build.manifest.neighbours(environment)
        if environment != first and not wanted.force:
            print(
                f"{environment} comes after {first}: promote to it with `make promote`, or deploy"
                " anyway with FORCE=1",
                file=sys.stderr,
            )
            return REFUSED
        deploy(build, environment, unguarded=wanted.unguarded, profile=wanted.profile)
    except (NoBuild, NoDeployment) as error:
        print(error, file=sys.stderr)
        return COULD_NOT_BEGIN
    except DeploymentFailed as error:
        print(error, file=sys.stderr)
        return BROKEN
    except (BotoCoreError, ClientError) as error:
        print(f"AWS refused a step: {error}", file=sys.stderr)
        return BROKEN
    say(f"{environment} runs {build.manifest.title}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
