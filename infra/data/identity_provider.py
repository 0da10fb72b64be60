"""The issuer of access tokens, for environments that bring none of their own."""

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from infra.environments import Endpoints, Oidc
from infra.security import acknowledge


class IdentityProvider(Construct):
    """A Cognito user pool. Its groups say what somebody may do: `business:<id>`, `operator`, ...

    Good to start with: a pool holds 10,000 groups, and so 10,000 businesses. With `keep`, the pool
    can neither be deleted nor go away with its stack.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, keep: bool, endpoints: Endpoints
    ) -> None:
        super().__init__(scope, construct_id)
        self.pool = cognito.UserPool(
            self,
            "Pool",
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(username=True),
            # Nobody signs up, so there is no verified address to recover an account with.
            account_recovery=cognito.AccountRecovery.NONE,
            password_policy=cognito.PasswordPolicy(
                min_length=12,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
            ),
            deletion_protection=keep,
            removal_policy=cdk.RemovalPolicy.RETAIN if keep else cdk.RemovalPolicy.DESTROY,
        )
        acknowledge(
            self.pool,
            "AwsSolutions-COG2",
            "Tokens are had through IAM permissions on the pool, by systems that have no second"
            " factor; people who administer it have theirs in IAM.",
        )
        acknowledge(
            self.pool,
            "AwsSolutions-COG8",
            "Nobody signs in from outside, so the plus plan, which is paid per user, would have"
            " nothing to judge.",
        )
        self.client = self.pool.add_client(
            "Client",
            # Tokens are had through the account's own IAM permissions, never with a password alone.
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
            jwks_url=endpoints.jwks.format(region=region, pool_id=pool_id),
            user_claim="username",
            businesses_claim="cognito:groups",
            roles_claim="cognito:groups",
            business_prefix="business:",
        )
