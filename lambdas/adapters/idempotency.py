"""Remembers the answers to requests with an idempotency key, with Powertools, in the same table.

The partition key of a record is ``IDEMPOTENCY#<businessId>``. Records expire by TTL.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyPersistenceLayerError,
    IdempotencyValidationError,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.domain.errors import KeyReused, StillRunning, Unavailable
from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.table_schema import IDEMPOTENCY_PREFIX, PARTITION_KEY, SORT_KEY, TTL

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

REMEMBERED: Final = 24 * 60 * 60
"""Seconds for which an answer is remembered."""

_Result = TypeVar("_Result")


class _Forgotten(Exception):
    """Takes a result past Powertools, which forgets a call that raises."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class IdempotentCalls:
    """Runs a call once for each idempotency key, and answers repeated calls with its result."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def once(
        self,
        business_id: BusinessId,
        user_id: UserId,
        key: str,
        request: Any,
        call: Callable[[], _Result],
        context: LambdaContext,
        *,
        is_final: Callable[[_Result], bool],
    ) -> _Result:
        """The result of `call`, or the one that is remembered for this key.

        A call that raises, or whose result is not final, is forgotten: a repeated call runs again.
        Raises `KeyReused`, `StillRunning` or `Unavailable`.
        """
        records = DynamoDBPersistenceLayer(
            table_name=self._table_name,
            key_attr=PARTITION_KEY,
            static_pk_value=IDEMPOTENCY_PREFIX + business_id,
            sort_key_attr=SORT_KEY,
            expiry_attr=TTL,
            boto3_client=self._client,
        )
        config = IdempotencyConfig(
            event_key_jmespath="key",
            payload_validation_jmespath="request",
            raise_on_no_idempotency_key=True,
            expires_after_seconds=REMEMBERED,
            hash_function="sha256",
            lambda_context=context,
        )

        def run(data: dict[str, Any]) -> _Result:
            result = call()
            if not is_final(result):
                raise _Forgotten(result)
            return result

        idempotent = idempotent_function(
            run,
            data_keyword_argument="data",
            persistence_store=records,
            config=config,
            key_prefix="message",
        )
        try:
            result: _Result = idempotent(data={"key": [user_id, key], "request": request})
        except _Forgotten as forgotten:
            result = forgotten.result
        except IdempotencyValidationError as error:
            raise KeyReused(
                "this Idempotency-Key was already used with a different request"
            ) from error
        except IdempotencyAlreadyInProgressError as error:
            raise StillRunning("the first request with this key is still running") from error
        except IdempotencyInconsistentStateError as error:
            raise Unavailable(
                "the record of this Idempotency-Key changed while it was read"
            ) from error
        except IdempotencyPersistenceLayerError as error:
            raise Unavailable("the table did not answer") from error
        return result
