"""The names of metrics and log messages that alarms, the dashboard and the runbook refer to."""

from enum import Enum, StrEnum, auto
from typing import Final, Self

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


class MetricGroup(Enum):
    """What counts a metric. The dashboard shows the metrics of a group together."""

    CENSUS = auto()
    """Gauges: what one complete cleanup run counted."""
    CLEANUP = auto()
    """Counts of what one cleanup run did."""
    RUN = auto()
    """Data points of one cleanup run."""
    SOCKETS = auto()
    """Counts of sockets."""
    MESSAGES = auto()
    """Counts of messages."""
    FEED = auto()
    """Counts of the change feed."""
    CANARY = auto()
    """Data points of one run of the canary."""
    ERRORS = auto()
    """Requests that failed."""


class MetricName(StrEnum):
    """Every metric that the code emits, in EMF: its name, its group, and its label in a graph."""

    group: MetricGroup
    label: str

    def __new__(cls, name: str, group: MetricGroup, label: str) -> Self:
        """Make a text with attributes."""
        metric = str.__new__(cls, name)
        metric._value_ = name
        metric.group = group
        metric.label = label
        return metric

    REAL_CONNECTIONS = "RealConnections", MetricGroup.CENSUS, "Real connections"
    VIRTUAL_CONNECTIONS = "VirtualConnections", MetricGroup.CENSUS, "Virtual connections"
    ONLINE_BUSINESSES = "OnlineBusinesses", MetricGroup.CENSUS, "Online"
    CLOSED_BUSINESSES = "ClosedBusinesses", MetricGroup.CENSUS, "Closed"
    VIRTUAL_ONLY_BUSINESSES = "VirtualOnlyBusinesses", MetricGroup.CENSUS, "Virtual without real"
    UNREACHABLE_BUSINESSES = "UnreachableBusinesses", MetricGroup.CENSUS, "Unreachable"

    STALE_REAL_REMOVED = "StaleRealRemoved", MetricGroup.CLEANUP, "Stale real removed"
    EXPIRED_VIRTUAL_REMOVED = (
        "ExpiredVirtualRemoved",
        MetricGroup.CLEANUP,
        "Expired virtual removed",
    )
    PROBES_UNKNOWN = "ProbesUnknown", MetricGroup.CLEANUP, "Probes without an answer"
    CLEANUP_REFUSED = "CleanupRefused", MetricGroup.CLEANUP, "Removals refused"

    ATTENTION_ENTERED = "AttentionEntered", MetricGroup.RUN, "Attention entered"
    CLEANUP_COMPLETED = "CleanupCompleted", MetricGroup.RUN, "Completed"
    CLEANUP_DURATION = "CleanupDuration", MetricGroup.RUN, "Longest run, ms"

    CONNECTED = "Connected", MetricGroup.SOCKETS, "Connected"
    DISCONNECTED = "Disconnected", MetricGroup.SOCKETS, "Disconnected"
    MESSAGES_SENT = "MessagesSent", MetricGroup.MESSAGES, "Messages sent"
    MESSAGES_GONE = "MessagesGone", MetricGroup.MESSAGES, "Messages to sockets that were gone"

    TRANSITIONS = "Transitions", MetricGroup.FEED, "Recorded"
    TRANSITIONS_PUBLISHED = "TransitionsPublished", MetricGroup.FEED, "Published"

    CANARY_SUCCEEDED = "CanarySucceeded", MetricGroup.CANARY, "A run succeeded"
    CANARY_STEP_DURATION = "CanaryStepDuration", MetricGroup.CANARY, "Duration of a step, ms"

    INTERNAL_ERRORS = "InternalErrors", MetricGroup.ERRORS, "Requests answered with 500"


def metrics_of(*groups: MetricGroup) -> tuple[MetricName, ...]:
    """The metrics of some groups."""
    return tuple(each for each in MetricName if each.group in groups)


PLANNED_WORK: Final = "PlannedWork"
"""The metric that operators publish, with the value 1, to announce planned work."""

NEEDS_ATTENTION: Final = "needs attention"
"""The message that the cleanup logs for each business in trouble."""

ATTENTION_FIELDS: Final = ("businessId", "attention", "seconds")
"""The fields that name a business in trouble, in log lines and beside `AttentionEntered`."""


def attention_fields(business_id: str, attention: str, seconds: int) -> dict[str, str | int]:
    """The fields for one business in trouble."""
    return dict(zip(ATTENTION_FIELDS, (business_id, attention, seconds), strict=True))
