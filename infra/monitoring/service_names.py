"""How the monitoring stack learns the names of what it watches in the service stack."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ssm as ssm
from constructs import Construct

PARAMETER: Final = "ServiceNames"
"""Parameter of the monitoring stack: the SSM parameter with the names.

A stack keeps its value, so if the SSM parameter gets another name, this needs another name too.
"""


class ServiceNames(Construct):
    """The names of the service's resources, which CloudFormation generates.

    The service stack writes them to one SSM parameter. CloudFormation reads it once for each
    deployment of the monitoring stack. It is no reference between the stacks, so the service can
    replace what is watched.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, service: cdk.Stack, environment_name: str
    ) -> None:
        super().__init__(scope, construct_id)
        self._names: list[str] = []
        self._written = ssm.CfnParameter(
            service,
            construct_id,
            name=f"/business-connections/{environment_name}/service-names",
            description="What the monitoring stack watches",
            type="StringList",
            value="",
        )
        self._read = cdk.CfnParameter(
            self,
            "Parameter",
            description="The SSM parameter with the names of what is watched",
            type="AWS::SSM::Parameter::Value<List<String>>",
            default=self._written.name,
        )
        self._read.override_logical_id(PARAMETER)
        cdk.Stack.of(self).add_stack_dependency(service)

    def read(self, name: str) -> str:
        """A name (a token of the service stack) as the monitoring stack may use it."""
        if name not in self._names:
            self._names.append(name)
            self._written.value = ",".join(self._names)
        return cdk.Fn.select(self._names.index(name), self._read.value_as_list)
