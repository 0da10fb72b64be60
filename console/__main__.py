"""Serves the console of an environment until Ctrl-C.

    make console ENVIRONMENT=prod

It acts as an operator: with the access token in TOKEN, or with that of a user of its own in the
environment's user pool, which it deletes at the end. CONSOLE_PORT chooses the port. Exit codes:
0 stopped, 2 it could not begin.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

from console.running import running_console
from console.server import listen, url_of
from operations.shared.environment import DeployedEnvironment
from operations.shared.verbs import exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="make console",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--environment", required=True)
    parser.add_argument("--profile", help="AWS credentials; the shell's by default")
    wanted = parser.parse_args(arguments)

    def verb() -> int:
        environment = DeployedEnvironment(wanted.environment, profile=wanted.profile)
        listener = listen()
        with running_console(environment, listener, token=os.environ.get("TOKEN")):
            print(
                f"The console of {environment.name}: {url_of(listener)}   (Ctrl-C stops it)",
                flush=True,
            )
            _wait_for_the_end()
        return 0

    return exit_code(verb)


def _wait_for_the_end() -> None:
    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda *_: stop.set())
    stop.wait()


if __name__ == "__main__":
    sys.exit(main())
