"""The patterns in docs/events.md choose the events that they are said to choose."""

import json
from typing import Any

import pytest

from contracts import examples
from lambdas import protocol
from lambdas.domain.model import Attention, OverallStatus
from operations.shared.local_system import Emulator
from tests.builders import transition
from tests.protocol_document import EVENTS, snippets

SNIPPETS = {snippet.name: snippet.code for snippet in snippets(EVENTS)}
ONLINE = OverallStatus.ONLINE
VIRTUAL_ONLY = OverallStatus.VIRTUAL_ONLY
UNREACHABLE = OverallStatus.UNREACHABLE
CONNECTED = OverallStatus.CONNECTED_NOT_ACCEPTING
OFFLINE = OverallStatus.OFFLINE
UNKNOWN = OverallStatus.UNKNOWN


@pytest.fixture(scope="module")
def event_bridge(emulator: Emulator) -> Any:
    return emulator.client("events")


def _event(before: OverallStatus, after: OverallStatus, attention: Attention | None) -> Any:
    recorded = transition(before=before, after=after, attention=attention)
    return {**examples.event(), "detail": protocol.event_detail(recorded)}


@pytest.mark.parametrize(
    ("before", "after", "attention", "chosen"),
    [
        (ONLINE, VIRTUAL_ONLY, None, set()),
        (VIRTUAL_ONLY, VIRTUAL_ONLY, Attention.VIRTUAL_ONLY, {"attention"}),
        (VIRTUAL_ONLY, UNREACHABLE, Attention.UNREACHABLE, {"attention", "online"}),
        (UNREACHABLE, ONLINE, None, {"online"}),
        (ONLINE, UNREACHABLE, None, {"online"}),
        (ONLINE, CONNECTED, None, {"online"}),
        (CONNECTED, OFFLINE, None, set()),
        (UNREACHABLE, OFFLINE, None, set()),
        (UNKNOWN, ONLINE, None, {"online"}),
        (UNKNOWN, OFFLINE, None, set()),
    ],
)
def test_a_pattern_chooses_what_it_is_said_to_choose(
    event_bridge: Any,
    before: OverallStatus,
    after: OverallStatus,
    attention: Attention | None,
    chosen: set[str],
) -> None:
    event = json.dumps(_event(before, after, attention))
    matching = {
        name
        for name in ("attention", "online")
        if event_bridge.test_event_pattern(EventPattern=SNIPPETS[name], Event=event)["Result"]
    }
    assert matching == chosen


@pytest.mark.parametrize("name", ["attention", "online"])
def test_a_pattern_chooses_no_event_of_another_source(event_bridge: Any, name: str) -> None:
    event = _event(VIRTUAL_ONLY, UNREACHABLE, Attention.UNREACHABLE)
    for other in ({"source": "aws.s3"}, {"detail-type": "Object Created"}):
        answer = event_bridge.test_event_pattern(
            EventPattern=SNIPPETS[name], Event=json.dumps({**event, **other})
        )
        assert answer["Result"] is False
