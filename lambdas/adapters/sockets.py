"""API Gateway's management API (``@connections``): the only place that knows its errors."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.messages import SocketMessage
from lambdas.domain.ports import SocketAnswer
from lambdas.protocol import encode, message_document

if TYPE_CHECKING:
    from types_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient


class ManagementApi:
    """`lambdas.domain.ports.Sockets` on API Gateway."""

    def __init__(self, client: "ApiGatewayManagementApiClient") -> None:
        self._client = client
        self._failures: Counter[str] = Counter()

    def probe(self, connection_id: ConnectionId) -> SocketAnswer:
        return self._ask(lambda: self._client.get_connection(ConnectionId=connection_id))

    def post(self, connection_id: ConnectionId, message: SocketMessage) -> SocketAnswer:
        data = encode(message_document(message))
        return self._ask(
            lambda: self._client.post_to_connection(ConnectionId=connection_id, Data=data)
        )

    def close(self, connection_id: ConnectionId) -> SocketAnswer:
        return self._ask(lambda: self._client.delete_connection(ConnectionId=connection_id))

    def take_failures(self) -> dict[str, int]:
        """Why answers were `UNKNOWN` since the last call: error codes, and how often each came."""
        failures, self._failures = self._failures, Counter()
        return dict(failures)

    def _ask(self, call: Callable[[], object]) -> SocketAnswer:
        """410 means gone. Everything else (403, 429, 5xx, a timeout) means that nothing was learnt.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
        """
        try:
            call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "GoneException":
                return SocketAnswer.GONE
        except BotoCoreError as error:
            code = type(error).__name__
        else:
            return SocketAnswer.OK
        self._failures[code] += 1
        return SocketAnswer.UNKNOWN
