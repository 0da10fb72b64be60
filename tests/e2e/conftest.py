"""Starts one local system for all tests, and the demo on it in the background."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.browser import NoBrowser, find_chromium, running_browser
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


def _new_business(system: System) -> Iterator[Business]:
    business = Business(system)
    try:
        yield business
    finally:
        business.delete_items()


business = pytest.fixture(_new_business, name="business")
other = pytest.fixture(_new_business, name="other")


@pytest.fixture
def operator(system: System) -> str:
    """The token of an operator."""
    return system.token("operator")


@pytest.fixture
def backend(system: System) -> str:
    """The token of a back end."""
    return system.token("backend")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser | None]:
    """A browser, unless `WITHOUT_BROWSER` is 1. It owns the event loop of its thread while it is
    open, so it ends with each module.
    """
    if os.environ.get("WITHOUT_BROWSER") == "1":
        yield None
        return
    try:
        chromium = find_chromium()
    except NoBrowser as error:
        pytest.fail(str(error), pytrace=False)
    with running_browser(chromium) as browser:
        yield browser
