"""What Lambda passes to a handler: events of both APIs and of both streams, and a context."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.adapters.items import transition_item
from lambdas.domain.transitions import Transition
from tests.builders import NOW

MEMBER = {"businessId": "b1", "userId": "u1"}
DEVICE = "O9oRTfeAoAMCK6g="
"""The connection id of socket events, as long as those of API Gateway."""


class Context(LambdaContext):
    """The part of a Lambda context that the handlers use."""

    _function_name = "test"
    _function_version = "7"
    _memory_limit_in_mb = 256
    _invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:test"
    _aws_request_id = "request-1"
    milliseconds_left = 300_000

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override] # static over there
        return self.milliseconds_left


def rest_event(
    method: str,
    resource: str,
    *,
    business_id: str = "b1",
    body: str | None = None,
    businesses: tuple[str, ...] = ("b1",),
    roles: tuple[str, ...] = (),
    user_id: str = "u1",
    connection_id: str = "c1",
    query: dict[str, str] | None = None,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """A request of the REST API, as its proxy integration passes it on."""
    parameters = {"businessId": business_id, "connectionId": connection_id}
    headers = {"Content-Type": "application/json"}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    return {
        "httpMethod": method,
        "resource": resource,
        "path": resource.format(**parameters),
        "pathParameters": {k: v for k, v in parameters.items() if k in resource} or None,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": query and {k: [v] for k, v in query.items()},
        "body": body,
        "isBase64Encoded": False,
        "requestContext": {
            "requestId": "r1",
            "stage": "test",
            "authorizer": {
                "userId": user_id,
                "businesses": " ".join(businesses),
                "roles": " ".join(roles),
            },
        },
    }


def socket_event(
    body: str | None = None,
    *,
    connection_id: str = DEVICE,
    authorizer: dict[str, str] | None = None,
    event_type: str = "MESSAGE",
    headers: dict[str, str] | None = None,
    query: dict[str, list[str]] | None = None,
) -> dict[str, Any]:
    """An event of the WebSocket API. Only a handshake has headers and a query."""
    return {
        **({} if headers is None else {"headers": headers}),
        **({} if query is None else {"multiValueQueryStringParameters": query}),
        "requestContext": {
            "eventType": event_type,
            "connectionId": connection_id,
            "requestId": "r1",
            "authorizer": MEMBER if authorizer is None else authorizer,
        },
        "body": body,
    }


def changed_record(
    keys: dict[str, Any], event_name: str = "MODIFY", *, at: float = NOW
) -> dict[str, Any]:
    """A record of the table's stream, which has only keys."""
    return {
        "eventID": "e1",
        "eventName": event_name,
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "Keys": keys,
            "ApproximateCreationDateTime": at,
            "SequenceNumber": "1",
            "StreamViewType": "KEYS_ONLY",
        },
    }


def transition_record(transition: Transition, event_name: str = "INSERT") -> dict[str, Any]:
    """A record of the history's stream, which has the whole item."""
    item = transition_item(transition, keep_seconds=90)
    keys = {name: item[name] for name in ("pk", "sk")}
    image = {} if event_name == "REMOVE" else {"NewImage": item}
    return {"eventName": event_name, "dynamodb": {"Keys": keys, **image}}
