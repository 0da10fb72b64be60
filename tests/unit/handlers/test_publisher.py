"""The function behind the history's stream."""

import json
from dataclasses import replace
from typing import Any

import pytest

from lambdas.adapters.event_bus import EventBus
from lambdas.domain.errors import Unavailable
from lambdas.domain.model import Attention, Cause, OverallStatus
from lambdas.domain.status import ReasonCode
from lambdas.handlers import publisher
from tests.builders import NOW, U1, no_wait, transition
from tests.events import transition_record
from tests.fakes import raising
from tests.unit.handlers.conftest import Deployed

pytestmark = pytest.mark.usefixtures("feed")


CLOSED = transition(
    sequence=7,
    before=OverallStatus.ONLINE,
    after=OverallStatus.VIRTUAL_ONLY,
    attention=Attention.VIRTUAL_ONLY,
    cause=Cause.OPERATOR,
    by=U1,
    reasons=(ReasonCode.ACCEPTING_ORDERS, ReasonCode.NO_REAL_CONNECTION),
    since=NOW - 60,
    seconds={OverallStatus.ONLINE: 60},
)
DETAIL = {
    "version": 1,
    "businessId": "b1",
    "sequence": 7,
    "at": "2027-01-15T08:00:00Z",
    "from": "ONLINE",
    "to": "VIRTUAL_ONLY",
    "online": True,
    "attention": "virtual-only",
    "cause": "operator",
    "by": "u1",
    "reasons": ["accepting_orders", "no_real_connection"],
}


def _publish(deployed: Deployed, *records: dict[str, Any]) -> dict[str, Any]:
    return deployed.invoke(publisher.handler, {"Records": list(records)})


def _details(deployed: Deployed) -> list[Any]:
    return [
        json.loads(entry["Detail"])
        for name, params in deployed.calls
        if name == "PutEvents"
        for entry in params["Entries"]
    ]


def test_a_transition_becomes_an_event(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _publish(deployed, transition_record(CLOSED)) == {"published": 1}
    assert _details(deployed) == [DETAIL]
    ((_, sent),) = deployed.calls
    (entry,) = sent["Entries"]
    assert entry["EventBusName"] == deployed.environ["EVENT_BUS_NAME"]
    assert (entry["Source"], entry["DetailType"]) == (
        "business-connections", "BusinessStatusChanged",
    )  # fmt: skip
    (metric,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert metric["TransitionsPublished"] == [1.0]


def test_a_batch_is_published_in_order_ten_at_a_time(deployed: Deployed) -> None:
    _publish(deployed, *[transition_record(replace(CLOSED, sequence=n)) for n in range(1, 24)])
    assert [detail["sequence"] for detail in _details(deployed)] == [*range(1, 24)]
    assert deployed.operations == ["PutEvents"] * 3


@pytest.mark.parametrize("event_name", ["REMOVE", "MODIFY"])
def test_a_transition_that_was_deleted_for_its_age_or_edited_is_not_published(
    deployed: Deployed, event_name: str
) -> None:
    assert _publish(deployed, transition_record(CLOSED, event_name)) == {"published": 0}
    assert deployed.calls == []


def test_a_poisoned_record_goes_to_the_dead_letters_and_the_others_are_published(
    deployed: Deployed,
) -> None:
    poisoned = transition_record(replace(CLOSED, sequence=8))
    del poisoned["dynamodb"]["NewImage"]["from"]
    answer = _publish(
        deployed,
        transition_record(CLOSED),
        poisoned,
        transition_record(replace(CLOSED, sequence=9)),
    )
    assert answer == {"published": 2}
    assert [detail["sequence"] for detail in _details(deployed)] == [7, 9]
    (letter,) = [params for name, params in deployed.calls if name == "SendMessage"]
    body = json.loads(letter["MessageBody"])
    assert (body["businessId"], body["record"]) == ("b1", poisoned["dynamodb"])
    assert body["error"].startswith("ValueError: not a transition")


def test_a_poisoned_record_that_is_too_large_for_the_queue_is_left_out(deployed: Deployed) -> None:
    poisoned = transition_record(CLOSED)
    poisoned["dynamodb"]["NewImage"]["from"] = {"S": "x" * 390_000}
    assert _publish(deployed, poisoned, transition_record(CLOSED)) == {"published": 1}
    (letter,) = [params for name, params in deployed.calls if name == "SendMessage"]
    assert len(letter["MessageBody"]) < 2_000
    assert json.loads(letter["MessageBody"])["record"] is None


def test_the_other_records_are_published_also_if_the_dead_letter_queue_is_down(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned = transition_record(CLOSED)
    del poisoned["dynamodb"]["NewImage"]["from"]
    monkeypatch.setattr(deployed.service.dead_letters, "add", raising(Unavailable("down")))
    with pytest.raises(Unavailable):
        _publish(deployed, poisoned, transition_record(CLOSED))
    assert [detail["sequence"] for detail in _details(deployed)] == [7]


class Bus:
    """A client of a bus that refuses events. It answers as EventBridge does."""

    def __init__(self, *refusals: set[int]) -> None:
        self._refusals = list(refusals)
        self.accepted: list[int] = []

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        refused = self._refusals.pop(0) if self._refusals else set()
        answers: list[dict[str, str]] = []
        for entry in Entries:
            sequence = json.loads(entry["Detail"])["sequence"]
            if sequence in refused:
                answers.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "later"})
            else:
                self.accepted.append(sequence)
                answers.append({"EventId": "e"})
        return {"FailedEntryCount": len(refused), "Entries": answers}


def _deploy_bus(deployed: Deployed, bus: Any) -> None:
    deployed.service.event_bus = EventBus(bus, "bus", backoff=no_wait)


def test_an_event_that_the_bus_refuses_is_sent_again_and_only_that(deployed: Deployed) -> None:
    bus = Bus({2, 3}, {3})
    _deploy_bus(deployed, bus)
    _publish(deployed, *[transition_record(replace(CLOSED, sequence=n)) for n in range(1, 5)])
    assert bus.accepted == [1, 4, 2, 3]


def test_an_event_that_the_bus_never_accepts_raises_so_that_the_batch_comes_again(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    _deploy_bus(deployed, Bus(*[{2}] * 99))
    with pytest.raises(Unavailable, match=r"^the event bus did not accept 1 events$"):
        _publish(deployed, *[transition_record(replace(CLOSED, sequence=n)) for n in (1, 2)])
    assert capsys.readouterr().out == ""
