"""Runs MiniStack, the AWS emulator, with changes where it differs from AWS.

`local.run` starts this module and passes settings in environment variables. This module replaces
functions of one version of MiniStack, `local.emulator_access` stands in front of it, and
`local.refused_types` adds what it cannot deploy:

- MiniStack runs all events of a WebSocket function in one process, one after another, and drops its
  logs. Functions behind REST get as many processes as they need, and a log group. WebSocket
  functions get the same here: `_invoke_ws_lambda` in `ministack/services/apigateway.py` gets its
  process from `get_or_create_worker`, which is replaced.
- MiniStack judges every alarm after each new data point and ignores dimensions, periods, "M of N"
  and missing data. That is switched off: `local.cloudwatch.alarm_states` judges alarms by
  CloudWatch's rules.
- MiniStack keeps accounts apart by the access key, but a call of an API is not signed with one. It
  is answered in the account and region of the API that its path names.
- The session token of this run, in AWS_SESSION_TOKEN, is that of all credentials. Functions have it
  already; roles that are assumed get it.
"""

import importlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from local import refused_types
from local.emulator_access import Guarded

VERSION = "1.5.33"


@dataclass(frozen=True)
class OrdinaryInvocation:
    """Replaces the worker process of a WebSocket function by an ordinary invocation."""

    config: Mapping[str, Any]
    code_zip: bytes

    def invoke(self, event: Mapping[str, Any], _message_id: str) -> dict[str, Any]:
        lambda_svc = importlib.import_module("ministack.services.lambda_svc")
        outcome = lambda_svc._execute_function(
            {"config": self.config, "code_zip": self.code_zip}, event
        )
        if outcome.get("error") or outcome.get("throttle"):
            # What API Gateway answers when a function has failed.
            return {"status": "error", "error": '{"message": "Internal server error"}'}
        return {"status": "ok", "result": outcome.get("body")}


def _ordinary_invocation(
    _name: str, config: Mapping[str, Any], code_zip: bytes, qualifier: str = "$LATEST"
) -> OrdinaryInvocation:
    return OrdinaryInvocation(config, code_zip)


def _judge_no_alarm() -> None:
    """Do nothing: `local.cloudwatch.alarm_states` judges alarms."""


def _in_account_of_api(parse: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    """Wrap the function that MiniStack calls first with the host and path of a request."""

    def parse_and_enter(host: str, path: str) -> Any:
        parsed = parse(host, path)
        responses = importlib.import_module("ministack.core.responses")
        for service, apis in (("apigateway", "_apis"), ("apigateway_v1", "_rest_apis")):
            known = getattr(importlib.import_module(f"ministack.services.{service}"), apis)
            for (account, region, api), _ in known.all_items():
                if parsed is not None and api == parsed[0]:
                    responses.set_request_account_id(account)
                    responses.set_request_region(region)
        return parsed

    return parse_and_enter


def _session_token() -> str:
    return os.environ["AWS_SESSION_TOKEN"]


def patch() -> None:
    """Make the changes. Raises `SystemExit` for any other version of MiniStack."""
    installed = metadata.version("ministack")
    if installed != VERSION:
        raise SystemExit(
            f"MiniStack {installed} is installed, but local/ministack.py is written for {VERSION}:"
            f" install {VERSION}, or check what is replaced there and change VERSION."
        )
    for module, name, replacement in (
        ("ministack.core.lambda_runtime", "get_or_create_worker", _ordinary_invocation),
        ("ministack.services.cloudwatch", "_evaluate_all_alarms", _judge_no_alarm),
        ("ministack.services.sts", "_gen_session_token", _session_token),
    ):
        target = importlib.import_module(module)
        getattr(target, name)  # raises AttributeError if MiniStack no longer has it
        setattr(target, name, replacement)
    app: Any = importlib.import_module("ministack.app")
    app._parse_execute_api_url = _in_account_of_api(app._parse_execute_api_url)
    app.app = Guarded(app.app, port=int(os.environ["GATEWAY_PORT"]), session_token=_session_token())
    refused_types.patch()


def _end_with_parent() -> None:
    # The parent holds the other end of this pipe, which closes when the parent ends, even by
    # SIGKILL. The processes of the functions notice the end of this process in the same way.
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    patch()
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    importlib.import_module("ministack.app").main()


if __name__ == "__main__":
    main()
