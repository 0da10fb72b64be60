"""What the documents tell operators to type works in a shell that has just been opened.

Each `make` command is planned (`make -n`), and the tool that it would run must take its arguments,
and must not refuse them by its own rules.
"""

import argparse
import importlib
import inspect
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from operations import deploy, promote
from operations.assembly import Build
from tests.runbook import OPERATORS, ROOT, blocks, commands, inline_commands
from tests.unit.operations.test_promote import seen

MAKEFILE = (ROOT / "Makefile").read_text()
IN_BLOCKS, ALL = (
    {
        shlex.join(words)
        for document in OPERATORS
        for words in commands("make", document, inline=inline)
    }
    for inline in (False, True)
)
# `make deploy` in a sentence names the verb: nobody types it like that.
MAKE = sorted(IN_BLOCKS | {command for command in ALL if "=" in command})
NAMED = sorted(ALL - set(MAKE))


class Parsed(BaseException):
    """The arguments of a tool were taken."""


def test_no_make_command_escapes_these_tests() -> None:
    text = "\n".join(
        text
        for document in OPERATORS
        for text in (*blocks("sh", document), *inline_commands(document))
    )
    found = sum(len(commands("make", document)) for document in OPERATORS)
    assert found == len(re.findall(r"\bmake (?=[a-z])", text))
    assert len(MAKE) > 20


@pytest.mark.parametrize("command", MAKE)
def test_a_make_command_is_taken_by_its_tool(
    command: str, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in planned(command):
        if line.startswith("test "):
            subprocess.run(["sh", "-c", line], check=True)
        elif tool := re.search(r"\.venv/bin/python -m ((?:operations|local)\.\w+)(.*)", line):
            taken(tool[1], shlex.split(tool[2]), build, monkeypatch)


def test_verbs_that_are_named_exist() -> None:
    assert NAMED
    for command in NAMED:
        planned(command)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("make deploy ENVIRONMENT=prod", "comes after dev"),
        ("make deploy ENVIRONMENT=qa", "no environment 'qa'"),
        ("make promote FROM=dev TO=prod", "prod does not follow dev"),
        ("make rollback ENVIRONMENT=prod DRYRUN=1", "DRYRUN"),
        ("make frobnicate", "No rule"),
        ("make rollback", "needs ENVIRONMENT"),
    ],
)
def test_a_command_that_would_be_refused_is_found(
    command: str,
    reason: str,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises((AssertionError, subprocess.CalledProcessError)) as refused:
        test_a_make_command_is_taken_by_its_tool(command, build, monkeypatch)
    assert reason in f"{refused.value}{capfd.readouterr().err}"


def planned(command: str) -> list[str]:
    """What `make` would run."""
    _, *words = shlex.split(command)
    for name in (word.partition("=")[0] for word in words if "=" in word):
        assert f"$({name})" in MAKEFILE, f"no verb knows {name}"
    installed = [f"--old-file={folder}/.done" for folder in (".venv", "node_modules")]
    plan = subprocess.run(
        ["make", "--just-print", *installed, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert plan.returncode == 0, plan.stderr
    return plan.stdout.replace("\\\n", " ").splitlines()


def taken(tool: str, arguments: list[str], build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the tool does not take the arguments. It does nothing else with them."""
    module: Any = importlib.import_module(tool)
    monkeypatch.setattr("sys.argv", [tool, *arguments])
    if module in (deploy, promote):
        # These have rules of their own: they are asked for an environment that is in order.
        monkeypatch.setattr(
            "sys.argv", [tool, *arguments, f"--build={build.assembly.folder.parent}"]
        )
        monkeypatch.setattr(promote, "find", lambda *_: None)
        monkeypatch.setattr(promote, "look_at", lambda *_: seen())
        monkeypatch.setattr(module, "deploy", lambda *_, **__: None)
        assert module.main() == deploy.DONE
    elif "parse_args" in inspect.getsource(module):
        parse_args = argparse.ArgumentParser.parse_args

        def parse_only(self: Any, *given: Any) -> None:
            parse_args(self, *given)
            raise Parsed

        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        with pytest.raises(Parsed):
            module.main()
    else:
        assert not arguments, f"{tool} takes no arguments"


# The CDK CLI, where no verb of `make` stands for it. `tests/e2e` runs these commands.


CDK = [words for document in OPERATORS for words in commands("node_modules/.bin/cdk", document)]


@pytest.mark.parametrize("words", CDK, ids=" ".join)
def test_a_command_of_the_cdk_synthesizes_nothing(words: list[str]) -> None:
    # The application needs the virtual environment, which a new shell does not have on its path.
    assert words[words.index("--app") + 1] == "build/release/assembly"


@pytest.mark.parametrize("document", OPERATORS, ids=lambda document: document.name)
def test_no_command_needs_a_path_that_a_new_shell_does_not_have(document: Path) -> None:
    for line in "\n".join(blocks("sh", document)).splitlines():
        assert not re.match(r"\s*(PATH=|(cdk|npx|ruff|pytest) )", line), line


@pytest.mark.parametrize(
    "words",
    [
        words
        for document in OPERATORS
        for words in commands(".venv/bin/python", document)
        if words[1] == "-m"
    ],
    ids=" ".join,
)
def test_a_tool_without_a_verb_takes_its_arguments(
    words: list[str], build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(words[2], words[3:], build, monkeypatch)


@pytest.mark.parametrize("flag", ["DRY_RUN", "FORCE", "OVERWRITE", "UNGUARDED"])
def test_a_flag_that_is_neither_1_nor_0_is_refused(flag: str) -> None:
    """Else `DRY_RUN=true` would do the real thing."""
    made = subprocess.run(
        ["make", "-n", "rollback", "ENVIRONMENT=prod", f"{flag}=true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 2
    assert f"{flag} must be 1 or 0, is 'true'" in made.stderr
