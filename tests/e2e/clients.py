"""Runs the two clients of docs/protocol.md: a program in Python, and a tab of a browser."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.protocol_document import snippets

CODE = {snippet.name: snippet.code for snippet in snippets()}


# A shell ignores Ctrl-C for what it runs in the background, and so would the program.
_PROGRAM = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


class Client(Protocol):
    """What a test may ask either of them."""

    def handled(self) -> list[dict[str, Any]]:
        """The messages that were handled, in order."""

    def failures(self) -> int:
        """How often the client said that it got no socket."""


@dataclass(frozen=True)
class Program:
    """The device in Python."""

    process: subprocess.Popen[str]
    printed: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """The lines of its log."""

    def listen(self) -> None:
        for line in self.process.stdout or ():
            self.printed.append(json.loads(line))

    def listen_for_errors(self) -> None:
        self.errors.extend(self.process.stderr or ())  # line by line

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.printed if message["type"] == kind]

    def handled(self) -> list[dict[str, Any]]:
        return self.printed

    def failures(self) -> int:
        return sum("no socket" in line for line in self.errors)


@dataclass(frozen=True)
class Tab:
    """The client in a browser. It only runs on while a test asks it something."""

    page: Page
    warnings: list[str] = field(default_factory=list)

    def handled(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.page.evaluate("messages")
        return messages

    def failures(self) -> int:
        self.page.evaluate("0")
        return len(self.warnings)

    def note(self, message: ConsoleMessage) -> None:
        if message.type == "warning":
            self.warnings.append(message.text)


def with_constants(code: str, values: Mapping[str, float]) -> str:
    """The code of a client with other values for some of its constants."""
    for name, value in values.items():
        code, found = re.subn(rf"^((?:const )?{name} =) \d+", rf"\1 {value}", code, flags=re.M)
        assert found == 1, f"the client has no constant {name}"
    return code


@contextmanager
def running_program(code: str, environment: Mapping[str, str], folder: Path) -> Iterator[Program]:
    """Run a device program until the block ends."""
    file = folder / "device.py"
    file.write_text(code)
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(file)],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        program = Program(process)
        listeners = [Thread(target=program.listen), Thread(target=program.listen_for_errors)]
        for listener in listeners:
            listener.start()
        try:
            yield program
        finally:
            process.terminate()
            for listener in listeners:
                listener.join()


@contextmanager
def running_tab(browser: Browser, url: str, script: str) -> Iterator[Tab]:
    """Run a script in a page of its own until the block ends. Fails if it threw an error."""
    page = browser.new_page()
    tab = Tab(page)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: tab.note(message))  # it cannot mark a frozen method
    page.goto(url)
    page.add_script_tag(content=script)
    try:
        yield tab
        assert errors == []
    finally:
        page.close()
