"""API Gateway's management API (``@connections``): the only place that calls it and knows its
errors.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.socket_messages import SocketMessage
from lambdas.protocol import encode, message_document
from lambdas.use_cases.ports import SocketAnswer

if TYPE_CHECKING:
    from types_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient


class ManagementApi:
    """`lambdas.use_cases.ports.Sockets` on API Gateway."""

    def __init__(self, client: "ApiGatewayManagementApiClient") -> None:
        self._client = client
        self._failures: Counter[str] = Counter()
        self._lock = threading.Lock()

    def probe(self, connection_id: ConnectionId) -> SocketAnswer:
        return self._ask(lambda: self._client.get_connection(ConnectionId=connection_id))

    def post(self, connection_id: ConnectionId, message: SocketMessage) -> SocketAnswer:
        data = encode(message_document(message))
        return self._ask(
            lambda: self._client.post_to_connection(ConnectionId=connection_id, Data=data)
        )

    def close(self, connection_id: ConnectionId) -> SocketAnswer:
        return self._ask(lambda: self._client.delete_connection(ConnectionId=connection_id))

    def pop_failures(self) -> dict[str, int]:
        """Why answers have been `UNKNOWN` since the last call of this method: how often each error
        code came.
        """
        with self._lock:
            failures, self._failures = self._failures, Counter()
        return dict(failures)

    def _ask(self, call: Callable[[], object]) -> SocketAnswer:
        """410 means that the socket is gone. Any other error (403, 429, 5xx, a timeout) leaves that
        open.

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
        with self._lock:  # several threads call at the same time
            self._failures[code] += 1
        return SocketAnswer.UNKNOWN
