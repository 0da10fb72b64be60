"""Stack parameters: values that each deployment sets, as opposed to the build."""

from typing import Final

GUARD: Final = "GuardDeployment"
"""Parameter of the service stack with gradual deployments: `false` deploys past the alarms."""

DEPLOYMENT: Final = "Deployment"
"""Parameter of the monitoring stack: which build this is, and when it was deployed.

Each deployment sets a new value. Every resource that refers weakly to another stack
(`Fn::GetStackOutput`) contains it, so CloudFormation updates that resource and resolves its
references again, even if the template has not changed.
"""
