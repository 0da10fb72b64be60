"""What the demo prints: lines everywhere, and in a terminal also what is going on right now."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_STYLES: Final[Mapping[str, str]] = {
    "ONLINE": "green",
    "VIRTUAL_ONLY": "yellow",
    "UNREACHABLE": "red",
    "OK": "green",
    "ALARM": "bold red",
}


class Output:
    """Prints the story line by line, each with the seconds since the beginning.

    In a terminal, a panel below the lines shows the status and the alarm as they change, and what
    the story waits for.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._status = self._alarm = "?"
        self._waiting: tuple[str, float, float] | None = None
        """What for, since when, and how many seconds it usually takes."""
        self._live = Live(get_renderable=self._panel, console=self._console, transient=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the panel until the end of the block, if this is a terminal."""
        with self._live if self._console.is_terminal else nullcontext():
            yield

    def say(self, text: str, *, style: str = "") -> None:
        """Print one line."""
        line = Text(f"[{time.monotonic() - self._began:6.1f} s] ", style="dim")
        self._console.print(line.append(text, style=style or "default"))

    def transition(self, detail: Mapping[str, Any]) -> None:
        """Print a transition that the change feed told."""
        attention = f", needs attention: {detail['attention']}" if detail["attention"] else ""
        self.say(
            f"  feed #{detail['sequence']}  {detail['from']} → {detail['to']}{attention}"
            f"  ({detail['cause']})",
            style="cyan",
        )

    def is_now(self, *, status: str | None = None, alarm: str | None = None) -> None:
        """Show the status of the business, or the state of its alarm."""
        self._status, self._alarm = status or self._status, alarm or self._alarm

    @contextmanager
    def waiting(self, what: str, *, usually: float) -> Iterator[None]:
        """Show what the story waits for, and how many seconds that usually takes."""
        self._waiting = (what, time.monotonic(), usually)
        self._live.refresh()
        try:
            yield
        finally:
            self._waiting = None

    def _panel(self) -> Panel:
        states = Table.grid(padding=(0, 3))
        states.add_row(
            Text("status ").append(self._status, style=_STYLES.get(self._status, "default")),
            Text("alarm ").append(self._alarm, style=_STYLES.get(self._alarm, "default")),
        )
        if self._waiting is None:
            return Panel(Group(states, Text("…")))
        what, since, usually = self._waiting
        waited = time.monotonic() - since
        progress = Table.grid(padding=(0, 1))
        progress.add_row(
            ProgressBar(total=usually, completed=min(waited, usually), width=24),
            f"{waited:.0f} of about {usually:.0f} s",
            Text(f"until {what}", style="dim"),
        )
        return Panel(Group(states, progress))
