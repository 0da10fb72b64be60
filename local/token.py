"""Prints an access token for the running local system, and nothing else on standard output.

make token BUSINESS=b1 USER=u1 [SCOPE=operator]
"""

import argparse
import fcntl
import secrets
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from operations.shared.local_system import LocalSystem, NotRunning, state_folder

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
    cognito = system.client("cognito-idp")
    groups = {*(f"business:{business}" for business in businesses), *roles}
    # A token has the user's groups at that moment, and another process may change them.
    with (state_folder() / "token.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        password = _with_new_password(cognito, system.userPoolId, user)
        _put_into_groups(cognito, system.userPoolId, user, groups)
        answer = cognito.admin_initiate_auth(
            UserPoolId=system.userPoolId,
            ClientId=system.userPoolClientId,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": user, "PASSWORD": password},
        )
    return str(answer["AuthenticationResult"]["AccessToken"])


def _with_new_password(cognito: Any, pool: str, user: str) -> str:
    with suppress(cognito.exceptions.UsernameExistsException):
        cognito.admin_create_user(UserPoolId=pool, Username=user, MessageAction="SUPPRESS")
    password = f"aA1!{secrets.token_urlsafe(24)}"
    cognito.admin_set_user_password(
        UserPoolId=pool, Username=user, Password=password, Permanent=True
    )
    return password


def _put_into_groups(cognito: Any, pool: str, user: str, wanted: set[str]) -> None:
    pages = cognito.get_paginator("admin_list_groups_for_user").paginate(
        UserPoolId=pool, Username=user
    )
    present = {group["GroupName"] for page in pages for group in page["Groups"]}
    for group in present - wanted:
        cognito.admin_remove_user_from_group(UserPoolId=pool, Username=user, GroupName=group)
    for group in wanted - present:
        with suppress(cognito.exceptions.GroupExistsException):
            cognito.create_group(UserPoolId=pool, GroupName=group)
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=user, GroupName=group)


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
    print(access_token(system, user=wanted.user, businesses=wanted.business, roles=wanted.scope))
    return 0


if __name__ == "__main__":
    sys.exit(main())
