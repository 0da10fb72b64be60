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

FEED = (
    "feed #1  UNKNOWN → ONLINE  (member)",
    "feed #2  ONLINE → VIRTUAL_ONLY  (silence)",
    "feed #3  VIRTUAL_ONLY → VIRTUAL_ONLY, needs attention: virtual-only  (silence)",
    "feed #4  VIRTUAL_ONLY → ONLINE  (device_connected)",
)
"""Checked apart from the other lines: any cleanup of the system can bring them a little earlier."""


@pytest.mark.last
def test_a_frozen_device_is_found_and_pages_on_call_until_it_is_back(
    system: System,
) -> None:
    output, _ = system.demo.communicate(timeout=300)
    assert system.demo.returncode == 0, output
    for landmarks in (LANDMARKS, FEED):
        rest = output
        for landmark in landmarks:
            _, found, rest = rest.partition(landmark)
            assert found, f"{landmark!r} is missing, or in the wrong place, in:\n{output}"
