from collections.abc import Iterator

import pytest

from tests.interleavings.tasks import without_threads


@pytest.fixture(autouse=True)
def _in_one_thread() -> Iterator[None]:
    with without_threads():
        yield
