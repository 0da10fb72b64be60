"""A web ACL: blocks requests before they reach the REST API."""

from typing import Final

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

MANAGED_RULES: Final = {
    "AWSManagedRulesAmazonIpReputationList": (),
    "AWSManagedRulesKnownBadInputsRuleSet": (),
    # Messages may be larger than 8 KB, and not every system sends a User-Agent. An order may
    # contain any text, including links and HTML: it is passed on as JSON, and never opened or
    # displayed here.
    "AWSManagedRulesCommonRuleSet": (
        "SizeRestrictions_BODY",
        "NoUserAgent_HEADER",
        "CrossSiteScripting_BODY",
        "EC2MetaDataSSRF_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
    ),
}
"""The rule groups that AWS maintains. The rules named for each only count, and block nothing."""


class WebAcl(Construct):
    """AWS's managed rules and a rate limit per address, for the stage of a REST API.

    `rate` is how many requests of one address pass in 5 minutes.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: apigateway.Stage, rate: int
    ) -> None:
        super().__init__(scope, construct_id)
        limit = wafv2.CfnWebACL.RuleProperty(
            name="Rate",
            priority=0,
            action=wafv2.CfnWebACL.RuleActionProperty(block={}),
            statement=wafv2.CfnWebACL.StatementProperty(
                rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
                    aggregate_key_type="IP", limit=rate, evaluation_window_sec=300
                )
            ),
            visibility_config=_visible_as("Rate"),
        )
        self.acl = wafv2.CfnWebACL(
            self,
            "Acl",
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_visible_as("All"),
            rules=[
                limit,
                *(
                    _managed(name, counted, priority)
                    for priority, (name, counted) in enumerate(MANAGED_RULES.items(), start=1)
                ),
            ],
        )
        wafv2.CfnWebACLAssociation(
            self,
            "Association",
            resource_arn=stage.stage_arn,
            web_acl_arn=self.acl.attr_arn,
        )


def _managed(name: str, counted: tuple[str, ...], priority: int) -> wafv2.CfnWebACL.RuleProperty:
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        statement=wafv2.CfnWebACL.StatementProperty(
            managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS",
                name=name,
                rule_action_overrides=[
                    wafv2.CfnWebACL.RuleActionOverrideProperty(
                        name=rule,
                        action_to_use=wafv2.CfnWebACL.RuleActionProperty(count={}),
                    )
                    for rule in counted
                ]
                or None,
            )
        ),
        visibility_config=_visible_as(name),
    )


def _visible_as(metric: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True,
        metric_name=metric,
        # A sample shows the request's headers, and so access tokens.
        sampled_requests_enabled=False,
    )
