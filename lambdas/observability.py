"""The names of metrics and log messages that alarms, the dashboard and the runbook refer to."""

from enum import StrEnum
from typing import Final

NAMESPACE: Final = "BusinessConnections"
"""The CloudWatch namespace of every metric below."""

DIMENSION: Final = "environment"
"""The one dimension of every metric below. A business id is a log field, never a dimension:
each dimension value would be a metric of its own, and billed as one."""

WORKER_DIMENSION: Final = "worker"
"""The further dimension of the census and of `CleanupCompleted` where several workers share the
table: each publishes what it counted, and alarms add the workers up."""

VERSION_DIMENSION: Final = "version"
"""The additional dimension of `InternalErrors`: the version of the function that failed. It
separates a new version's failures from those of the version that still answers most of the calls.
"""

STEP_DIMENSION: Final = "step"
"""The additional dimension of `CanaryStepDuration`: one of `CanaryStep`."""


class CanaryStep(StrEnum):
    """The steps of a run of the canary, in their order."""

    SIGN_IN = "sign-in"
    """The issuer gives an access token."""
    BEGIN = "begin"
    """`GET /health` answers, and nothing is left of an earlier run that broke off."""
    CONNECT = "connect"
    """A device opens a socket."""
    ONLINE = "online"
    """The business declares itself available, and is online."""
    PING = "ping"
    """The device's ping is answered."""
    PUSH = "push"
    """A message is pushed, and the device hears it."""
    UNAVAILABLE = "unavailable"
    """The business declares itself unavailable; its device is told, and its socket closed."""
    OFFLINE = "offline"
    """The business is offline."""


class MetricName(StrEnum):
    """Every metric that the code emits, in EMF."""

    # Gauges: the census of one complete cleanup run. See `CENSUS`.
    REAL_CONNECTIONS = "RealConnections"
    VIRTUAL_CONNECTIONS = "VirtualConnections"
    ONLINE_BUSINESSES = "OnlineBusinesses"
    CLOSED_BUSINESSES = "ClosedBusinesses"
    VIRTUAL_ONLY_BUSINESSES = "VirtualOnlyBusinesses"
    UNREACHABLE_BUSINESSES = "UnreachableBusinesses"

    # Counts of one cleanup run.
    ATTENTION_ENTERED = "AttentionEntered"
    STALE_REAL_REMOVED = "StaleRealRemoved"
    EXPIRED_VIRTUAL_REMOVED = "ExpiredVirtualRemoved"
    PROBES_UNKNOWN = "ProbesUnknown"
    CLEANUP_REFUSED = "CleanupRefused"
    CLEANUP_COMPLETED = "CleanupCompleted"
    CLEANUP_DURATION = "CleanupDuration"

    # Counts of the handlers.
    CONNECTED = "Connected"
    DISCONNECTED = "Disconnected"
    MESSAGES_SENT = "MessagesSent"
    MESSAGES_GONE = "MessagesGone"

    # Counts of the change feed.
    TRANSITIONS = "Transitions"
    TRANSITIONS_PUBLISHED = "TransitionsPublished"

    # One run of the canary.
    CANARY_SUCCEEDED = "CanarySucceeded"
    CANARY_STEP_DURATION = "CanaryStepDuration"

    # Requests that the REST function answered with 500.
    INTERNAL_ERRORS = "InternalErrors"


CENSUS: Final = {
    MetricName.REAL_CONNECTIONS: "active_real",
    MetricName.VIRTUAL_CONNECTIONS: "active_virtual",
    MetricName.ONLINE_BUSINESSES: "online",
    MetricName.CLOSED_BUSINESSES: "closed",
    MetricName.VIRTUAL_ONLY_BUSINESSES: "virtual_only",
    MetricName.UNREACHABLE_BUSINESSES: "unreachable",
}
"""The gauges, and the fields of `CleanupReport` that they show."""

PLANNED_WORK: Final = "PlannedWork"
"""The metric that operators publish, with the value 1, to announce planned work."""

NEEDS_ATTENTION: Final = "needs attention"
"""The message that the cleanup logs for each business in trouble."""

ATTENTION_FIELDS: Final = ("businessId", "attention", "seconds")
"""The fields that name a business in trouble, in log lines and beside `AttentionEntered`."""


def attention_fields(business_id: str, attention: str, seconds: int) -> dict[str, str | int]:
    """The fields for one business in trouble."""
    return dict(zip(ATTENTION_FIELDS, (business_id, attention, seconds), strict=True))
