"""Prepares an account and region for the CDK. Needed once, before the first deployment there.

    make bootstrap [ENVIRONMENT=dev | TARGET=aws://111111111111/eu-central-1] [ARGS=…]

Without either, it uses the account and region of the shell's credentials. ARGS are passed on to
`cdk bootstrap`.
Exit codes: that of `cdk bootstrap`, or 2 if it could not begin.
"""

import argparse
import subprocess
import sys
import tempfile

from botocore.exceptions import BotoCoreError, ClientError

from operations.build import CDK
from operations.deployment import LOCAL, NoDeployment, session


def target(environment: str | None, profile: str | None) -> str:
    """Name the account and region of an environment, or of the shell. Raises `NoDeployment`."""
    account, region = _configured(environment) if environment is not None else (None, None)
    opened = session(profile=profile, region=region)
    if not opened.region_name:
        raise NoDeployment("no region is set: set AWS_REGION, or give TARGET")
    try:
        account = account or opened.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise NoDeployment(
            f"the AWS account cannot be determined ({error}): check the credentials of this shell,"
            " or give TARGET"
        ) from error
    return f"aws://{account}/{opened.region_name}"


def _configured(environment: str) -> tuple[str | None, str | None]:
    # Imported here, because it starts the CDK's own engine.
    from infra.environments import all_environments

    known = {each.name: each for each in all_environments(local_endpoint="")}
    known.pop(LOCAL)  # `make run` bootstraps it
    if environment not in known:
        raise NoDeployment(f"there is no environment {environment!r}, only {', '.join(known)}")
    return known[environment].account, known[environment].region


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bootstrap", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--environment")
    where.add_argument("--target", metavar="aws://ACCOUNT/REGION")
    parser.add_argument("--profile", help="AWS credentials; the shell's by default")
    parser.add_argument("more", nargs="*", metavar="-- …", help="passed on to `cdk bootstrap`")
    wanted = parser.parse_args()
    try:
        to = wanted.target or target(wanted.environment, wanted.profile)
    except NoDeployment as error:
        print(error, file=sys.stderr)
        return 2
    profile = ("--profile", wanted.profile) if wanted.profile else ()
    # In a folder without cdk.json: with one, the CLI would synthesize all environments first.
    with tempfile.TemporaryDirectory() as empty:
        command = [str(CDK), "bootstrap", to, *profile, *wanted.more]
        return subprocess.run(command, cwd=empty, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
