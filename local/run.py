"""Runs the whole system on this machine until Ctrl-C: an AWS emulator, and the stacks on it.

Environment variables:

- `LOCAL_PORT` (default 4566): the port of the AWS emulator, at 127.0.0.1;
- `LOCAL_CANARY` (any value): run the canary too;
- `CONSOLE_PORT` (default: the next one, or any if that is busy): the port of the console;
- `LOCAL_STATE` (default `.local` in the repository): the folder for everything it writes.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from console.running import running_console
from console.server import listen, url_of
from infra import names
from local.cloudwatch.jobs import cloudwatch_jobs
from local.polling import poll
from local.simulated_devices import simulated_devices
from operations.release.canary_credential import give_credential
from operations.shared.environment import LOCAL, DeployedEnvironment
from operations.shared.local_system import (
    ACCOUNT,
    REGION,
    Emulator,
    LocalSystem,
    NotRunning,
    is_ready,
    state_folder,
)
from operations.shared.repository import CDK, ROOT, kill_group
from operations.shared.verbs import CannotBegin, interrupts_held_back

HOST = "127.0.0.1"

# All files that a synthesis of the environment `local` depends on.
SOURCES = (
    *("local/app.py", "local/environment.py", "cdk.json", "infra", "lambdas"),
    "docs/openapi.json",
    *("requirements*.txt", "package-lock.json"),
)

# The fields of `LocalSystem`, and the stack outputs that they are filled from.
OUTPUTS = {
    "restUrl": names.REST_URL,
    "websocketUrl": names.WEBSOCKET_URL,
    "tableName": names.TABLE_NAME,
    "cleanupFunctionName": names.CLEANUP_FUNCTION_NAME,
    "userPoolId": names.USER_POOL_ID,
    "userPoolClientId": names.USER_POOL_CLIENT_ID,
    "onCallTopicArn": names.ON_CALL_TOPIC_ARN,
    "eventBusName": names.EVENT_BUS_NAME,
    "historyTableName": names.HISTORY_TABLE_NAME,
}

logger = logging.getLogger(__name__)


class CannotStart(Exception):
    """Something on this machine prevents the start. The text says what, in one line."""


class StepFailed(Exception):
    """A step of the start failed. The text is what the step printed."""


class Stopped(BaseException):
    """Somebody asked the system to stop."""


@dataclass(frozen=True)
class Step:
    """A running program that is a step of the start."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path
    began: float

    def finish(self) -> None:
        """Wait until it ends, and print how long it took. Raises `StepFailed` if it failed."""
        if self.process.wait() != 0:
            raise StepFailed(
                f"`{self.name}` failed (exit code {self.process.returncode}):\n"
                f"{self.output.read_text(errors='replace').rstrip()}"
            )
        say(f"{self.name}: {time.monotonic() - self.began:.1f} s")


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("local").setLevel(logging.INFO)
    # It warns of each connection that it does not keep.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    try:
        # A shell makes a job in the background ignore Ctrl-C, unless the job sets a handler.
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, _stop)
        with ExitStack() as stack:
            _run(stack)
    except Stopped:
        say("Stopped.")
        return 0
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 2
    except StepFailed as error:
        print(error, file=sys.stderr)
        return 1


def _stop(_signum: int, _frame: object) -> NoReturn:
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the clean-up
    raise Stopped


def _run(stack: ExitStack) -> NoReturn:
    began = time.monotonic()
    state = state_folder()
    state.mkdir(parents=True, exist_ok=True)
    stack.enter_context(_alone_on(state))
    port = _free_port()
    listener = _console_listener(port)
    stack.callback(listener.close)
    if not CDK.exists():
        raise CannotStart("The CDK CLI is missing: install it with `npm ci`.")
    stack.callback(LocalSystem.file().unlink, missing_ok=True)
    LocalSystem.file().unlink(missing_ok=True)

    emulator = new_emulator(port)
    process = stack.enter_context(ministack(state, emulator))
    cdk = Cdk(stack, state, emulator)
    synthesis = SynthesisCache(state, emulator.url, canary=bool(os.environ.get("LOCAL_CANARY")))
    finish_synthesis = synthesis.start(cdk)
    _wait_until_ready(process, emulator.url, state)
    # In a folder without cdk.json: otherwise the CLI would synthesize first.
    cdk.start("bootstrap", f"aws://{ACCOUNT}/{REGION}", folder=state).finish()
    finish_synthesis()
    outputs = _deploy(cdk, synthesis)
    for table in (names.TABLE_NAME, names.HISTORY_TABLE_NAME):
        _enable_expiry(outputs[table], emulator)
    _first_census(outputs[names.CLEANUP_FUNCTION_NAME], emulator)
    system = LocalSystem(
        **{name: outputs[output] for name, output in OUTPUTS.items()},
        alarmNames=outputs[names.ALARM_NAMES].split(","),
        awsEndpointUrl=emulator.url,
        awsSessionToken=emulator.session_token,
        region=REGION,
        consoleUrl=url_of(listener),
    )
    environment = DeployedEnvironment(LOCAL, system=system)
    give_credential(environment)
    _first_canary_run(outputs.get(names.CANARY_FUNCTION_NAME), emulator)
    stack.enter_context(cloudwatch_jobs(emulator))
    devices = stack.enter_context(simulated_devices(system))
    stack.enter_context(running_console(environment, listener, devices=devices))
    system.publish()
    _say_what_next(system, time.monotonic() - began)
    process.wait()
    raise StepFailed(f"MiniStack ended by itself:\n{_tail(state / 'logs' / 'ministack.log')}")


