"""How a verb begins and ends: its arguments, interrupts, errors, and the exit code of each.

It is interrupted by Ctrl-C, by SIGTERM, which a pipeline sends, or because its terminal is closed.
"""

import argparse
import io
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final, NoReturn, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Item = TypeVar("_Item")


class ExitCode(IntEnum):
    """The exit codes of the verbs that deploy."""

    DONE = 0
    REFUSED = 1
    COULD_NOT_BEGIN = 2
    BROKEN = 3


class Refused(Exception):
    """A rule forbids it, and nothing was changed. The text gives the reasons."""


class CannotBegin(Exception):
    """Something that is needed is missing, and nothing was changed. The text says what to do."""


class DeploymentFailed(Exception):
    """The CDK CLI failed, or what it deployed does not work. The text says which."""


def verb_parser(name: str, document: str | None) -> argparse.ArgumentParser:
    """The arguments of a verb of `make` for one environment. `document` is what --help says."""
    parser = argparse.ArgumentParser(
        prog=f"make {name}",
        description=document,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--environment", required=True)
    parser.add_argument("--profile", help="AWS credentials; the shell's by default")
    return parser


def exit_code(verb: Callable[[], int]) -> int:
    """Run a verb and return its exit code. Print the error that ended it, if one did."""
    # Otherwise its lines would come after the output of the programs that it starts.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        with interruptible():
            return verb()
    except Refused as error:
        code, text = ExitCode.REFUSED, str(error)
    except CannotBegin as error:
        code, text = ExitCode.COULD_NOT_BEGIN, str(error)
    except KeyboardInterrupt:
        code, text = ExitCode.COULD_NOT_BEGIN, "interrupted: nothing was changed"
    except DeploymentFailed as error:
        code, text = ExitCode.BROKEN, str(error)
    except (BotoCoreError, ClientError) as error:
        code, text = ExitCode.BROKEN, f"AWS refused a step: {error}"
    print(text, file=sys.stderr)
    return code


INTERRUPTED: Final = 130
"""The exit code after an interrupt."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Make every interrupt raise `KeyboardInterrupt` in the main thread."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with _on_interrupt(interrupt):
        yield


@contextmanager
def interrupted_between(items: Iterable[_Item]) -> Iterator[Iterator[_Item]]:
    """Make every interrupt raise `KeyboardInterrupt` between two items.

    Anywhere else it could leave a lock of `concurrent.futures` held, and all threads waiting.
    """
    interrupted = threading.Event()

    def until_interrupted() -> Iterator[_Item]:
        for item in items:
            if interrupted.is_set():
                raise KeyboardInterrupt
            yield item

    with _on_interrupt(lambda *_: interrupted.set()):
        yield until_interrupted()


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Let what interrupts the block happen at its end.

    A program that is being started can be ended only once `subprocess.Popen` has returned.
    """
    held_back: list[int] = []
    with _on_interrupt(lambda signum, _: held_back.append(signum)):
        yield
    for signum in held_back[:1]:
        signal.raise_signal(signum)


@contextmanager
def _on_interrupt(handler: Callable[..., Any]) -> Iterator[None]:
    # `nohup` makes a program ignore that its terminal is closed.
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    before = {each: signal.signal(each, handler) for each in _SIGNALS if each not in ignored}
    try:
        yield
    finally:
        for each, handled in before.items():
            signal.signal(each, handled)
