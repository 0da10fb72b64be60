"""Metrics told from many threads at once: each must be a line of its own for CloudWatch."""

import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lambdas.adapters.metrics import Metrics
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention
from lambdas.use_cases.attention import AttentionReport


class Unbuffered(io.StringIO):
    """Lambda's stdout (awslambdaric.bootstrap.Unbuffered): each write is flushed, a system call."""

    def write(self, text: str) -> int:
        written = super().write(text)
        os.sched_yield()  # as a system call does, it lets the next thread run
        return written


def test_reports_from_many_threads_are_separate_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Unbuffered()
    monkeypatch.setattr(sys, "stdout", out)
    report = Metrics(lambda: "test").report_attention
    with ThreadPoolExecutor(16) as pool:
        list(
            pool.map(
                lambda n: report(
                    AttentionReport(BusinessId(f"b{n}"), Attention.UNREACHABLE, seconds=300)
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
