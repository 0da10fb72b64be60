"""Names that the deployed stacks have in common with what reads them: stacks, outputs, parameters,
and the anchors of the runbook.

Nothing is imported here: each verb reads it.
"""

from typing import Final

GUARD: Final = "GuardDeployment"
"""Parameter of the service stack with gradual deployments: `false` deploys past the alarms."""

DEPLOYMENT: Final = "Deployment"
"""Parameter of the monitoring stack: which build this is, and when it was deployed.

Each deployment sets a new value, which the dashboard shows. So CloudFormation always has something
to update, and reads the names of what is watched again.
"""

# Outputs of the stacks.
TABLE_NAME: Final = "TableName"
HISTORY_TABLE_NAME: Final = "HistoryTableName"
EVENT_BUS_NAME: Final = "EventBusName"
USER_POOL_ID: Final = "UserPoolId"
USER_POOL_CLIENT_ID: Final = "UserPoolClientId"
REST_URL: Final = "RestUrl"
WEBSOCKET_URL: Final = "WebSocketUrl"
WEBSOCKET_MANAGEMENT_URL: Final = "WebSocketManagementUrl"
CLEANUP_FUNCTION_NAME: Final = "CleanupFunctionName"
CANARY_FUNCTION_NAME: Final = "CanaryFunctionName"
CANARY_CREDENTIAL_ARN: Final = "CanaryCredentialArn"
ON_CALL_TOPIC_ARN: Final = "OnCallTopicArn"
TICKET_TOPIC_ARN: Final = "TicketTopicArn"
DASHBOARD_NAME: Final = "DashboardName"
ALARM_NAMES: Final = "AlarmNames"


def stack_name(environment: str, part: str) -> str:
    """The name of a stack: `part` is Data, Service or Monitoring."""
    return f"BusinessConnections-{environment}-{part}"


def anchor(heading: str) -> str:
    """The anchor of a heading in a document, as GitHub makes it."""
    kept = (each for each in heading.lower() if each.isalnum() or each in "_- ")
    return "".join(kept).replace(" ", "-")
