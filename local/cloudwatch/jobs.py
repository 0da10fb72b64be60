"""Runs in threads what CloudWatch does by itself: metrics from logs, and alarm states."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from local.cloudwatch.alarm_states import AlarmStates
from local.cloudwatch.metrics_from_logs import MetricsFromLogs
from operations.shared.local_system import Emulator

logger = logging.getLogger(__name__)


@contextmanager
def cloudwatch_jobs(emulator: Emulator) -> Iterator[None]:
    """Publish metrics from logs and set alarm states, until the end of the block."""
    cloudwatch = emulator.client("cloudwatch")
    jobs = (
        (MetricsFromLogs(emulator.client("logs"), cloudwatch).step, 1.0),
        (AlarmStates(cloudwatch).step, 2.0),
    )
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=keep_running, args=(step,), kwargs={"every": every, "stop": stop}, daemon=True
        )
        for step, every in jobs
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=5)


def keep_running(step: Callable[[], None], *, every: float, stop: threading.Event) -> None:
    """Call `step` every so many seconds until `stop` is set. Errors are logged."""
    while not stop.wait(every):
        try:
            step()
        except Exception:
            # Whatever it was: if this thread ended, alarms would silently keep their last state.
            if not stop.is_set():
                name = getattr(step, "__qualname__", step)
                logger.exception("%s failed; trying again in %s s", name, every)
