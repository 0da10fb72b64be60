"""The product's main job, as `make demo` plays it."""

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


def test_a_lost_socket_is_found_and_pages_somebody_until_the_device_is_back(
    system: System,
) -> None:
    told, _ = system.demo.communicate(timeout=300)
    assert system.demo.returncode == 0, told
    rest = told
    for landmark in LANDMARKS:
        _, found, rest = rest.partition(landmark)
        assert found, f"{landmark!r} is missing, or at the wrong place, in:\n{told}"
