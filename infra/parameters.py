"""The parameters of the stacks: what a deployment decides, and not the build."""

from typing import Final

GUARD: Final = "GuardDeployment"
"""Of the service stack, where deployments are gradual: `true`, or `false` past the alarms."""

DEPLOYMENT: Final = "Deployment"
"""Of the monitoring stack: which build this is, and when it was deployed.

Each deployment gives another value, so CloudFormation updates the stack and resolves its references
to the other stacks (`Fn::GetStackOutput`) again, also where the template is as it was.
"""
