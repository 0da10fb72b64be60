"""The metrics of AWS services that this project may refer to, as their documentation has them."""

from dataclasses import dataclass
from typing import Final

from local.alarms import Metric


@dataclass(frozen=True)
class Documented:
    """Metrics of one kind of resource, each published with exactly these dimensions."""

    page: str
    namespace: str
    dimensions: frozenset[str]
    names: frozenset[str]

    def has(self, metric: Metric) -> bool:
        return (
            metric.namespace == self.namespace
            and metric.name in self.names
            and {name for name, _ in metric.dimensions} == self.dimensions
        )


def _documented(page: str, namespace: str, dimensions: str, names: str) -> Documented:
    return Documented(page, namespace, frozenset(dimensions.split()), frozenset(names.split()))


DOCUMENTED: Final = (
    _documented(
        "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html",
        "AWS/Lambda",
        "FunctionName",
        "Invocations Errors Throttles Duration ConcurrentExecutions AsyncEventsReceived"
        " AsyncEventAge AsyncEventsDropped DeadLetterErrors",
    ),
    _documented(  # a REST API: by its name, of all stages or of one
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/"
        "api-gateway-metrics-and-dimensions.html",
        "AWS/ApiGateway",
        "ApiName",
        "4XXError 5XXError Count Latency IntegrationLatency CacheHitCount CacheMissCount",
    ),
    _documented(
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/"
        "api-gateway-metrics-and-dimensions.html",
        "AWS/ApiGateway",
        "ApiName Stage",
        "4XXError 5XXError Count Latency IntegrationLatency CacheHitCount CacheMissCount",
    ),
    _documented(
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/"
        "apigateway-websocket-api-logging.html",
        "AWS/ApiGateway",
        "ApiId Stage",
        "ConnectCount MessageCount IntegrationError ClientError ExecutionError IntegrationLatency",
    ),
    _documented(
        "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
        "sqs-available-cloudwatch-metrics.html",
        "AWS/SQS",
        "QueueName",
        "ApproximateAgeOfOldestMessage ApproximateNumberOfMessagesDelayed"
        " ApproximateNumberOfMessagesNotVisible ApproximateNumberOfMessagesVisible"
        " NumberOfEmptyReceives NumberOfMessagesDeleted NumberOfMessagesReceived"
        " NumberOfMessagesSent SentMessageSize",
    ),
    _documented(
        "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html",
        "AWS/DynamoDB",
        "TableName",
        "ConsumedReadCapacityUnits ConsumedWriteCapacityUnits ReadThrottleEvents"
        " WriteThrottleEvents ConditionalCheckFailedRequests TransactionConflict"
        " TimeToLiveDeletedItemCount OnDemandMaxReadRequestUnits OnDemandMaxWriteRequestUnits",
    ),
    _documented(
        "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html",
        "AWS/DynamoDB",
        "TableName GlobalSecondaryIndexName",
        "ConsumedReadCapacityUnits ConsumedWriteCapacityUnits ReadThrottleEvents"
        " WriteThrottleEvents OnlineIndexThrottleEvents",
    ),
    _documented(
        "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html",
        "AWS/DynamoDB",
        "TableName Operation",
        "SystemErrors ThrottledRequests SuccessfulRequestLatency ReturnedItemCount ReturnedBytes",
    ),
    _documented(
        "https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html",
        "AWS/Scheduler",
        "ScheduleGroup",
        "InvocationAttemptCount TargetErrorCount TargetErrorThrottledCount"
        " InvocationThrottleCount InvocationDroppedCount InvocationsSentToDeadLetterCount"
        " InvocationsFailedToBeSentToDeadLetterCount",
    ),
)


def documented(metric: Metric) -> bool:
    """Whether AWS documents a metric of this name with exactly these dimensions."""
    return any(each.has(metric) for each in DOCUMENTED)
