"""How a verb ends: its exit code, and the errors that lead to it."""

import io
import sys
from collections.abc import Callable
from enum import IntEnum

from botocore.exceptions import BotoCoreError, ClientError

from operations.shared.interrupts import interruptible


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
