"""Deploys the build to the first environment; the next ones are promoted to.

    make deploy ENVIRONMENT=dev

It deploys what `make build` made with the ordinary CDK CLI, plays the smoke test, and keeps a
record with the deployment. --force deploys to any environment without asking whether the build was
tried before: for going back to an earlier build.
Exit codes: 0 done, 1 refused, 2 could not begin (no build, no credentials, a quota that is too
small), 3 deployed, or tried to, and it does not work.
"""

import argparse
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from operations import quotas, records
from operations.assembly import BUILD, Build, NoBuild
from operations.build import CDK
from operations.deployment import Deployment, NoDeployment
from operations.records import Record
from operations.running import code_of_functions
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
    build: Build, environment: str, *, source: str | None = None, profile: str | None = None
) -> Record:
    """Deploy to an environment, play the smoke test on it, and keep the record of both.

    Raises `NoDeployment` before anything is deployed, for a quota that is too small too, and
    `DeploymentFailed` afterwards; where the smoke test failed, the record says so.
    """
    quotas.require(find(build, environment, profile), build.assembly.stacks(environment))
    say(f"deploying {build.manifest.title} to {environment}")
    _cdk_deploy(build, environment, profile)
    deployment = find(build, environment, profile)
    service = next(stack for stack in build.assembly.stacks(environment) if stack.functions())
    code = set(code_of_functions(deployment, service).values())
    if len(code) != 1:
        raise DeploymentFailed(f"the functions of {environment} do not run one bundle: {code}")
    failure = _smoke(deployment)
    record = Record(
        commit=build.manifest.commit,
        clean=build.manifest.clean,
        assetHash=build.manifest.environments[environment],
        codeSha256=code.pop(),
        source=source,
        target=environment,
        at=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        by=records.who(deployment),
        smoke="passed" if failure is None else "failed",
    )
    records.write(deployment, record)
    say(f"recorded in {records.parameter(environment)}")
    if failure is not None:
        raise DeploymentFailed(f"{environment} was deployed, and its smoke test failed: {failure}")
    return record


def _smoke(deployment: Deployment) -> str | None:
    say(f"smoke test of {deployment.environment}")
    try:
        smoke(deployment, say=lambda line: say(f"  {line}"))
    except (SmokeFailed, NoDeployment) as failure:
        return str(failure)
    return None


def _cdk_deploy(build: Build, environment: str, profile: str | None) -> None:
    deployed = subprocess.run(
        [
            *(str(CDK), "deploy", f"{environment}/*", "--app", str(build.assembly.folder)),
            *("--require-approval", "never", "--progress", "events"),
            *(("--profile", profile) if profile else ()),
        ],
        # In a folder without cdk.json: everything there is about making an assembly.
        cwd=build.assembly.folder.parent,
        env={**os.environ, "CDK_DISABLE_CLI_TELEMETRY": "true"},
        check=False,
    )
    if deployed.returncode != 0:
        raise DeploymentFailed(f"`cdk deploy` to {environment} failed; CloudFormation rolls back")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make deploy", description=__doc__)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--force", action="store_true", help="without what was tried before")
    parser.add_argument("--profile", help="of the AWS credentials; the shell's by default")
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
        deploy(build, environment, profile=wanted.profile)
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
