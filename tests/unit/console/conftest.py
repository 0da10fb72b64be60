"""A console with the fakes of `builders`."""

from collections.abc import Iterator

import pytest

from tests.unit.console.builders import Browser, MemoryCloudWatch, Upstream, application, upstream


@pytest.fixture
def rest() -> Iterator[Upstream]:
    with upstream() as told:
        yield told


@pytest.fixture
def cloudwatch() -> MemoryCloudWatch:
    return MemoryCloudWatch()


@pytest.fixture
def browser(cloudwatch: MemoryCloudWatch, rest: Upstream) -> Browser:
    return Browser(application(cloudwatch, rest.url))
