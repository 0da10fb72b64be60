"""Prepares an account and region for the CDK. Needed once, before the first deployment there.

    make bootstrap [ENVIRONMENT=dev | TARGET=aws://111111111111/eu-central-1] [ARGS=…]

Without either, it uses the account and region of the shell's credentials. ARGS are passed on to
`cdk bootstrap`.
Exit codes: that of `cdk bootstrap`, or 2 if it could not begin.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from operations.shared.environment import configured_environments, no_such_environment, session
from operations.shared.exit_codes import CannotBegin, exit_code
from operations.shared.repository import cdk


def target(environment: str | None, profile: str | None) -> str:
    """Name the account and region of an environment, or of the shell. Raises `CannotBegin`."""
    account, region = _configured(environment) if environment is not None else (None, None)
    opened = session(profile=profile, region=region)
    if not opened.region_name:
        raise CannotBegin("no region is set: set AWS_REGION, or give TARGET")
    try:
        account = account or opened.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise CannotBegin(
            f"the AWS account cannot be determined ({error}): check the credentials of this shell,"
            " or give TARGET"
        ) from error
    return f"aws://{account}/{opened.region_name}"


def _configured(environment: str) -> tuple[str | None, str | None]:
    known = configured_environments()
    if environment not in known:
        raise no_such_environment(environment)
    if known[environment].emulator is not None:
        raise CannotBegin(f"`make run` bootstraps and deploys {environment}")
    return known[environment].account, known[environment].region


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bootstrap", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--environment")
    where.add_argument("--target", metavar="aws://ACCOUNT/REGION")
    parser.add_argument("--profile", help="AWS credentials; the shell's by default")
    parser.add_argument("more", nargs="*", metavar="-- …", help="passed on to `cdk bootstrap`")
    wanted = parser.parse_args()

    def bootstrap() -> int:
        to = wanted.target or target(wanted.environment, wanted.profile)
        with tempfile.TemporaryDirectory() as empty:
            return cdk("bootstrap", to, *wanted.more, folder=Path(empty), profile=wanted.profile)

    return exit_code(bootstrap)


if __name__ == "__main__":
    sys.exit(main())
