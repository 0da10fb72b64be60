"""Signs users in to the Cognito user pool of an environment."""

import secrets
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_cognito_idp import CognitoIdentityProviderClient


def sign_in(
    cognito: "CognitoIdentityProviderClient",
    *,
    pool: str,
    client: str,
    user: str,
    groups: Collection[str],
) -> str:
    """An access token of a user who is in exactly these groups.

    The user and the groups are created if they do not exist. The user gets a new password, which
    nobody keeps.
    """
    password = put_user(cognito, pool=pool, user=user, groups=groups)
    answer = cognito.admin_initiate_auth(
        UserPoolId=pool,
        ClientId=client,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": user, "PASSWORD": password},
    )
    return answer["AuthenticationResult"]["AccessToken"]


def put_user(
    cognito: "CognitoIdentityProviderClient", *, pool: str, user: str, groups: Collection[str]
) -> str:
    """Let a user be in exactly these groups, and return its new password.

    The user and the groups are created if they do not exist.
    """
    with suppress(cognito.exceptions.UsernameExistsException):
        cognito.admin_create_user(UserPoolId=pool, Username=user, MessageAction="SUPPRESS")
    password = f"aA1!{secrets.token_urlsafe(24)}"
    cognito.admin_set_user_password(
        UserPoolId=pool, Username=user, Password=password, Permanent=True
    )
    _put_into_groups(cognito, pool, user, set(groups))
    return password


def _put_into_groups(
    cognito: "CognitoIdentityProviderClient", pool: str, user: str, wanted: set[str]
) -> None:
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
