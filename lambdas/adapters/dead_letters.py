"""The SQS queue for what cannot be processed."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from lambdas.domain.errors import Unavailable

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


class DeadLetters:
    """Keeps records that cannot be processed until a person looks at them."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def add(self, record: Mapping[str, Any], error: BaseException) -> None:
        """Keep one record, and say why. Raises `Unavailable`."""
        document = {"error": f"{type(error).__name__}: {error}", "record": record}
        try:
            self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps(document))
        except ParamValidationError:
            raise
        except (BotoCoreError, ClientError) as error:
            raise Unavailable("the dead-letter queue did not answer") from error
