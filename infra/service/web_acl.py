"""A web ACL: blocks requests before they reach the REST API."""

import json
from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from lambdas.problems import TOO_MANY_REQUESTS

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

_RETRY_AFTER: Final = 60
"""Seconds. Requests that are refused count too, and the rate is that of the last 5 minutes."""


class WebAcl(Construct):
    """AWS's managed rules and a rate limit per address, for the stage of a REST API.

    `rate` is how many requests of one address pass in 5 minutes. What exceeds it is answered with
    429, since it may be repeated later. What a managed rule blocks is answered by API Gateway.
    https://docs.aws.amazon.com/waf/latest/developerguide/customizing-the-response-for-blocked-requests.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: apigateway.Stage,
        rate: int,
        cors_origins: Sequence[str],
    ) -> None:
        super().__init__(scope, construct_id)
        headers = {"Retry-After": str(_RETRY_AFTER)}
        if len(cors_origins) == 1:  # the headers are fixed
            headers["Access-Control-Allow-Origin"] = cors_origins[0]
        too_many = wafv2.CfnWebACL.CustomResponseProperty(
            response_code=TOO_MANY_REQUESTS.status.value,
            custom_response_body_key=TOO_MANY_REQUESTS.name,
            response_headers=[
                wafv2.CfnWebACL.CustomHTTPHeaderProperty(name=name, value=value)
                for name, value in headers.items()
            ],
        )
        limit = wafv2.CfnWebACL.RuleProperty(
            name="Rate",
            priority=0,
            action=wafv2.CfnWebACL.RuleActionProperty(
                block=wafv2.CfnWebACL.BlockActionProperty(custom_response=too_many)
            ),
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
            # `All` and `Default_Action` are reserved.
            visibility_config=_visible_as("RestApi"),
            custom_response_bodies={
                TOO_MANY_REQUESTS.name: wafv2.CfnWebACL.CustomResponseBodyProperty(
                    # WAF knows no other type of JSON.
                    content_type="APPLICATION_JSON",
                    content=json.dumps(TOO_MANY_REQUESTS.document()),
                )
            },
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
