"""Starts one local system for all tests, and the demo on it in the background."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Business, System, running_system

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xdist_group(name): run by one worker of pytest-xdist")
    config.addinivalue_line("markers", "last: waits for what takes minutes in the background")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marker in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One system serves most of these tests, so they share a worker. Tests that wait for what takes
    # minutes in the background come last. The tests of releases start their own emulator, and those
    # of clients none, so they can run in parallel.
    for item in items:
        if item.path.is_relative_to(HERE):
            alone = {HERE / "test_release.py": "release", HERE / "test_clients.py": "clients"}
            item.add_marker(pytest.mark.xdist_group(alone.get(item.path, "e2e")))
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    state = tmp_path_factory.mktemp("system")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCAL_STATE", str(state))
        with running_system(state) as system:
            yield system


@pytest.fixture
def business(system: System) -> Iterator[Business]:
    business = Business(system)
    try:
        yield business
    finally:
        business.delete_items()
