"""Answers that are kept for some seconds."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from console.cached import Cached
from console.errors import Unanswered


def test_it_is_loaded_again_when_its_time_is_over() -> None:
    now, loads = 0.0, iter(range(9))
    cached = Cached(lambda: next(loads), seconds=5, clock=lambda: now)
    assert (cached.get(), cached.get()) == (0, 0)
    now = 5.0
    assert cached.get() == 1


def test_those_who_wait_share_one_load_even_if_it_fails() -> None:
    started, go_on, loads = threading.Event(), threading.Event(), []

    def load() -> None:
        loads.append(1)
        started.set()
        go_on.wait(timeout=10)
        raise Unanswered("down")

    cached = Cached(load, seconds=60)
    with ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(cached.get) for _ in range(5)]
        assert started.wait(timeout=10)
        go_on.set()
        for each in asked:
            with pytest.raises(Unanswered, match="down"):
                each.result(timeout=10)
    assert len(loads) == 1
