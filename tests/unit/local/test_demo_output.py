"""What the demo prints, in a terminal and elsewhere."""

import io
import re

from rich.console import Console

from local.demo_output import Output

TRANSITION = {
    "sequence": 3,
    "from": "VIRTUAL_ONLY",
    "to": "VIRTUAL_ONLY",
    "attention": "virtual-only",
    "cause": "silence",
}


def _told(*, terminal: bool) -> str:
    """What a short story prints."""
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=terminal, width=100, highlight=False, soft_wrap=True
    )
    output = Output(console)
    with output.shown():
        output.is_now(status="ONLINE", alarm="OK")
        output.say("A device is connected.")
        with output.waiting("the alarm goes to ALARM", usually=30):
            output.is_now(alarm="ALARM")
            output.transition(TRANSITION)
    return file.getvalue()


def test_without_a_terminal_it_prints_plain_lines_and_nothing_else() -> None:
    told = re.sub(r"^\[ *[0-9.]+ s\] ", "", _told(terminal=False), flags=re.MULTILINE)
    assert told.splitlines() == [
        "A device is connected.",
        "  feed #3  VIRTUAL_ONLY → VIRTUAL_ONLY, needs attention: virtual-only  (silence)",
    ]


def test_in_a_terminal_it_also_shows_what_is_going_on() -> None:
    told = _told(terminal=True)
    assert "A device is connected." in told
    for shown in ("status", "ONLINE", "alarm", "ALARM", "of about 30 s", "the alarm goes to ALARM"):
        assert shown in told, shown
