"""The issuer of access tokens, for environments that do not have their own."""

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from infra.configuration import Oidc
from infra.platform import Platform
from infra.retention import removal_policy
from infra.security import acknowledge


class IdentityProvider(Construct):
    """A Cognito user pool. Its groups say what somebody may do: `business:<id>`, `operator`, ...

    Good to start with: a pool holds 10,000 groups, and so 10,000 businesses. With `keep`, the pool
    is protected against deletion and outlives its stack.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, keep: bool, platform: Platform
    ) -> None:
        super().__init__(scope, construct_id)
        self.pool = cognito.UserPool(
            self,
            "Pool",
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(username=True),
            # Users have no verified address with which they could recover an account.
            account_recovery=cognito.AccountRecovery.NONE,
            password_policy=cognito.PasswordPolicy(
                min_length=12,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
            ),
            deletion_protection=keep,
            removal_policy=removal_policy(keep=keep),
        )
        acknowledge(
            self.pool,
            "AwsSolutions-COG2",
            "Only systems get tokens, through IAM permissions on the pool, and they have no second"
            " factor. People who administer the pool have theirs in IAM.",
        )
        acknowledge(
            self.pool,
            "AwsSolutions-COG8",
            "Nobody signs in from outside, so the plus plan, which costs extra per user, would have"
            " nothing to check.",
        )
        self.client = self.pool.add_client(
            "Client",
            # Getting a token needs IAM permissions of this account, never a password alone.
            auth_flows=cognito.AuthFlow(admin_user_password=True),
            disable_o_auth=True,
            generate_secret=False,
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            access_token_validity=cdk.Duration.hours(1),
            id_token_validity=cdk.Duration.hours(1),
            refresh_token_validity=cdk.Duration.days(1),
        )
        region = cdk.Stack.of(self).region
        pool_id = self.pool.user_pool_id
        self.oidc = Oidc(
            issuer=f"https://cognito-idp.{region}.amazonaws.com/{pool_id}",
            audience=self.client.user_pool_client_id,
            jwks_url=platform.signing_keys_url(region, pool_id),
            user_claim="username",
            businesses_claim="cognito:groups",
            roles_claim="cognito:groups",
            business_prefix="business:",
        )
