"""The commands in the documents work in a new shell.

Each `make` command is planned (`make -n`). The tool that it would run must take its arguments, and
must not refuse them by its own rules.
"""

import argparse
import importlib
import inspect
import re
import shlex
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from operations.release import deploy, promote, quotas, records
from operations.release.assembly import Build
from operations.shared.environment import configured_environment
from operations.shared.verbs import ExitCode
from tests.runbook import OPERATORS, ROOT, blocks, commands, inline_commands
from tests.unit.operations.builders import source_state

MAKEFILE = (ROOT / "Makefile").read_text()
IN_BLOCKS, ALL = (
    {
        shlex.join(words)
        for document in OPERATORS
        for words in commands("make", document, inline=inline)
    }
    for inline in (False, True)
)
# `make deploy` in a sentence names the verb. It is not a command to type.
MAKE = sorted(IN_BLOCKS | {command for command in ALL if "=" in command})
NAMED = sorted(ALL - set(MAKE))


class Parsed(BaseException):
    """A tool took its arguments."""


def test_all_make_commands_of_the_documents_are_found() -> None:
    text = "\n".join(
        text
        for document in OPERATORS
        for text in (*blocks("sh", document), *inline_commands(document))
    )
    found = sum(len(commands("make", document)) for document in OPERATORS)
    assert found == len(re.findall(r"\bmake (?=[a-z])", text))
    assert len(MAKE) > 20


@pytest.mark.parametrize("command", MAKE)
def test_the_tool_of_a_make_command_takes_its_arguments(
    command: str, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in planned(command):
        if line.startswith("test "):
            subprocess.run(["sh", "-c", line], check=True)
        elif tool := re.search(
            r"\.venv/bin/python -m ((?:operations|local)[.\w]+|console)(.*)", line
        ):
            taken(
                tool[1].replace("console", "console.__main__"),
                shlex.split(tool[2]),
                build,
                monkeypatch,
            )


def test_verbs_in_the_text_exist() -> None:
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
        ("make replay ENVIRONMENT=dev FROM=2026-01-31T12:00:00Z", "two moments"),
    ],
)
def test_a_command_that_would_be_refused_fails_these_tests(
    command: str,
    reason: str,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises((AssertionError, subprocess.CalledProcessError)) as refused:
        test_the_tool_of_a_make_command_takes_its_arguments(command, build, monkeypatch)
    assert reason in f"{refused.value}{capfd.readouterr().err}"


def planned(command: str) -> list[str]:
    """What `make` would run."""
    _, *words = shlex.split(command)
    for name in (word.partition("=")[0] for word in words if "=" in word):
        assert f"$({name})" in MAKEFILE, f"no verb knows {name}"
    installed = [
        f"--old-file={folder}/{what}"
        for folder in (".venv", "node_modules")
        for what in (".tools", ".done")
    ]
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
    """Fail if the tool does not take the arguments. The tool does nothing else."""
    module: Any = importlib.import_module(tool)
    monkeypatch.setattr("sys.argv", [tool, *arguments])
    if module in (deploy, promote):
        # These have rules of their own: let them see an environment that is fine.
        monkeypatch.setattr(Build, "environment", lambda *_, **__: None)
        monkeypatch.setattr(module, "require_deployable", configured_environment)
        monkeypatch.setattr(promote, "_judge_source", lambda *_, **__: (source_state(), []))
        monkeypatch.setattr(records, "newest", lambda _: (source_state().record, 1))
        monkeypatch.setattr(promote, "deployment_lock", lambda *_: nullcontext())
        monkeypatch.setattr(promote, "smoke", lambda *_: None)
        monkeypatch.setattr(quotas, "concurrency_shortage", lambda *_: None)
        monkeypatch.setattr(module, "deploy", lambda *_, **__: None)
        assert module.main() == ExitCode.DONE
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


# The commands of the CDK CLI that have no verb in `make`. `tests/e2e` runs them.


CDK = [words for document in OPERATORS for words in commands("node_modules/.bin/cdk", document)]


@pytest.mark.parametrize("words", CDK, ids=" ".join)
def test_a_command_of_the_cdk_synthesizes_nothing(words: list[str]) -> None:
    # A synthesis needs the virtual environment, which is not on the path of a new shell.
    assert words[words.index("--app") + 1] == "build/release/assembly"


@pytest.mark.parametrize("document", OPERATORS, ids=lambda document: document.name)
def test_no_command_needs_more_than_the_path_of_a_new_shell(document: Path) -> None:
    for line in "\n".join(blocks("sh", document)).splitlines():
        assert not re.match(r"\s*(PATH=|(cdk|npx|ruff|pytest) )", line), line


@pytest.mark.parametrize("flag", ["DRY_RUN", "FORCE", "OVERWRITE", "UNGUARDED", "WAIT"])
def test_a_flag_that_is_neither_1_nor_0_is_refused(flag: str) -> None:
    """Otherwise `DRY_RUN=true` would do the real thing."""
    told = refusal(f"rollback ENVIRONMENT=prod {flag}=true")
    assert f"{flag} must be 1 or 0, is 'true'" in told


@pytest.mark.parametrize(
    "command",
    [
        "deploy ENVIRONMENT=prod FORCE=1 DRY_RUN=1",
        "promote FROM=staging TO=prod UNGUARDED=1",
        "promote FROM=staging TO=prod PROFILE=other",
        "rollback ENVIRONMENT=prod DRYRUN=1",
    ],
)
def test_a_variable_that_a_verb_does_not_take_is_refused(command: str) -> None:
    """Otherwise `make deploy DRY_RUN=1` would deploy."""
    assert f"takes no {command.split()[-1].partition('=')[0]}" in refusal(command)


def refusal(command: str) -> str:
    """What `make` says when it refuses a command."""
    made = subprocess.run(
        ["make", "-n", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 2
    return made.stderr


@pytest.mark.parametrize(
    "command",
    [
        "bootstrap ENVIRONMENT=dev",
        "deploy ENVIRONMENT=dev",
        "diff ENVIRONMENT=dev",
        "import ENVIRONMENT=dev FILE=x.csv",
        "restore ENVIRONMENT=dev RESTORED=x",
        "rollback ENVIRONMENT=dev",
        "smoke ENVIRONMENT=dev",
    ],
)
def test_every_verb_that_asks_one_account_takes_a_profile(command: str) -> None:
    plan = "\n".join(planned(f"make {command} PROFILE=other"))
    assert "--profile other" in plan


def test_a_token_needs_no_user_in_the_shell(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USER", raising=False)
    test_the_tool_of_a_make_command_takes_its_arguments(
        "make token BUSINESS=b1", build, monkeypatch
    )
