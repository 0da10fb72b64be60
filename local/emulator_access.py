"""Who may call the emulator: an ASGI application that stands in front of MiniStack's.

MiniStack answers the pages of every site, wants no credentials, and runs the code of functions as
whoever started it. So:

- A request must be for this address and port. A site can point a name of its own at this machine,
  but its pages then send that name.
- The REST and WebSocket APIs are open to devices and browsers, as they are on AWS. They check
  tokens, and say themselves which sites may read their answers.
- All else is for programs: a request that a browser sent for a page is refused, whatever the page.
- It needs the session token of this run, except to ask whether the emulator is ready, and for the
  keys of user pools, which are public on AWS too.
"""

import hmac
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_PUBLIC: Final = re.compile(
    r"/_ministack/ready|/[\w-]+/\.well-known/(jwks\.json|openid-configuration)"
)
_APIS: Final = "/_aws/execute-api/"


class Guarded:
    """Lets through what may reach `application`, which listens on `port`.

    `session_token` is what each call of the AWS API must have as its security token.
    """

    def __init__(self, application: Application, *, port: int, session_token: str) -> None:
        self._application = application
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._session_token = session_token.encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            if not _is_for_an_api(scope["path"]):
                send = _without_cors(send)
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            status, kind, message = refusal
            await send(
                {
                    "type": "http.response.start",
                    "status": status,
                    "headers": [
                        (b"content-type", b"application/json"),
                        (b"x-amzn-errortype", kind.encode()),
                    ],
                }
            )
            body = json.dumps({"__type": kind, "message": message}).encode()
            await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Message) -> tuple[int, str, str] | None:
        """The status, AWS's name of the error and a message; None if it may pass."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = [host.decode("latin-1").lower() for host in headers.get(b"host", [])]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            expected = " or ".join(sorted(self._hosts))
            return 421, "MisdirectedRequest", f"Host is {hosts}, but this is {expected}"
        if _is_for_an_api(scope["path"]):
            return None
        if b"origin" in headers or headers.get(b"sec-fetch-site", [b"none"]) != [b"none"]:
            return 403, "AccessDeniedException", "the AWS API of the emulator is not for web pages"
        if (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and _PUBLIC.fullmatch(scope["path"])
        ):
            return None
        tokens = headers.get(b"x-amz-security-token", [])
        if len(tokens) == 1 and hmac.compare_digest(tokens[0], self._session_token):
            return None
        message = (
            "X-Amz-Security-Token must be the session token of this run: `awsSessionToken` in"
            " endpoints.json"
        )
        return 403, "UnrecognizedClientException", message


def _is_for_an_api(path: str) -> bool:
    """Whether a path is one of a REST or WebSocket API, and not of the API that manages sockets."""
    api, *more = path.removeprefix(_APIS).split("/", 2)
    return (
        path.startswith(_APIS) and bool(api and more) and not more[-1].startswith("@connections/")
    )


def _without_cors(send: Send) -> Send:
    async def filtered(message: Message) -> None:
        if "headers" in message:
            kept = [
                (name, value)
                for name, value in message["headers"]
                if not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": kept}
        await send(message)

    return filtered
