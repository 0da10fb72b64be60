"""Serves the console on this machine alone, in threads."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from werkzeug.serving import WSGIRequestHandler, make_server

from operations.shared.verbs import CannotBegin

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST: Final = "127.0.0.1"


def listen(*, default: int = 0) -> socket.socket:
    """Take the port in CONSOLE_PORT, or the default one, or any if that one is busy.

    0 takes any free port. Raises `CannotBegin` if CONSOLE_PORT names none that is free.
    """
    configured = os.environ.get("CONSOLE_PORT")
    if configured:
        if not configured.isdecimal() or int(configured) >= 65536:
            raise CannotBegin(
                f"CONSOLE_PORT must be a port number from 0 to 65535, is {configured!r}."
            )
        try:
            return socket.create_server((HOST, int(configured)))
        except OSError:
            raise CannotBegin(
                f"Port {configured} of {HOST} is used by another program, or not permitted: set"
                " CONSOLE_PORT to another."
            ) from None
    try:
        return socket.create_server((HOST, default))
    except (OSError, OverflowError):
        return socket.create_server((HOST, 0))


def port_of(listener: socket.socket) -> int:
    """The port that a socket listens on."""
    port: int = listener.getsockname()[1]
    return port


def url_of(listener: socket.socket) -> str:
    """The URL of the console that is served on this socket."""
    return f"http://{HOST}:{port_of(listener)}/"


class _Handler(WSGIRequestHandler):
    timeout = 30
    """Seconds that a client may take to send its request, or to take the answer."""

    def log_request(self, *_: Any) -> None:
        """Stay silent: the page polls."""

    def log(self, kind: str, message: str, *args: Any) -> None:
        logging.getLogger(__name__).debug(message, *args)


@contextmanager
def serve(application: "WSGIApplication", listener: socket.socket) -> Iterator[None]:
    """Answer on the socket until the end of the block, and close it then."""
    with listener:
        server = make_server(
            HOST,
            port_of(listener),
            application,
            threaded=True,
            request_handler=_Handler,
            fd=listener.fileno(),
        )
        thread = threading.Thread(target=server.serve_forever, name="console", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
