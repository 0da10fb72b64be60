"""The function behind the table's stream."""

import json
from typing import Any

import pytest

from lambdas.adapters.items import real_key, settings_key, virtual_key
from lambdas.bootstrap import MissingConfiguration, Service
from lambdas.domain.errors import Unavailable
from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId
from lambdas.domain.model import AnnouncedRemoval, Cause
from lambdas.handlers import recorder
from lambdas.table_schema import LAST_TRANSITION_KEY
from tests.builders import B1, NOW, business, real, settings, virtual
from tests.events import changed_record
from tests.unit.handlers.conftest import Deployed, unrecorded

pytestmark = pytest.mark.usefixtures("feed")


B2 = BusinessId("b2")
C1 = ConnectionId("c1")


def _record(deployed: Deployed, *records: dict[str, Any]) -> dict[str, Any]:
    return deployed.invoke(recorder.handler, {"Records": list(records)})


def _history(deployed: Deployed) -> list[tuple[str, str, str]]:
    assert deployed.service.history is not None
    return [
        (each.business_id, each.after, each.cause)
        for business_id in (B1, B2)
        for each in deployed.service.history.list_between(business_id, 0, NOW + 99, limit=9)
    ]


def test_a_batch_records_each_business_once(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(business(real(), declared=settings()))
    deployed.seed(business(declared=settings(), business_id=B2))
    keys = [settings_key(B1), settings_key(B2), settings_key(B1)]
    answer = _record(
        deployed, *map(changed_record, keys), changed_record(real_key(B1, C1), "INSERT")
    )
    assert answer == {"businesses": 2, "recorded": 2}
    assert _history(deployed) == [("b1", "ONLINE", "member"), ("b2", "UNREACHABLE", "member")]
    (metric,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert metric["Transitions"] == [2.0]
    assert {line["businessId"] for line in deployed.log_lines} == {"b1", "b2"}


def test_a_batch_that_is_repeated_records_nothing(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.seed(business(declared=settings()))
    records = [changed_record(settings_key(B1)), changed_record(settings_key(B1))]
    assert _record(deployed, *records)["recorded"] == 1
    capsys.readouterr()
    assert _record(deployed, *records) == {"businesses": 1, "recorded": 0}
    assert capsys.readouterr().out == ""


NO_NOMINATION = {
    "a ping": changed_record(real_key(B1, C1)),
    "a renewed lease": changed_record(virtual_key(virtual())),
    "its own write": changed_record({"pk": {"S": "BUSINESS#b1"}, "sk": {"S": LAST_TRANSITION_KEY}}),
    "a ticket": changed_record({"pk": {"S": "TICKET#x"}, "sk": {"S": "TICKET"}}, "INSERT"),
    "an unknown item": changed_record({"pk": {"S": "BUSINESS#b1"}, "sk": {"S": "OTHER"}}, "INSERT"),
}


@pytest.mark.parametrize("what", NO_NOMINATION)
def test_what_slips_through_the_filter_reads_nothing(deployed: Deployed, what: str) -> None:
    deployed.seed(business(declared=settings()))
    assert _record(deployed, NO_NOMINATION[what]) == {"businesses": 0, "recorded": 0}
    assert deployed.calls == []


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_the_last_removed_connection_is_the_cause(
    deployed: Deployed, order: tuple[int, int]
) -> None:
    deployed.seed(business(real("c1"), real("c2"), virtual(), declared=settings()))
    _record(deployed, changed_record(settings_key(B1)))
    deployed.clock.advance(50)
    for number in (1, 2):
        deployed.store.remove_real(B1, ConnectionId(f"c{number}"))
    records = {
        n: changed_record(real_key(B1, ConnectionId(f"c{n}")), "REMOVE", at=NOW + 10 * n)
        for n in (1, 2)
    }
    _record(deployed, *[records[n] for n in order])
    assert deployed.service.history is not None
    last = deployed.service.history.last_until(B1)
    assert last is not None
    assert (last.after, last.cause, last.at) == ("VIRTUAL_ONLY", "device_disconnected", NOW + 20)


def test_of_connections_removed_in_one_second_the_last_record_counts(deployed: Deployed) -> None:
    deployed.seed(business(real("c1"), real("c2"), virtual(), declared=settings()))
    _record(deployed, changed_record(settings_key(B1)))
    announced = AnnouncedRemoval(C1, Cause.OPERATOR, UserId("o1"), NOW)
    deployed.store.announce_removal(B1, announced)
    keys = [real_key(B1, ConnectionId(name)) for name in ("c1", "c2")]
    for name in ("c1", "c2"):
        deployed.store.remove_real(B1, ConnectionId(name))
    _record(deployed, *[changed_record(key, "REMOVE") for key in keys])
    assert _history(deployed)[0] == ("b1", "VIRTUAL_ONLY", "device_disconnected")


def test_a_lease_that_was_removed_is_no_device(deployed: Deployed) -> None:
    deployed.seed(business(real(), virtual("u2"), declared=settings()))
    _record(deployed, changed_record(settings_key(B1)))
    operator = UserId("o1")
    announced = AnnouncedRemoval(C1, Cause.OPERATOR, operator, NOW + 10)
    deployed.store.announce_removal(B1, announced)
    deployed.store.remove_real(B1, C1)
    deployed.clock.advance(20)
    _record(
        deployed,
        changed_record(real_key(B1, C1), "REMOVE", at=NOW + 10),
        changed_record(virtual_key(virtual()), "REMOVE", at=NOW + 12),
    )
    assert deployed.service.history is not None
    last = deployed.service.history.last_until(B1)
    assert last is not None
    assert (last.cause, last.by, last.at) == ("operator", operator, NOW + 10)


def _poison_b1(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two businesses, of which b1 cannot be read."""
    for name in (B1, B2):
        deployed.seed(business(declared=settings(), business_id=name))
    load = deployed.service.store.load

    def poisoned(business_id: BusinessId) -> Any:
        if business_id == B1:
            raise KeyError("sk")
        return load(business_id)

    monkeypatch.setattr(deployed.service.store, "load", poisoned)


def test_a_poisoned_business_goes_to_the_dead_letters_and_the_others_are_recorded(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    _poison_b1(deployed, monkeypatch)
    records = [changed_record(settings_key(name)) for name in (B1, B2)]
    assert _record(deployed, *records) == {"businesses": 2, "recorded": 1}
    assert [each[0] for each in _history(deployed)] == ["b2"]
    (letter,) = [params for name, params in deployed.calls if name == "SendMessage"]
    assert letter["QueueUrl"] == deployed.environ["DEAD_LETTERS_URL"]
    assert json.loads(letter["MessageBody"]) == {
        "businessId": "b1", "error": "KeyError: 'sk'", "record": None,
    }  # fmt: skip


def test_what_was_recorded_is_counted_even_if_the_dead_letters_cannot_be_kept(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The repeated batch finds these transitions recorded, and does not count them again."""
    _poison_b1(deployed, monkeypatch)
    unrecorded("sqs").delete_queue(QueueUrl=deployed.environ["DEAD_LETTERS_URL"])
    with pytest.raises(Unavailable):
        _record(deployed, *(changed_record(settings_key(name)) for name in (B1, B2)))
    (metric,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert metric["Transitions"] == [1.0]


def test_an_outage_raises_so_that_the_batch_comes_again_and_makes_few_calls(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[BusinessId] = []

    def down(business_id: BusinessId) -> Any:
        asked.append(business_id)
        raise Unavailable("down")

    monkeypatch.setattr(deployed.service.store, "load", down)
    records = [changed_record(settings_key(BusinessId(f"b{n}"))) for n in range(100)]
    with pytest.raises(Unavailable):
        _record(deployed, *records)
    assert len(asked) <= 16
    assert deployed.operations == []


def test_without_a_history_it_says_what_is_missing(deployed: Deployed) -> None:
    environ = {k: v for k, v in deployed.environ.items() if k != "HISTORY_TABLE_NAME"}
    deployed.service = Service(environ)
    with pytest.raises(MissingConfiguration, match=r"^HISTORY_TABLE_NAME is not set$"):
        _record(deployed)
