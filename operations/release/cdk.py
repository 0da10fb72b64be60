"""What is asked of the CDK CLI: how it is run, and with which stacks and parameters it deploys."""

import os

from infra.names import DEPLOYMENT, GUARD
from operations.release.assembly import Build
from operations.release.deployment_lock import DeploymentLock
from operations.release.live_state import stacks_in_the_way
from operations.shared.environment import PARTS, DeployedEnvironment
from operations.shared.repository import CDK, run_group


def cdk(*arguments: str, build: Build, region: str, profile: str | None) -> int:
    """Run the CDK CLI on a build, and return its exit code. An interrupt ends it."""
    assembly = build.assembly.folder
    command = [str(CDK), *arguments, "--app", str(assembly)]
    variables = {
        **os.environ,
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
    # In a folder with a cdk.json, the CLI would synthesize the application first.
    ended = run_group(
        [*command, *(("--profile", profile) if profile else ())], cwd=assembly.parent, env=variables
    )
    return ended.returncode


def cdk_deploy(
    build: Build,
    environment: DeployedEnvironment,
    *,
    unguarded: bool,
    at: str,
    profile: str | None,
    lock: DeploymentLock,
) -> bool:
    """Run `cdk deploy` to its end, and return whether it succeeded. Raises `LockLost`."""
    name = environment.name
    options = parameters(build, name, unguarded=unguarded, at=at)

    def run(*stacks: str) -> bool:
        lock.confirm()
        deployed = cdk(
            *("deploy", *stacks, "--require-approval", "never", "--progress", "events", *options),
            build=build,
            region=environment.region,
            profile=profile,
        )
        return deployed == 0

    # For example when a rollback goes back to a build whose data stack had less.
    in_the_way = stacks_in_the_way(environment, build.assembly.stacks(name))
    first = [f"{name}/{part}" for part in PARTS if environment.stack(part) in in_the_way]
    if first:
        print(f"first {', '.join(first)}: what they use of another stack is not in this build")
        if not run(*first, "--exclusively"):
            return False
    return run(f"{name}/*")


def parameters(build: Build, name: str, *, unguarded: bool, at: str) -> list[str]:
    """The options of `cdk deploy` for the parameters of the stacks.

    All are passed every time: CloudFormation keeps the last deployment's values of any others.
    """
    values = {
        GUARD: "false" if unguarded else "true",
        DEPLOYMENT: f"{build.manifest.commit[:12]} at {at}",
    }
    given = [
        (parameter, f"{stack.name}:{parameter}={value}")
        for stack in build.assembly.stacks(name)
        for parameter, value in values.items()
        if parameter in stack.template.get("Parameters", {})
    ]
    if unguarded and GUARD not in dict(given):
        print(f"this build has no {GUARD} for {name}: UNGUARDED has no effect")
    return [word for _, option in given for word in ("--parameters", option)]
