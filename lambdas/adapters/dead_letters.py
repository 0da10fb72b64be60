"""The SQS queue for what cannot be processed."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


_ERROR_MAX: Final = 1_000
"""Characters that are kept of an error."""

_RECORD_MAX: Final = 200_000
"""Characters of the largest record that is kept. A message of SQS may have 256 KiB, and an item of
DynamoDB 400 KB.
"""


class DeadLetters:
    """Keeps records that cannot be processed until a person looks at them."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def add(
        self,
        business_id: BusinessId,
        error: BaseException,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        """Say of which business something could not be processed, and why. Raises `Unavailable`."""
        document = {
            "businessId": business_id,
            "error": f"{type(error).__name__}: {error}"[:_ERROR_MAX],
            "record": record if len(json.dumps(record)) <= _RECORD_MAX else None,
        }
        try:
            self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps(document))
        except ParamValidationError:
            raise
        except (BotoCoreError, ClientError) as failure:
            raise Unavailable("the dead-letter queue did not answer") from failure