def _free_port() -> int:
    configured = os.environ.get("LOCAL_PORT") or "4566"
    if not configured.isdecimal() or not 0 < int(configured) < 65536:
        raise CannotStart(f"LOCAL_PORT must be a port number from 1 to 65535, is {configured!r}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, int(configured)))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise CannotStart(
                f"Port {configured} of {HOST} is used by another program, or not permitted: set"
                " LOCAL_PORT to another."
            ) from None
    return int(configured)


def _console_listener(port: int) -> socket.socket:
    try:
        return listen(default=port + 1)
    except CannotBegin as error:
        raise CannotStart(str(error)) from error


@contextmanager
def _alone_on(state: Path) -> Iterator[None]:
    with (state / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(_already_running(state)) from None
        yield


def _already_running(state: Path) -> str:
    second = "For a second one, set LOCAL_STATE to another folder and LOCAL_PORT to another port."
    try:
        system = LocalSystem.running()
    except NotRunning:
        return f"A local system that uses {state} is starting or stopping. {second}"
    return (
        f"The local system is already running: console {system.consoleUrl}, REST {system.restUrl}"
        f" (state in {state}). {second}"
    )


def new_emulator(port: int) -> Emulator:
    """Describe an emulator at a port, with a session token that nobody else knows."""
    return Emulator(f"http://{HOST}:{port}", secrets.token_urlsafe(32))


@contextmanager
def ministack(state: Path, emulator: Emulator) -> Iterator[subprocess.Popen[bytes]]:
    """Run the emulator until the end of the block. It starts, but is not ready at once."""
    # MiniStack leaves large temporary folders behind, so all that it writes goes into this one.
    private = state / "ministack"
    shutil.rmtree(private, ignore_errors=True)
    (private / "tmp").mkdir(parents=True)
    environment = {
        # The functions can see these variables, so pass on only what a program needs.
        "PATH": os.environ["PATH"],
        "HOME": str(private),
        "LANG": "C.UTF-8",
        "TMPDIR": str(private / "tmp"),
        "STATE_DIR": str(private / "state"),
        "GATEWAY_PORT": emulator.url.rpartition(":")[2],
        "AWS_SESSION_TOKEN": emulator.session_token,
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "MINISTACK_REGION": REGION,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        # AWS's default. MiniStack's depends on the memory of this machine.
        "LAMBDA_ACCOUNT_CONCURRENCY": "1000",
    }
    with _log_file(state, "ministack") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.ministack"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        kill_group(process)  # nothing in it has anything to save
        shutil.rmtree(private, ignore_errors=True)


def _log_file(state: Path, name: str) -> IO[bytes]:
    (state / "logs").mkdir(exist_ok=True)
    return (state / "logs" / f"{name}.log").open("wb")


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def running_emulator(state: Path) -> Iterator[Emulator]:
    """Run an emulator on a free port, which is ready, until the end of the block.

    Raises `StepFailed` if it does not start.
    """
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        emulator = new_emulator(probe.getsockname()[1])
    with ministack(state, emulator) as process:
        _wait_until_ready(process, emulator.url, state)
        yield emulator


def _wait_until_ready(ministack: subprocess.Popen[bytes], endpoint_url: str, state: Path) -> None:
    poll(lambda: is_ready(endpoint_url) or ministack.poll() is not None, timeout=60, every=0.05)
    if not is_ready(endpoint_url):
        raise StepFailed(f"MiniStack did not start:\n{_tail(state / 'logs' / 'ministack.log')}")


@dataclass(frozen=True)
class Cdk:
    """Runs the ordinary CDK CLI against the emulator."""

    stack: ExitStack
    state: Path
    emulator: Emulator

    def start(self, command: str, *arguments: str, folder: Path = ROOT) -> Step:
        """Start one command. If it still runs when the system stops, it is killed."""
        with _log_file(self.state, f"cdk-{command}") as log, interrupts_held_back():
            process = subprocess.Popen(
                [str(CDK), command, *arguments],
                cwd=folder,
                # `make check` and `make build` validate the templates; that takes seconds.
                env={**emulator_environment(self.emulator), "CDK_VALIDATION": "false"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.stack.callback(kill_group, process)
        return Step(f"cdk {command}", process, Path(log.name), time.monotonic())


def emulator_environment(emulator: Emulator) -> Mapping[str, str]:
    """The caller's environment variables, changed so that nothing reaches real AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        **emulator.variables(),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
    }


@dataclass(frozen=True)
class SynthesisCache:
    """Keeps the synthesized environment `local` until one of its sources changes."""

    state: Path
    endpoint_url: str
    canary: bool

    @property
    def folder(self) -> Path:
        return self.state / "assembly"

    @property
    def _key_file(self) -> Path:
        return self.state / "assembly.key"

    def start(self, cdk: Cdk) -> Callable[[], None]:
        """Synthesize in the background, unless nothing has changed.

        Returns a function that waits until it ends, and raises `StepFailed` if it failed.
        """
        key = self._key()
        if self._key_file.exists() and self._key_file.read_text() == key:
            return lambda: say("cdk synth: not needed, nothing has changed")
        self._key_file.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        step = cdk.start(
            "synth",
            "local/*",
            *("--app", f"{sys.executable} -m local.app"),
            *("--context", f"endpoint={self.endpoint_url}"),
            *("--context", f"canary={str(self.canary).lower()}"),
            *("--output", str(self.folder)),
            "--quiet",
        )

        def finish() -> None:
            step.finish()
            self._key_file.write_text(key)

        return finish

    def _key(self) -> str:
        digest = hashlib.sha256(
            f"{self.endpoint_url} {self.canary} {sys.executable} {sys.version}".encode()
        )
        for pattern in SOURCES:
            for found in sorted(ROOT.glob(pattern)):
                for file in sorted(found.rglob("*")) if found.is_dir() else [found]:
                    if file.is_file() and "__pycache__" not in file.parts:
                        digest.update(f"{file.relative_to(ROOT)} {file.stat().st_size} ".encode())
                        digest.update(file.read_bytes())
        return digest.hexdigest()


def _deploy(cdk: Cdk, synthesis: SynthesisCache) -> dict[str, str]:
    """Deploy all stacks and return their outputs by name."""
    outputs = cdk.state / "outputs.json"
    outputs.unlink(missing_ok=True)
    cdk.start(
        "deploy",
        "local/*",
        *("--app", str(synthesis.folder)),
        *("--require-approval", "never"),
        *("--outputs-file", str(outputs)),
    ).finish()
    by_stack = json.loads(outputs.read_text())
    return {name: value for stack in by_stack.values() for name, value in stack.items()}


def _enable_expiry(table: str, emulator: Emulator) -> None:
    # MiniStack ignores a table's TTL setting in a template.
    emulator.client("dynamodb").update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )


def _first_census(cleanup: str, emulator: Emulator) -> None:
    # The schedule's first run comes after a minute. Until then, an alarm would report no cleanup.
    answer = emulator.client("lambda").invoke(FunctionName=cleanup, Payload=b"{}")
    if "FunctionError" in answer:
        raise StepFailed(f"The first cleanup failed:\n{answer['Payload'].read().decode()}")


def _first_canary_run(canary: str | None, emulator: Emulator) -> None:
    """Run the canary once, if there is one. Until its schedule does, an alarm would miss its runs.

    Raises `StepFailed`.
    """
    if canary is None:
        return
    answer = emulator.client("lambda").invoke(FunctionName=canary, Payload=b"{}")
    report = json.loads(answer["Payload"].read())
    if not report.get("succeeded"):
        raise StepFailed(f"The first run of the canary failed:\n{report}")
    say(f"canary: {sum(report['milliseconds'].values()) / 1000:.1f} s")


def _say_what_next(system: LocalSystem, seconds: float) -> None:
    say(
        f"""
Ready after {seconds:.1f} s.

  Console    {system.consoleUrl}
  REST       {system.restUrl}
  WebSocket  {system.websocketUrl}
  AWS API    {system.awsEndpointUrl}   (its session token is in the details)
  Details    {system.file()}

Open the console in a browser, or try, in another terminal:

  make demo                                         the whole story, in about two minutes
  make token BUSINESS=b1 USER=u1                    an access token

  TOKEN=$(make -s token BUSINESS=b1 USER=u1)
  curl -H "Authorization: Bearer $TOKEN" {system.restUrl}/businesses/b1/status
  curl -H "Authorization: Bearer $TOKEN" -X PUT -d '{{"available": true}}' \\
       {system.restUrl}/businesses/b1/availability
  {os.path.relpath(sys.executable)} -m local.device --business b1    a device that stays connected

Ctrl-C stops everything."""
    )


if __name__ == "__main__":
    sys.exit(main())
