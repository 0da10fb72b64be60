"""Shifts traffic to a new version gradually, and rolls it back if it fails."""

from collections.abc import Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.metric_math import percent_failed
from infra.names import GUARD
from infra.security import acknowledge, logical_id
from infra.service.function import LIVE, ServiceFunction
from lambdas.observability import DIMENSION, NAMESPACE, VERSION_DIMENSION, MetricName

SHIFT: Final = codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES
AT_ONCE: Final = codedeploy.LambdaDeploymentConfig.ALL_AT_ONCE

RUNBOOK_SECTION: Final = "A deployment was rolled back"

MINIMUM: Final = 3
"""Ignore fewer failures than this. The new version gets a tenth of the calls, so it is lower than
that of other alarms.
"""

PERIOD: Final = cdk.Duration.minutes(5)
"""As long as the shift. CloudWatch looks at the last five minutes, once a minute."""


class GradualDeployment(Construct):
    """Gives a new version of each answering function a tenth of the traffic for 5 minutes.

    Before that, `preflight` checks whether the new build can take over. Each function has its own
    alarms: if `errors_percent` of the calls of the new version fail, CodeDeploy rolls the function
    back, and then CloudFormation rolls back the rest of the deployment. Functions that answer
    nobody (`others`) change at once, after these.

    With the parameter `GuardDeployment` set to `false`, all traffic moves at once and alarms are
    ignored. That is for an incident, when 5 minutes are too long and alarms may mislead.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment_name: str,
        errors_percent: int,
        answering: Sequence[ServiceFunction],
        rest: ServiceFunction,
        others: Sequence[ServiceFunction],
        preflight: ServiceFunction,
    ) -> None:
        super().__init__(scope, construct_id)
        self._environment = environment_name
        self._errors_percent = errors_percent
        application = codedeploy.LambdaApplication(self, "Application")
        role, policy = self._role(answering, preflight)
        guarded = self._guarded()
        for function in answering:
            alarms = [self._errors_of_new_version(function)]
            if function is rest:
                alarms.append(self._internal_errors_of_new_version(function))
            group = codedeploy.LambdaDeploymentGroup(
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
            resource = group.node.default_child
            assert isinstance(resource, codedeploy.CfnDeploymentGroup)  # noqa: S101 - narrows the type
            resource.add_property_override(
                "DeploymentConfigName",
                cdk.Fn.condition_if(
                    guarded.logical_id, SHIFT.deployment_config_name, AT_ONCE.deployment_config_name
                ),
            )
            resource.add_property_override(
                "AlarmConfiguration.Enabled", cdk.Fn.condition_if(guarded.logical_id, True, False)
            )
            # Traffic must not shift before the group has the new alarms, CodeDeploy has its
            # permissions, and the check from the same build is deployed.
            function.live.node.add_dependency(group, policy, preflight.function)
            for other in others:
                other.live.node.add_dependency(function.live)

    def _guarded(self) -> cdk.CfnCondition:
        guard = cdk.CfnParameter(
            self,
            "Guard",
            description=(
                "Shift traffic gradually, and roll a new version back if its alarms fire. Set it to"
                " false only in an incident."
            ),
            allowed_values=["true", "false"],
            default="true",
        )
        guard.override_logical_id(GUARD)
        return cdk.CfnCondition(
            self, "Guarded", expression=cdk.Fn.condition_equals(guard.value_as_string, "true")
        )

    def _errors_of_new_version(self, function: ServiceFunction) -> cloudwatch.Alarm:
        """Fires when the alias calls the new version and it fails. The old one does not count."""
        name = function.node.id
        return self._alarm(
            function,
            "Errors",
            meaning=(
                f"Callers of {name} get errors: {self._errors_percent} % or more of the calls of"
                " its new version fail."
            ),
            failures=_of_new_version(function, "Errors"),
        )

    def _internal_errors_of_new_version(self, function: ServiceFunction) -> cloudwatch.Alarm:
        """Fires when the new version answers with 500: Rest catches errors, so Lambda sees none."""
        return self._alarm(
            function,
            "InternalErrors",
            meaning=(
                f"Callers of {function.node.id} get errors: its new version answers"
                f" {self._errors_percent} % or more of its calls with 500."
            ),
            failures=cloudwatch.Metric(
                namespace=NAMESPACE,
                metric_name=MetricName.INTERNAL_ERRORS.value,
                dimensions_map={
                    DIMENSION: self._environment,
                    VERSION_DIMENSION: function.function.current_version.version,
                },
                statistic="Sum",
            ),
        )

    def _alarm(
        self, function: ServiceFunction, what: str, *, meaning: str, failures: cloudwatch.Metric
    ) -> cloudwatch.Alarm:
        """Make an alarm on the share of calls that fail, while the version is the new one.

        A version that gets most of the calls is not new. So the alarm of the version that runs is
        OK when CloudFormation rolls back to it, whatever happened to it before.
        """
        calls = _of_new_version(function, "Invocations")
        of_new_version = percent_failed(
            {"failures": failures},
            {"calls": calls},
            minimum=MINIMUM,
            label="Percent of the calls that failed",
            period=PERIOD,
        )
        metric = cloudwatch.MathExpression(
            expression="IF(total > 2 * calls, percent, 0)",
            using_metrics={
                "calls": calls,
                "total": _lambda_metric("Invocations", function.function.function_name),
                "percent": of_new_version,
            },
            label=f"Percent of the calls of the new version of {function.node.id} that failed",
            period=PERIOD,
        )
        alarm = cloudwatch.Alarm(
            self,
            f"{function.node.id}{what}",
            alarm_description=(
                f"[{self._environment}] NO ACTION: {meaning} This alarm only rolls the deployment"
                f' back and pages nobody. See docs/runbook.md, "{RUNBOOK_SECTION}".'
            ),
            metric=metric,
            threshold=self._errors_percent,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        # CodeDeploy stops if an alarm is in ALARM, and an alarm keeps its state when its metric
        # changes, so a failed version would block the next one. Hence each version gets its own
        # alarms: their logical ids end with that of the version, which contains a hash.
        resource, version = (
            each.node.default_child for each in (alarm, function.function.current_version)
        )
        assert isinstance(resource, cdk.CfnElement)  # noqa: S101 - narrows the type
        assert isinstance(version, cdk.CfnElement)  # noqa: S101 - narrows the type
        resource.override_logical_id(f"{what}{version.logical_id}")
        return alarm

    def _role(
        self, functions: Sequence[ServiceFunction], preflight: ServiceFunction
    ) -> tuple[iam.IRole, iam.Policy]:
        """The role of CodeDeploy, and its policy."""
        # Not the managed policy: that one allows changing every function of the account.
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("codedeploy.amazonaws.com"))
        policy = iam.Policy(
            self,
            "Policy",
            roles=[role],
            statements=[
                iam.PolicyStatement(
                    actions=["lambda:GetAlias", "lambda:UpdateAlias"],
                    # The action decides whether the name or the qualified name is checked.
                    resources=[
                        arn
                        for function in functions
                        for arn in (
                            function.function.function_arn,
                            f"{function.function.function_arn}:{LIVE}",
                        )
                    ],
                ),
                iam.PolicyStatement(
                    # Called on versions, whose numbers are not known in advance.
                    actions=["lambda:GetProvisionedConcurrencyConfig"],
                    resources=[f"{function.function.function_arn}:*" for function in functions],
                ),
                iam.PolicyStatement(
                    actions=["lambda:InvokeFunction"], resources=[preflight.function.function_arn]
                ),
                iam.PolicyStatement(actions=["cloudwatch:DescribeAlarms"], resources=["*"]),
            ],
        )
        acknowledge(
            policy,
            "AwsSolutions-IAM5[Resource::*]",
            "CodeDeploy reads all its alarms in one call, which has no resource-level permissions.",
        )
        for function in functions:
            acknowledge(
                policy,
                f"AwsSolutions-IAM5[Resource::<{logical_id(function.function)}.Arn>:*]",
                "Reads a setting of the versions of one function of this service.",
            )
        # Otherwise a deployment group would attach the managed policy to its role.
        return role.without_policy_updates(), policy


def _of_new_version(function: ServiceFunction, name: str) -> cloudwatch.Metric:
    """A metric of the calls of the alias that the new version executes."""
    function_name = function.function.function_name
    return _lambda_metric(
        name,
        function_name,
        # Not by the alias's own reference: the alias waits for the alarm.
        Resource=f"{function_name}:{LIVE}",
        ExecutedVersion=function.function.current_version.version,
    )


def _lambda_metric(name: str, function_name: str, **dimensions: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/Lambda",
        metric_name=name,
        dimensions_map={"FunctionName": function_name, **dimensions},
        statistic="Sum",
    )
