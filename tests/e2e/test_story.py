"""The product's main job, as `make demo` plays it."""

import pytest

from tests.e2e.harness import System

LANDMARKS = (
    "A device is connected: CONNECTION#",
    "The business declared itself available",
    "Status ONLINE",
    "The device freezes",
    "Status VIRTUAL_ONLY",
    "renews the lease every few seconds",
    "A cleanup found that it needs attention, since ",
    "The cleanup closed the socket and removed its item",
    "ALARM. On call reads: Threshold Crossed",
    "The device is switched off and on again",
    "Status ONLINE",
    "OK. On call can go back to sleep.",
)


@pytest.mark.last
def test_a_frozen_device_is_found_and_pages_on_call_until_it_is_back(
    system: System,
) -> None:
    output, _ = system.demo.communicate(timeout=300)
    assert system.demo.returncode == 0, output
    rest = output
    for landmark in LANDMARKS:
        _, found, rest = rest.partition(landmark)
        assert found, f"{landmark!r} is missing, or in the wrong place, in:\n{output}"
