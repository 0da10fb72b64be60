"""The console's web application: who may ask for what, and what answers."""

import hmac
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    HTTPException,
    LengthRequired,
    MisdirectedRequest,
    RequestEntityTooLarge,
)
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from console import files
from console.alarms import Alarms
from console.deployment import Deployment
from console.devices import MAX_AT_ONCE, Devices, NoSuchDevice
from console.errors import Unanswered
from console.metrics import MAX_HOURS, Metrics
from console.rest import PASSED_ON, RestApi
from console.runbook import runbook_page
from lambdas.domain import identifiers
from lambdas.domain.errors import InvalidValue
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Cause

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TOKEN_HEADER: Final = "X-Console-Token"  # noqa: S105 - the name of a header
MAX_BODY: Final = 256 * 1024

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer."""

_LINKED: Final = ("/", "/runbook")
"""The pages that another site may link to. They ask AWS for nothing."""

_DEVICE_COMMANDS: Final = ("silence", "cut", "close", "wake")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """What the application shows and acts on."""

    environment_name: str
    region: str
    deployment: Callable[[], Deployment]
    metrics: Metrics
    alarms: Alarms
    rest: RestApi
    dashboard_url: str | None = None
    """Where CloudWatch shows its dashboard, if it does."""
    devices: Devices | None = None


class Application:
    """The WSGI application on one port of this machine.

    It answers only requests that name this machine and the port as their host, so no other web site
    can reach it by a name of its own. Changes need a token that only its page knows.
    """

    def __init__(self, sources: Sources, *, port: int) -> None:
        self._sources = sources
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._token = secrets.token_urlsafe(32)
        self._rules = Map(
            [
                _get("/", self._index),
                _get("/runbook", lambda request: _html(runbook_page())),
                _get("/api/environment", self._environment),
                _get("/api/metrics", self._metrics),
                _get("/api/alarms", lambda request: _json(sources.alarms.document())),
                *self._rest_rules(),
                *(self._device_rules(sources.devices) if sources.devices else ()),
                _get("/<path:path>", lambda request, path: files.static_file(path)),
            ],
            strict_slashes=True,
            merge_slashes=False,
        )

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = MAX_BODY
        response = self._answer(request)
        response.headers.extend(HEADERS)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            self._admit(request)
            endpoint, arguments = self._rules.bind_to_environ(request.environ).match()
            response: Response = endpoint(request, **arguments)
            return response
        except Unanswered as error:
            return _error(HTTPStatus.BAD_GATEWAY, str(error))
        except InvalidValue as error:
            return _error(HTTPStatus.BAD_REQUEST, str(error))
        except NoSuchDevice as error:
            return _error(HTTPStatus.NOT_FOUND, f"there is no device {error}")
        except HTTPException as error:
            response = _error(error.code or HTTPStatus.BAD_REQUEST, error.description or error.name)
            if allowed := getattr(error, "valid_methods", None):
                response.headers["Allow"] = ", ".join(sorted(allowed))
            return response
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "the console failed: see its output")

    def _admit(self, request: Request) -> None:
        """Raise an `HTTPException` unless the request comes from the console's own page."""
        if request.environ.get("HTTP_HOST") not in self._hosts:
            raise MisdirectedRequest("the console answers only to its own address on this machine")
        # Sent by every current browser; absent if a program asks.
        site = request.headers.get("Sec-Fetch-Site", "none")
        if request.path not in _LINKED and site not in ("same-origin", "none"):
            raise Forbidden("another web site asked for this")
        if request.method not in ("GET", "HEAD"):
            given = request.headers.get(TOKEN_HEADER, "")
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                raise Forbidden(f"a change needs the header {TOKEN_HEADER}: load the page again")

    def _index(self, request: Request) -> Response:
        return _html(files.index(self._token))

    def _environment(self, request: Request) -> Response:
        deployment = self._sources.deployment()
        return _json(
            {
                "name": self._sources.environment_name,
                "region": self._sources.region,
                "deployed": deployment.deployed,
                "dashboardUrl": self._sources.dashboard_url,
                "interval": deployment.interval,
                "silentAfter": deployment.rules.silent_after,
                "attentionGrace": deployment.rules.attention_grace,
                "devices": self._sources.devices is not None,
                "feed": deployment.feed,
                "causes": {cause.value: cause.words for cause in Cause},
            }
        )

    def _metrics(self, request: Request) -> Response:
        hours = request.args.get("hours", "3")
        if not re.fullmatch(r"[0-9]{1,3}", hours) or not 1 <= int(hours) <= MAX_HOURS:
            raise BadRequest(f"hours: must be a whole number from 1 to {MAX_HOURS}")
        return _json(self._sources.metrics.document(int(hours)))

    def _rest_rules(self) -> Iterable[Rule]:
        for name, route in PASSED_ON.items():

            def pass_on(request: Request, name: str = name, **arguments: str) -> Response:
                answer = self._sources.rest.call(
                    PASSED_ON[name],
                    arguments,
                    query=request.query_string.decode("ascii", "replace"),
                    body=_body(request),
                    idempotency_key=request.headers.get("Idempotency-Key"),
                )
                return Response(answer.body, answer.status, dict(answer.headers))

            # A connection id may contain a slash.
            path = route.path.replace("{businessId}", "<businessId>").replace(
                "{connectionId}", "<path:connectionId>"
            )
            yield Rule(f"/api/rest{path}", methods=[route.method], endpoint=pass_on)

    def _device_rules(self, devices: Devices) -> Iterable[Rule]:
        def connect(request: Request) -> Response:
            businesses = _businesses(_object(request))
            return _json({"devices": devices.connect(businesses)}, HTTPStatus.CREATED)

        def command(request: Request, device: str, name: str) -> Response:
            getattr(devices, name)(device)
            return Response(status=HTTPStatus.NO_CONTENT)

        def set_available(request: Request) -> Response:
            wanted = _object(request)
            available = wanted.get("available")
            if not isinstance(available, bool):
                raise BadRequest("available: must be true or false")
            devices.set_available(_business(wanted), available)
            return Response(status=HTTPStatus.NO_CONTENT)

        yield _get("/api/devices", lambda request: _json({"devices": devices.documents()}))
        yield _post("/api/devices", connect)
        yield _post(f"/api/devices/<device>/<any({','.join(_DEVICE_COMMANDS)}):name>", command)
        yield _post("/api/availability", set_available)


