"""Records transitions of the businesses that a stream of the table's changes names.

The records only name businesses that may have changed; the recorder reads each of them again. So
records that come late, twice or in another order do no harm.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.bootstrap import MissingConfiguration, Service
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId
from lambdas.domain.transitions import RemovedConnection, Transition
from lambdas.handlers.entry_point import Event, entry_point, logger
from lambdas.observability import MetricName
from lambdas.table_schema import (
    BUSINESS_PREFIX,
    CONNECTION_PREFIX,
    PARTITION_KEY,
    SETTINGS_KEY,
    SORT_KEY,
)

_THREADS: Final = 16

_Record = Mapping[str, Any]
"""A record of a DynamoDB stream that has only keys."""


@entry_point
def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
    """Record the transitions of all businesses that a batch of records names.

    A business that cannot be recorded because of a defect goes to the dead-letter queue, and the
    others are recorded. Raises `Unavailable` if the store does not answer: Lambda then repeats the
    batch, which is safe.
    """
    if service.recorder is None:
        raise MissingConfiguration("HISTORY_TABLE_NAME is not set")
    recorder = service.recorder
    removed_by_business = _nominated(event["Records"])

    def record(business_id: BusinessId) -> Transition | Exception | None:
        try:
            return recorder.record(business_id, removed_by_business[business_id])
        except Exception as error:
            return error

    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        results = dict(zip(removed_by_business, pool.map(record, removed_by_business), strict=True))
    recorded = [each for each in results.values() if isinstance(each, Transition)]
    if recorded:
        service.metrics.count(MetricName.TRANSITIONS, len(recorded))
    for transition in recorded:
        logger.info("transition", extra=_log_fields(transition))
    outage: Unavailable | None = None
    for business_id, error in results.items():
        if isinstance(error, Unavailable):
            outage = error
        elif isinstance(error, Exception):
            logger.error("cannot record", exc_info=error, extra={"businessId": business_id})
            service.dead_letters.add({"businessId": business_id}, error)
    if outage is not None:
        raise outage
    return {"nominated": len(results), "recorded": len(recorded)}


def _nominated(records: Iterable[_Record]) -> dict[BusinessId, RemovedConnection | None]:
    """The businesses that may have changed, and the last removed connection of each, if any."""
    nominated: dict[BusinessId, RemovedConnection | None] = {}
    for record in records:
        keys = record["dynamodb"]["Keys"]
        partition, sort = keys[PARTITION_KEY]["S"], keys[SORT_KEY]["S"]
        if not partition.startswith(BUSINESS_PREFIX):
            continue
        business_id = BusinessId(partition.removeprefix(BUSINESS_PREFIX))
        is_connection = sort.startswith(CONNECTION_PREFIX)
        # The mapping filters the records too, but AWS does not promise that none slips through.
        if sort != SETTINGS_KEY and not (is_connection and record["eventName"] != "MODIFY"):
            continue
        removed = nominated.setdefault(business_id, None)
        if is_connection and record["eventName"] == "REMOVE":
            connection_id = ConnectionId(sort.removeprefix(CONNECTION_PREFIX))
            at = int(record["dynamodb"]["ApproximateCreationDateTime"])
            if removed is None or removed.at <= at:
                nominated[business_id] = RemovedConnection(connection_id, at)
    return nominated


def _log_fields(transition: Transition) -> dict[str, Any]:
    return {
        "businessId": transition.business_id,
        "sequence": transition.sequence,
        "from": transition.before,
        "to": transition.after,
        "attention": transition.attention,
        "cause": transition.cause,
    }
