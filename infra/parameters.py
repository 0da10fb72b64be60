"""Stack parameters: values that each deployment sets, as opposed to the build."""

from typing import Final

GUARD: Final = "GuardDeployment"
"""Parameter of the service stack with gradual deployments: `false` deploys past the alarms."""

DEPLOYMENT: Final = "Deployment"
"""Parameter of the monitoring stack: which build this is, and when it was deployed.

Each deployment sets a new value, which the dashboard shows. So CloudFormation always has something
to update, and reads the names of what is watched again.
"""