def _get(path: str, answer: Callable[..., Response]) -> Rule:
    return Rule(path, methods=["GET"], endpoint=answer)


def _post(path: str, answer: Callable[..., Response]) -> Rule:
    return Rule(path, methods=["POST"], endpoint=answer)


def _json(document: Mapping[str, Any], status: int = HTTPStatus.OK) -> Response:
    return Response(json.dumps(document), status, mimetype="application/json")


def _html(page: str) -> Response:
    return Response(page, mimetype="text/html")


def _error(status: int, text: str) -> Response:
    return _json({"error": text}, status)


def _body(request: Request) -> bytes:
    if "Transfer-Encoding" in request.headers:
        raise LengthRequired("a body must say how long it is")
    if (request.content_length or 0) > MAX_BODY:
        raise RequestEntityTooLarge(f"the body must not be longer than {MAX_BODY} bytes")
    return request.get_data(cache=False)


def _object(request: Request) -> Mapping[str, Any]:
    try:
        document = json.loads(_body(request))
    except (ValueError, RecursionError):
        raise BadRequest("the body must be a JSON object") from None
    if not isinstance(document, dict):
        raise BadRequest("the body must be a JSON object")
    return document


def _business(wanted: Mapping[str, Any]) -> BusinessId:
    business = wanted.get("businessId")
    if not isinstance(business, str):
        raise BadRequest("businessId: must be a text")
    return identifiers.business_id(business)


def _businesses(wanted: Mapping[str, Any]) -> list[BusinessId]:
    """The business of each device to connect."""
    business, count, spread = _business(wanted), wanted.get("count", 1), wanted.get("spread", False)
    if type(count) is not int or not 1 <= count <= MAX_AT_ONCE:
        raise BadRequest(f"count: must be a whole number from 1 to {MAX_AT_ONCE}")
    if not isinstance(spread, bool):
        raise BadRequest("spread: must be true or false")
    if not spread:
        return [business] * count
    # shop-1 stands for shop-1, shop-2, …; so does shop.
    name = re.sub(r"-\d+$", "", business)
    return [identifiers.business_id(f"{name}-{number}") for number in range(1, count + 1)]
