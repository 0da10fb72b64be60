"""Telling from many threads at once: each line must be one metric that CloudWatch can read."""

import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lambdas.domain.attention import Trouble
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention
from lambdas.handlers.telemetry import tell_attention
from tests.unit.handlers.conftest import Deployed


class Unbuffered(io.StringIO):
    """Lambda's stdout (awslambdaric.bootstrap.Unbuffered): each write is flushed, a system call."""

    def write(self, text: str) -> int:
        written = super().write(text)
        os.sched_yield()  # as a system call does, it lets the next thread run
        return written


def test_each_of_many_businesses_told_at_once_is_a_line_of_its_own(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Unbuffered()
    monkeypatch.setattr(sys, "stdout", out)
    with ThreadPoolExecutor(16) as pool:
        list(
            pool.map(
                lambda n: tell_attention(
                    Trouble(BusinessId(f"b{n}"), Attention.UNREACHABLE, seconds=300)
                ),
                range(500),
            )
        )
    readable = set()
    for line in out.getvalue().splitlines():
        try:
            readable.add(json.loads(line)["businessId"])
        except ValueError:
            continue
    assert len(readable) == 500
