"""The SNS topics that alarms notify."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.security import acknowledge


class AlarmTopic(Construct):
    """A topic that alarms publish to, and its subscribers: e-mail addresses and HTTPS endpoints.

    Each subscriber has to confirm once. Paging services do that automatically.
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
        # A policy replaces the default one, which allows the account's alarms to publish.
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
                "Alarms cannot publish to a topic that is encrypted with an AWS-managed key, and"
                " this environment does not use a customer-managed one (customer_managed_key)."
                " Alarms contain no personal data.",
            )
        subscribers: list[sns.ITopicSubscription] = [
            *(subscriptions.EmailSubscription(email) for email in emails),
            *(subscriptions.UrlSubscription(url) for url in urls),
        ]
        for subscriber in subscribers:
            acknowledge(
                self.topic.add_subscription(subscriber),
                "Serverless-SNSRedrivePolicy",
                "SNS retries the delivery. A page that is hours late is useless, and the alarm"
                " stays visible in CloudWatch.",
            )
