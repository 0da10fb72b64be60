"""The metrics of AWS services that this project may use, as AWS documents them."""

from dataclasses import dataclass
from typing import Final

from local.cloudwatch.alarm_rules import Metric


@dataclass(frozen=True)
class Documented:
    """Metrics that AWS publishes with exactly these dimensions."""

    namespace: str
    dimensions: frozenset[str]
    names: frozenset[str]


def _documented(namespace: str, dimensions: str, names: str) -> Documented:
    return Documented(namespace, frozenset(dimensions.split()), frozenset(names.split()))


_REST_API: Final = "4XXError 5XXError Count Latency IntegrationLatency CacheHitCount CacheMissCount"

DOCUMENTED: Final = (
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    _documented(
        "AWS/Lambda",
        "FunctionName",
        "Invocations Errors Throttles Duration ConcurrentExecutions AsyncEventsReceived"
        " AsyncEventAge AsyncEventsDropped DeadLetterErrors IteratorAge",
    ),
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
    _documented("AWS/ApiGateway", "ApiName", _REST_API),
    _documented("AWS/ApiGateway", "ApiName Stage", _REST_API),
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-logging.html
    _documented(
        "AWS/ApiGateway",
        "ApiId Stage",
        "ConnectCount MessageCount IntegrationError ClientError ExecutionError IntegrationLatency",
    ),
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    _documented(
        "AWS/SQS",
        "QueueName",
        "ApproximateAgeOfOldestMessage ApproximateNumberOfMessagesDelayed"
        " ApproximateNumberOfMessagesNotVisible ApproximateNumberOfMessagesVisible"
        " NumberOfEmptyReceives NumberOfMessagesDeleted NumberOfMessagesReceived"
        " NumberOfMessagesSent SentMessageSize",
    ),
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    _documented(
        "AWS/DynamoDB",
        "TableName",
        "ConsumedReadCapacityUnits ConsumedWriteCapacityUnits ReadThrottleEvents"
        " WriteThrottleEvents ConditionalCheckFailedRequests TransactionConflict"
        " TimeToLiveDeletedItemCount OnDemandMaxReadRequestUnits OnDemandMaxWriteRequestUnits",
    ),
    _documented(
        "AWS/DynamoDB",
        "TableName GlobalSecondaryIndexName",
        "ConsumedReadCapacityUnits ConsumedWriteCapacityUnits ReadThrottleEvents"
        " WriteThrottleEvents OnlineIndexThrottleEvents",
    ),
    _documented(
        "AWS/DynamoDB",
        "TableName Operation",
        "SystemErrors ThrottledRequests SuccessfulRequestLatency ReturnedItemCount ReturnedBytes",
    ),
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
    _documented(
        "AWS/Scheduler",
        "ScheduleGroup",
        "InvocationAttemptCount TargetErrorCount TargetErrorThrottledCount"
        " InvocationThrottleCount InvocationDroppedCount InvocationsSentToDeadLetterCount"
        " InvocationsFailedToBeSentToDeadLetterCount",
    ),
)


def documented(metric: Metric) -> bool:
    """Whether AWS documents a metric of this name with exactly these dimensions."""
    dimensions = frozenset(name for name, _ in metric.dimensions)
    return any(
        (each.namespace, each.dimensions) == (metric.namespace, dimensions)
        and metric.name in each.names
        for each in DOCUMENTED
    )
