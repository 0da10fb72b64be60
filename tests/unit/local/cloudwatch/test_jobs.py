"""A job that fails is tried again."""

import logging
import threading

import pytest

from local.cloudwatch.jobs import keep_running


def test_a_job_logs_an_error_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    calls = 0

    def step() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("the emulator did not answer")
        stop.set()

    with caplog.at_level(logging.ERROR):
        keep_running(step, every=0, stop=stop)
    assert calls == 2
    assert "the emulator did not answer" in caplog.text
