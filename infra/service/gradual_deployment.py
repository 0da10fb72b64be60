"""How a new version takes over: a little of the traffic first, and back if it fails."""

from collections.abc import Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.environments import Environment
from infra.security import acknowledge
from infra.service.function import LIVE, ServiceFunction
from infra.service.rest_api import STAGE, RestApi

SHIFT: Final = codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES


class GradualDeployment(Construct):
    """Moves the alias of each answering function over 5 minutes, watched by alarms of its own.

    Before any traffic moves, `preflight` looks whether the new build is fit to take over. An alarm
    rolls its function back, and CloudFormation then everything else of the deployment.
    The cleanup answers nobody, so there is no share of it: it changes last, at once, when all the
    others have.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        answering: Sequence[ServiceFunction],
        rest_function: ServiceFunction,
        rest: RestApi,
        cleanup: ServiceFunction,
        preflight: ServiceFunction,
    ) -> None:
        super().__init__(scope, construct_id)
        application = codedeploy.LambdaApplication(self, "Application")
        role = self._role(answering, preflight)
        server_errors = cloudwatch.Alarm(
            self,
            "RestServerErrors",
            alarm_description=(
                "Rolls a deployment back: the REST API answers with 5xx. The function turns its"
                " errors into answers, so its own metric does not count them."
            ),
            metric=cloudwatch.Metric(
                namespace="AWS/ApiGateway",
                metric_name="5XXError",
                dimensions_map={"ApiName": rest.api.rest_api_name, "Stage": STAGE},
                statistic="Sum",
                period=cdk.Duration.minutes(1),
            ),
            threshold=environment.errors_minimum,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        for function in answering:
            alarms = [self._errors_of_new_version(function)]
            if function is rest_function:
                alarms.append(server_errors)
            codedeploy.LambdaDeploymentGroup(
                self,
                f"{function.node.id}Group",
                application=application,
                alias=function.live,
                deployment_config=SHIFT,
                alarms=alarms,
                auto_rollback=codedeploy.AutoRollbackConfig(
                    failed_deployment=True, stopped_deployment=True, deployment_in_alarm=True
                ),
                role=role,
                pre_hook=preflight.function,
            )
            # The check is of the same build: it has to be there before it is asked.
            function.live.node.add_dependency(preflight.function)
            cleanup.live.node.add_dependency(function.live)

    def _errors_of_new_version(self, function: ServiceFunction) -> cloudwatch.Alarm:
        """Watch the new version alone, through the alias: what the old one does is no news."""
        return cloudwatch.Alarm(
            self,
            f"{function.node.id}Errors",
            alarm_description=(
                f"Rolls a deployment back: calls of the new version of {function.node.id} fail."
            ),
            metric=cloudwatch.Metric(
                namespace="AWS/Lambda",
                metric_name="Errors",
                dimensions_map={
                    "FunctionName": function.function.function_name,
                    # Not by the alias's own reference: the alias waits for this alarm.
                    "Resource": f"{function.function.function_name}:{LIVE}",
                    "ExecutedVersion": function.function.current_version.version,
                },
                statistic="Sum",
                period=cdk.Duration.minutes(1),
            ),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _role(self, functions: Sequence[ServiceFunction], preflight: ServiceFunction) -> iam.IRole:
        # Not the managed policy for it: that one allows changing every function of the account.
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("codedeploy.amazonaws.com"))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "lambda:GetAlias",
                    "lambda:GetProvisionedConcurrencyConfig",
                    "lambda:UpdateAlias",
                ],
                # Names and qualified names: which of the two is checked depends on the action.
                resources=[
                    arn
                    for function in functions
                    for arn in (
                        function.function.function_arn,
                        f"{function.function.function_arn}:{LIVE}",
                    )
                ],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["lambda:InvokeFunction"], resources=[preflight.function.function_arn]
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(actions=["cloudwatch:DescribeAlarms"], resources=["*"])
        )
        acknowledge(
            role,
            "AwsSolutions-IAM5[Resource::*]",
            "CodeDeploy looks at all its alarms with one call, which knows no single resource.",
        )
        return role.without_policy_updates()
