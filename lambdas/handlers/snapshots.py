"""Lambda SnapStart: Lambda initializes a version once, when it is published, and starts every
environment from a snapshot of its memory.

What exists before the snapshot is therefore shared by all environments, and may be days old. So
nothing may call anybody before it: an open connection would be dead, and the issuer's keys would
look fresh forever, because `time.monotonic` stands still in a snapshot. Random numbers would be the
same in all environments, and so would the waits between attempts that should spread calls out.

Without SnapStart, Lambda never calls what is registered here.
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

import os
import random
from collections.abc import Callable

from lambdas.bootstrap import Service
from lambdas.handlers.entry_point import logger, service_of_process


def before_snapshot(build: Callable[[Service], object]) -> None:
    """Build the parts that requests use before the snapshot is taken. `build` reads them.

    It must not call anything: building a boto3 client only asks Lambda for credentials. If it gives
    none, the parts are built by the first request.
    """
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        return
    # Only the Lambda runtime has it.
    from snapshot_restore_py import register_after_restore, register_before_snapshot

    def build_parts() -> None:
        from botocore.exceptions import BotoCoreError

        try:
            build(service_of_process())
        except BotoCoreError:
            logger.warning("not everything was built before the snapshot", exc_info=True)

    register_before_snapshot(build_parts)
    # Unlike `secrets` and `uuid4`, which ask the operating system, it repeats what was in memory.
    register_after_restore(random.seed)
