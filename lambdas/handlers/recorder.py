"""Records transitions of the businesses that a stream of the table's changes names.

The records only name businesses that may have changed; the recorder reads each of them again. So
records that come late, twice or in another order do no harm.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
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
    VIRTUAL_PREFIX,
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
    recorder, removed = service.recorder, _nominated(event["Records"])
    has_outage = threading.Event()

    def record(business_id: BusinessId) -> Sequence[Transition] | Exception:
        if has_outage.is_set():
            return Unavailable("an earlier call was not answered")
        try:
            return recorder.record(business_id, removed[business_id])
        except Unavailable as error:
            has_outage.set()
            return error
        except Exception as error:
            return error

    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        results = dict(zip(removed, pool.map(record, removed), strict=True))
    recorded, outage = 0, None
    defects: list[tuple[BusinessId, Exception]] = []
    for business_id, result in results.items():
        if isinstance(result, Unavailable):
            outage = result
        elif isinstance(result, Exception):
            logger.error("cannot record", exc_info=result, extra={"businessId": business_id})
            defects.append((business_id, result))
        else:
            recorded += len(result)
            for transition in result:
                logger.info("transition", extra=_log_fields(transition))
    if recorded:
        service.metrics.count(MetricName.TRANSITIONS, recorded)
    # Last: a queue that does not answer must not hide what was recorded.
    for business_id, defect in defects:
        service.dead_letters.add(business_id, defect)
    if outage is not None:
        raise outage
    return {"businesses": len(results), "recorded": recorded}


def _nominated(records: Iterable[_Record]) -> dict[BusinessId, RemovedConnection | None]:
    """The businesses that may have changed, and the last real connection of each that was removed,
    if any.
    """
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
        is_real = is_connection and not sort.startswith(VIRTUAL_PREFIX)
        if is_real and record["eventName"] == "REMOVE":
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
