"""How the adapters translate what the SDK raises."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError
from botocore.stub import Stubber

from lambdas.adapters.dead_letters import DeadLetters
from lambdas.adapters.event_bus import EventBus
from lambdas.adapters.sockets import ManagementApi
from lambdas.adapters.table import Table
from lambdas.domain.errors import Conflict, Unavailable
from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.socket_messages import AvailabilityChanged
from lambdas.use_cases.ports import SocketAnswer
from tests.builders import B1, NOW, business, settings, transition, virtual
from tests.fakes import raising

C1 = ConnectionId("c1")
SESSION = boto3.Session(
    region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
)


@pytest.fixture(scope="module")
def dynamodb() -> Any:
    return SESSION.client("dynamodb")


@pytest.fixture(scope="module")
def management() -> Any:
    return SESSION.client("apigatewaymanagementapi", endpoint_url="https://api.example/test")


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ProvisionedThroughputExceededException", 400, Unavailable),
        ("ThrottlingException", 400, Unavailable),
        ("RequestLimitExceeded", 400, Unavailable),
        ("InternalServerError", 500, Unavailable),
        ("ServiceUnavailable", 503, Unavailable),
        ("AccessDeniedException", 400, ClientError),
        ("ResourceNotFoundException", 400, ClientError),
        ("ValidationException", 400, ClientError),
    ],
)
def test_throttling_and_outages_are_unavailable_and_our_own_mistakes_stay_visible(
    dynamodb: Any, code: str, status: int, expected: type[Exception]
) -> None:
    with Stubber(dynamodb) as stub:
        stub.add_client_error("query", code, http_status_code=status)
        with pytest.raises(expected):
            Table(dynamodb, "table").load(B1)


def test_a_table_that_cannot_be_reached_is_unavailable(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_answer = raising(EndpointConnectionError(endpoint_url="https://dynamodb"))
    monkeypatch.setattr(dynamodb, "query", no_answer)
    with pytest.raises(Unavailable):
        Table(dynamodb, "table").load(B1)


def test_a_request_that_the_sdk_refuses_is_a_defect(dynamodb: Any) -> None:
    """If it counted as an outage, a build with this defect would pass its check and stay."""
    with pytest.raises(ParamValidationError):
        Table(dynamodb, "").load(B1)  # a name needs at least one letter


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        (["ConditionalCheckFailed", "None"], Conflict),
        (["None", "TransactionConflict"], Conflict),
        (["ThrottlingError", "None"], Unavailable),
        (["ProvisionedThroughputExceeded"], Unavailable),
        (["ValidationError"], ClientError),
    ],
)
def test_a_cancelled_transaction_is_translated_by_its_reasons(
    dynamodb: Any, reasons: list[str], expected: type[Exception]
) -> None:
    with Stubber(dynamodb) as stub:
        stub.add_client_error(
            "transact_write_items",
            "TransactionCanceledException",
            modeled_fields={"CancellationReasons": [{"Code": reason} for reason in reasons]},
        )
        with pytest.raises(expected):
            Table(dynamodb, "table").write_settings(business(), settings(), put=[virtual()])


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("GoneException", 410, SocketAnswer.GONE),
        ("ForbiddenException", 403, SocketAnswer.UNKNOWN),
        ("LimitExceededException", 429, SocketAnswer.UNKNOWN),
        ("InternalServerError", 500, SocketAnswer.UNKNOWN),
        ("NotFoundException", 404, SocketAnswer.UNKNOWN),
    ],
)
def test_only_410_means_that_a_socket_is_gone(
    management: Any, code: str, status: int, expected: SocketAnswer
) -> None:
    sockets = ManagementApi(management)
    with Stubber(management) as stub:
        for operation in ("get_connection", "post_to_connection", "delete_connection"):
            stub.add_client_error(operation, code, http_status_code=status)
        assert sockets.probe(C1) is expected
        assert sockets.post(C1, AvailabilityChanged(B1, available=False, at=NOW)) is expected
        assert sockets.close(C1) is expected
    failures = {} if expected is SocketAnswer.GONE else {code: 3}
    assert sockets.pop_failures() == failures
    assert sockets.pop_failures() == {}


def test_a_management_api_that_cannot_be_reached_answers_unknown(
    management: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_answer = raising(EndpointConnectionError(endpoint_url="https://api"))
    monkeypatch.setattr(management, "get_connection", no_answer)
    sockets = ManagementApi(management)
    assert sockets.probe(C1) is SocketAnswer.UNKNOWN
    assert sockets.pop_failures() == {"EndpointConnectionError": 1}


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalException", "AccessDenied"])
def test_a_bus_or_a_queue_that_refuses_a_call_is_unavailable_so_that_nothing_is_dropped(
    code: str,
) -> None:
    events, sqs = SESSION.client("events"), SESSION.client("sqs")
    with Stubber(events) as stub:
        stub.add_client_error("put_events", code)
        with pytest.raises(Unavailable):
            EventBus(events, "bus").publish([transition()])
    with Stubber(sqs) as stub:
        stub.add_client_error("send_message", code)
        with pytest.raises(Unavailable):
            DeadLetters(sqs, "https://sqs/q").add(B1, KeyError("sk"))
