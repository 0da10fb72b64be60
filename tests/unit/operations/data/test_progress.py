"""How tools say how far they are."""

import threading
from typing import Any

import pytest

from operations.data.progress import Progress


class Lines:
    """A stream that knows when the first whole line has come."""

    def __init__(self) -> None:
        self.text = ""
        self.came = threading.Event()

    def write(self, text: str) -> int:
        self.text += text
        self.came.set()
        return len(text)

    def flush(self) -> None:
        pass


def progress(report: Any = None, **more: Any) -> Progress:
    return Progress(
        unit="lines",
        done=lambda: 600,
        results=lambda: "599 created, 1 bad",
        report=report,
        **more,
    )


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({}, "600 lines, 300 a second: 599 created, 1 bad"),
        ({"total": 1000}, "600 of 1000 lines, 300 a second: 599 created, 1 bad"),
        (
            {"total": 1000, "is_estimate": True},
            "600 of about 1000 lines, 300 a second: 599 created, 1 bad",
        ),
        # A table that was restored a moment ago.
        ({"total": 0, "is_estimate": True}, "600 lines, 300 a second: 599 created, 1 bad"),
    ],
)
def test_a_line_has_the_count_the_total_if_it_is_known_and_the_rate(
    known: dict[str, Any], told: str
) -> None:
    assert progress(**known).line(2.0) == told


def test_lines_are_written_while_the_work_waits() -> None:
    report = Lines()
    with progress(report).shown():
        assert report.came.wait(30)
    assert report.text.startswith("600 lines, ")
