"""What most tests of the domain stand on: a store, sockets and a clock of their own."""

import pytest

from tests.builders import FakeClock
from tests.fakes import FakeSockets, MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def sockets() -> FakeSockets:
    return FakeSockets()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
