"""Prints an access token for the running local system, and nothing else on standard output.

    make token BUSINESS=b1 USER=u1 [SCOPE=operator]
    make token SCOPE=backend

A role works on every business. A token without one needs a business.
Exit codes: 0 printed, 1 no system is running, 2 the arguments are wrong.
"""

import argparse
import fcntl
import sys
from collections.abc import Collection

from operations.shared.local_system import LocalSystem, NotRunning, state_folder
from operations.shared.user_pool import sign_in

ROLES = ("operator", "backend")


def access_token(
    system: LocalSystem,
    *,
    user: str,
    businesses: Collection[str] = (),
    roles: Collection[str] = (),
) -> str:
    """Sign in a user who is a member of exactly these businesses and has exactly these roles.

    The user and the groups are created in the Cognito pool if they do not exist.
    """
    groups = {*(f"business:{business}" for business in businesses), *roles}
    # A token has the user's groups at that moment, and another process may change them.
    with (state_folder() / "token.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return sign_in(
            system.client("cognito-idp"),
            pool=system.userPoolId,
            client=system.userPoolClientId,
            user=user,
            groups=groups,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.token", description=__doc__)
    parser.add_argument("--business", action="append", default=[], help="may be repeated")
    parser.add_argument("--user", default="u1")
    parser.add_argument(
        "--scope", action="append", default=[], choices=ROLES, help="may be repeated"
    )
    wanted = parser.parse_args()
    try:
        system = LocalSystem.running()
    except NotRunning as error:
        print(error, file=sys.stderr)
        return 1
    if not wanted.business and not wanted.scope:
        print(
            "make token needs BUSINESS=b1 (or another), or a role that works on every business:"
            f" SCOPE={' or SCOPE='.join(ROLES)}",
            file=sys.stderr,
        )
        return 2
    print(access_token(system, user=wanted.user, businesses=wanted.business, roles=wanted.scope))
    return 0


if __name__ == "__main__":
    sys.exit(main())
