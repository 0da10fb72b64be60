"""The process that runs MiniStack, the AWS emulator, as the local system needs it.

Started by `local.run`, with its settings in the environment. Two of MiniStack's habits would make
the local system say something else than AWS does; both are replaced here, for exactly one version:

- A WebSocket function gets one process for all its events, one event at a time, and what it logs is
  dropped, while a function behind REST gets as many processes as it needs, and a log group.
  `_invoke_ws_lambda` in `ministack/services/apigateway.py` asks `get_or_create_worker` for that one
  process, so that is where an ordinary invocation is put in its place.
- Each new data point makes MiniStack judge every alarm, without dimensions, periods, "M of N" or
  missing data, and send its actions. `local.bridge` judges alarms by CloudWatch's rules instead.
"""

import importlib
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

VERSION = "1.5.33"


@dataclass(frozen=True)
class OrdinaryInvocation:
    """Stands where MiniStack expects a worker process; invokes as for any other caller."""

    config: Mapping[str, Any]
    code_zip: bytes

    def invoke(self, event: Mapping[str, Any], _message_id: str) -> dict[str, Any]:
        lambda_svc = importlib.import_module("ministack.services.lambda_svc")
        outcome = lambda_svc._execute_function(
            {"config": self.config, "code_zip": self.code_zip}, event
        )
        if outcome.get("error") or outcome.get("throttle"):
            # API Gateway tells a client this much about a function that failed, and no more.
            return {"status": "error", "error": '{"message": "Internal server error"}'}
        return {"status": "ok", "result": outcome.get("body")}


def _ordinary_invocation(
    _name: str, config: Mapping[str, Any], code_zip: bytes, qualifier: str = "$LATEST"
) -> OrdinaryInvocation:
    return OrdinaryInvocation(config, code_zip)


def _judge_no_alarm() -> None:
    """Alarms are judged by `local.bridge`."""


def patch() -> None:
    """Replace the two functions. Raises `SystemExit` for any other version of MiniStack."""
    installed = metadata.version("ministack")
    if installed != VERSION:
        raise SystemExit(
            f"MiniStack {installed} is installed, and local/ministack.py fits {VERSION} alone:"
            " install that one, or read again what is replaced there, and change VERSION."
        )
    for module, name, replacement in (
        ("ministack.core.lambda_runtime", "get_or_create_worker", _ordinary_invocation),
        ("ministack.services.cloudwatch", "_evaluate_all_alarms", _judge_no_alarm),
    ):
        target = importlib.import_module(module)
        getattr(target, name)  # a name that is gone must fail here, not be added silently
        setattr(target, name, replacement)


def _end_with_parent() -> None:
    # The parent holds the other end of this pipe. However it dies, SIGKILL included, the pipe ends;
    # the function processes end in the same way when this one is gone.
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    patch()
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    importlib.import_module("ministack.app").main()


if __name__ == "__main__":
    main()
