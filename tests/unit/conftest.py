"""The store, the sockets and the clock that most tests of the domain and the use cases use."""

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
