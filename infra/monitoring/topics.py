"""Whom an alarm tells."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.security import acknowledge


class AlarmTopic(Construct):
    """A topic that alarms publish to, with its subscribers: e-mail addresses, HTTPS endpoints.

    Each subscriber has to confirm once; paging services do it by themselves.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        display_name: str,
        emails: Sequence[str],
        urls: Sequence[str],
        key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(
            self, "Topic", display_name=display_name, enforce_ssl=True, master_key=key
        )
        # A topic with a policy of its own loses the default one, which let the account's alarms in.
        account = cdk.Stack.of(self).account
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": account}},
            )
        )
        if key is None:
            acknowledge(
                self.topic,
                "CKV_AWS_26",
                "Alarms cannot publish to a topic that AWS's own key encrypts, and this environment"
                " has not asked for another one (customer_managed_key). A page names no person.",
            )
        subscribers: list[sns.ITopicSubscription] = [
            *(subscriptions.EmailSubscription(email) for email in emails),
            *(subscriptions.UrlSubscription(url) for url in urls),
        ]
        for subscriber in subscribers:
            acknowledge(
                self.topic.add_subscription(subscriber),
                "Serverless-SNSRedrivePolicy",
                "SNS retries. A page that is hours late is of no use: the alarm itself shows it.",
            )
