"""The canary: its function, its credential and its schedule."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.security import acknowledge
from infra.service.functions import FUNCTIONS, Functions
from infra.service.schedules import schedule_role
from lambdas.variables import CREDENTIAL_ARN, REST_URL, WEBSOCKET_URL


class Canary(Construct):
    """Plays the main story against the APIs at these URLs, at a fixed rate.

    `credential` is an empty secret. Nothing in a template may hold what belongs into it, so whoever
    deploys puts it there. With the user pool of the environment, `user_pool_arn`, the function may
    sign its user in there, with the password of the secret; it may not change anything in the pool.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        functions: Functions,
        rest_url: str,
        websocket_url: str,
        user_pool_arn: str | None,
        every: cdk.Duration,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.credential = secretsmanager.CfnSecret(
            self,
            "Credential",
            description="How the canary gets access tokens. docs/deploying.md says what it holds",
            kms_key_id=key.key_arn if key else None,
        )
        acknowledge(
            self.credential,
            "AwsSolutions-SMG4",
            "Whoever deploys replaces it: only the issuer can make a new credential.",
        )
        if key is None:
            acknowledge(
                self.credential,
                "CKV_AWS_149",
                "The key that AWS manages for Secrets Manager encrypts it: this environment does"
                " not use a key of its own (customer_managed_key).",
            )
        self.function = functions.add(
            "Canary",
            {
                REST_URL: rest_url,
                WEBSOCKET_URL: websocket_url,
                CREDENTIAL_ARN: self.credential.ref,
            },
        )
        self.function.allow("secretsmanager:GetSecretValue", on=[self.credential.ref])
        if user_pool_arn is not None:
            self.function.allow("cognito-idp:AdminInitiateAuth", on=[user_pool_arn])

        # A run that came late would overlap the next one, and each would close the other's socket.
        live = self.function.live
        live.configure_async_invoke(retry_attempts=0, max_event_age=cdk.Duration.minutes(1))
        acknowledge(
            live.node.find_child("EventInvokeConfig"),
            "Serverless-LambdaAsyncFailureDestination",
            FUNCTIONS["Canary"].no_dead_letters,
        )
        role = schedule_role(self, function=live)
        schedule = scheduler.Schedule(
            self,
            "Schedule",
            description="Plays a device against the deployed APIs",
            schedule=scheduler.ScheduleExpression.rate(every),
            time_window=scheduler.TimeWindow.off(),
            target=targets.LambdaInvoke(
                live,
                retry_attempts=0,
                max_event_age=cdk.Duration.minutes(1),
                role=role.without_policy_updates(),
            ),
        )
        schedule.node.add_dependency(role, live)
