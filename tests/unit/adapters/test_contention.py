"""Single writes that meet a transaction on their item. The SDK does not try those again."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.adapters.table import Table
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.model import Attention, Census, Episode, Ticket
from tests.builders import B1, NOW, U1, business, no_wait, real, settings, virtual

C1 = ConnectionId("c1")
TRIES = 6

WRITES = {
    "put_item": [
        lambda table: table.add_real(real()),
        lambda table: table.add_ticket("digest", Ticket(B1, U1, expires_at=NOW)),
        lambda table: table.record_census(Census(worker=0, workers=1, real=1, taken_at=NOW)),
    ],
    "update_item": [
        lambda table: table.refresh_real(B1, C1, NOW),
        lambda table: table.claim_real(real(), NOW),
        lambda table: table.write_settings(business(declared=settings()), settings(version=2)),
        lambda table: table.mark_episode(
            business(declared=settings()), Episode(Attention.UNREACHABLE, NOW)
        ),
    ],
    "delete_item": [
        lambda table: table.remove_real(B1, C1),
        lambda table: table.remove_expired_virtual(virtual(), NOW),
        lambda table: table.take_ticket("digest", NOW),
    ],
}

STORED = {
    **{name: {"S": "text"} for name in ("pk", "businessId", "userId")},
    "sk": {"S": "CONNECTION#c1"},
    "ttl": {"N": "1"},
}

every_single_write = pytest.mark.parametrize(
    ("operation", "write"), [(name, write) for name, writes in WRITES.items() for write in writes]
)


@pytest.fixture(scope="module")
def dynamodb() -> Any:
    return boto3.Session(
        region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    ).client("dynamodb")


@every_single_write
def test_a_single_write_is_tried_again_while_a_transaction_holds_its_item(
    dynamodb: Any, operation: str, write: Callable[[Table], object]
) -> None:
    waited: list[int] = []
    with Stubber(dynamodb) as stub:
        for _ in range(TRIES - 1):
            stub.add_client_error(operation, "TransactionConflictException")
        stub.add_response(operation, {"Attributes": STORED} if operation != "put_item" else {})
        write(Table(dynamodb, "table", backoff=waited.append))
        stub.assert_no_pending_responses()
    assert waited == [1, 2, 3, 4, 5]


@every_single_write
def test_a_conflict_with_a_transaction_is_never_mistaken_for_a_failed_condition(
    dynamodb: Any, operation: str, write: Callable[[Table], object]
) -> None:
    """Otherwise a ping would close a live socket."""
    with Stubber(dynamodb) as stub:
        for _ in range(TRIES):
            stub.add_client_error(operation, "TransactionConflictException")
        with pytest.raises(Unavailable):
            write(Table(dynamodb, "table", backoff=no_wait))
        stub.assert_no_pending_responses()
