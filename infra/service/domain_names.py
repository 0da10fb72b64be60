"""Custom domain names of the two APIs."""

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_certificatemanager as acm
from constructs import Construct

from infra.configuration import Domains


class DomainNames(Construct):
    """Maps a name to each API. The outputs say what the two DNS records must point to.

    Functions go on reaching open sockets at the address that API Gateway gave the API.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        domains: Domains,
        rest: apigateway.RestApi,
        websocket: apigatewayv2.WebSocketStage,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        rest_domain = apigateway.DomainName(
            self,
            "Rest",
            domain_name=domains.rest.name,
            certificate=acm.Certificate.from_certificate_arn(
                self, "RestCertificate", domains.rest.certificate_arn
            ),
            endpoint_type=apigateway.EndpointType.REGIONAL,
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
        )
        rest_domain.add_base_path_mapping(rest, stage=rest.deployment_stage)
        websocket_domain = apigatewayv2.DomainName(
            self,
            "WebSocket",
            domain_name=domains.websocket.name,
            certificate=acm.Certificate.from_certificate_arn(
                self, "WebSocketCertificate", domains.websocket.certificate_arn
            ),
            security_policy=apigatewayv2.SecurityPolicy.TLS_1_2,
        )
        apigatewayv2.ApiMapping(
            self,
            "WebSocketMapping",
            api=websocket.api,
            domain_name=websocket_domain,
            stage=websocket,
        )
        for name, target in (
            ("RestDnsTarget", rest_domain.domain_name_alias_domain_name),
            ("WebSocketDnsTarget", websocket_domain.regional_domain_name),
        ):
            cdk.CfnOutput(stack, name, value=target)
