"""Pushing a message to the devices of a business."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lambdas.domain.identifiers import ConnectionId
from lambdas.domain.socket_messages import PushedMessage, SocketMessage
from lambdas.use_cases.ports import SocketAnswer
from lambdas.use_cases.push_messages import Delivery, Messaging
from tests.builders import B1, NOW, RULES, FakeClock, business, no_wait, real, settings, virtual
from tests.fakes import FakeSockets, MemoryStore

MESSAGE = PushedMessage("m1", {"order": 7})


@dataclass
class FlakySockets(FakeSockets):
    """Fails the first `failures` posts to each socket."""

    failures: int = 0
    posts: dict[str, int] = field(default_factory=dict)

    def post(self, connection_id: ConnectionId, message: SocketMessage) -> SocketAnswer:
        self.posts[connection_id] = self.posts.get(connection_id, 0) + 1
        if self.posts[connection_id] <= self.failures:
            return SocketAnswer.UNKNOWN
        return super().post(connection_id, message)


@pytest.fixture
def sockets() -> FlakySockets:
    return FlakySockets()


Push = Callable[..., Delivery]


@pytest.fixture
def push(store: MemoryStore, sockets: FlakySockets) -> Push:
    messaging = Messaging(store, sockets, RULES, FakeClock(NOW), backoff=no_wait)

    def push(out_of_time: Callable[[], bool] = lambda: False) -> Delivery:
        return messaging.push(B1, MESSAGE, out_of_time)

    return push


def test_exactly_the_active_sockets_get_it(
    push: Push, store: MemoryStore, sockets: FlakySockets
) -> None:
    store.seed(business(real("c1"), real("c2"), real("silent", seen=700), virtual()))
    sockets.open |= {"c1", "c2", "silent"}
    delivery = push()
    assert delivery == Delivery("m1", sent=2, gone=0, failed=0)
    assert delivery.reached
    assert sorted(sockets.sent) == [("c1", MESSAGE), ("c2", MESSAGE)]


def test_a_business_without_devices_is_not_reached(push: Push, store: MemoryStore) -> None:
    store.seed(business(virtual(), declared=settings()))
    assert push() == Delivery("m1", sent=0, gone=0, failed=0)
    assert not push().reached


def test_only_connections_whose_sockets_are_gone_are_removed_and_no_young_ones(
    push: Push, store: MemoryStore, sockets: FlakySockets
) -> None:
    store.seed(business(real("here"), real("gone"), real("young", age=59)))
    sockets.open.add("here")
    assert push() == Delivery("m1", sent=1, gone=2, failed=0)
    assert {c.connection_id for c in store.load(B1).real} == {"here", "young"}


def test_a_post_is_tried_again_if_the_gateway_could_not_tell(
    push: Push, store: MemoryStore, sockets: FlakySockets
) -> None:
    store.seed(business(real("c1")))
    sockets.open.add("c1")
    sockets.failures = 3
    assert push().sent == 1
    assert sockets.posts == {"c1": 4}


def test_a_socket_that_keeps_failing_counts_as_failed_and_its_connection_stays(
    push: Push, store: MemoryStore, sockets: FlakySockets
) -> None:
    store.seed(business(real("c1"), real("c2")))
    sockets.open |= {"c1", "c2"}
    sockets.unknown.add("c1")
    delivery = push()
    assert delivery == Delivery("m1", sent=1, gone=0, failed=1)
    assert len(store.real) == 2


def test_nothing_is_tried_after_the_deadline(
    push: Push, store: MemoryStore, sockets: FlakySockets
) -> None:
    store.seed(business(real("c1")))
    sockets.open.add("c1")
    assert push(lambda: True) == Delivery("m1", sent=0, gone=0, failed=1)
    assert sockets.posts == {}
