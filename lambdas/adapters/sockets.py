"""API Gateway's management API (``@connections``): the only place that knows its errors."""

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

    def probe(self, connection_id: ConnectionId) -> SocketAnswer:
        try:
            self._client.get_connection(ConnectionId=connection_id)
        except (ClientError, BotoCoreError) as error:
            return _answer(error)
        return SocketAnswer.OK

    def post(self, connection_id: ConnectionId, message: SocketMessage) -> SocketAnswer:
        data = encode(message_document(message))
        try:
            self._client.post_to_connection(ConnectionId=connection_id, Data=data)
        except (ClientError, BotoCoreError) as error:
            return _answer(error)
        return SocketAnswer.OK

    def close(self, connection_id: ConnectionId) -> SocketAnswer:
        try:
            self._client.delete_connection(ConnectionId=connection_id)
        except (ClientError, BotoCoreError) as error:
            return _answer(error)
        return SocketAnswer.OK


def _answer(error: ClientError | BotoCoreError) -> SocketAnswer:
    """410 means gone. Everything else (403, 429, 5xx, a timeout) means that nothing was learnt.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
    """
    if isinstance(error, ClientError) and error.response["Error"]["Code"] == "GoneException":
        return SocketAnswer.GONE
    return SocketAnswer.UNKNOWN
