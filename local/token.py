"""Prints an access token for the running local system, and nothing else on standard output.

python -m local.token --business b1 --user u1 [--scope operator]
"""

import argparse
import fcntl
import secrets
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from local.system import Endpoints, NotRunning, state_folder

ROLES = ("operator", "backend")


def access_token(
    endpoints: Endpoints,
    *,
    user: str,
    businesses: Collection[str] = (),
    roles: Collection[str] = (),
) -> str:
    """Sign a user in who is a member of exactly these businesses and has exactly these roles.

    The user and the groups come into being as needed, in the Cognito pool of the running system.
    """
    cognito = endpoints.client("cognito-idp")
    groups = {*(f"business:{business}" for business in businesses), *roles}
    # A token carries the groups of the moment, and two calls may ask for one user at the same time.
    with (state_folder() / "token.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        password = _with_new_password(cognito, endpoints.userPoolId, user)
        _put_into_groups(cognito, endpoints.userPoolId, user, groups)
        answer = cognito.admin_initiate_auth(
            UserPoolId=endpoints.userPoolId,
            ClientId=endpoints.userPoolClientId,
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
        endpoints = Endpoints.of_running_system()
    except NotRunning as error:
        print(error, file=sys.stderr)
        return 1
    print(access_token(endpoints, user=wanted.user, businesses=wanted.business, roles=wanted.scope))
    return 0


if __name__ == "__main__":
    sys.exit(main())
