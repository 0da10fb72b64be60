"""Passes calls of the page on to the product's REST API, as an operator."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import urllib3

from console.errors import Unanswered
from console.tokens import OperatorToken
from lambdas.domain import identifiers
from lambdas.routes import ROUTES, Route

PASSED_ON: Final[Mapping[str, Route]] = {
    name: ROUTES[name]
    for name in (
        "get_businesses",
        "get_status",
        "get_connections",
        "get_opening_hours",
        "get_history",
        "put_pause",
        "delete_pause",
        "post_message",
        "delete_connection",
        "post_cleanup",
    )
}
"""The only routes that the page can reach."""

_HEADERS: Final = ("Content-Type", "Retry-After")
"""The headers of an answer that are passed on."""

_JSON: Final = ("application/json", "application/problem+json")


@dataclass(frozen=True)
class RestAnswer:
    """What the REST API answered, with any status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RestApi:
    """The REST API of one environment."""

    def __init__(
        self, url: str, token: OperatorToken, *, timeout: float = 30.0, at_once: int = 16
    ) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._http = urllib3.PoolManager(
            maxsize=at_once, timeout=urllib3.Timeout(connect=5, read=timeout), retries=False
        )

    def call(
        self,
        route: Route,
        arguments: Mapping[str, str],
        *,
        query: str = "",
        body: bytes = b"",
        idempotency_key: str | None = None,
    ) -> RestAnswer:
        """Call a route with the arguments of its path. Raises `InvalidValue`, `Unanswered`."""
        path = re.sub(r"\{(\w+)\}", lambda found: _argument(arguments, found[1]), route.path)
        headers = {"Authorization": f"Bearer {self._token.current()}"}
        if body:
            headers["Content-Type"] = "application/json"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        try:
            answer = self._http.request(
                route.method,
                f"{self._url}{path}{'?' if query else ''}{query}",
                headers=headers,
                body=body or None,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unanswered(f"the REST API did not answer: {_in_words(error)}") from error
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if answer.status == HTTPStatus.NO_CONTENT:
            return RestAnswer(answer.status, {}, b"")
        if kind not in _JSON:
            raise Unanswered(f"the REST API answered {answer.status} without JSON")
        kept = {name: answer.headers[name] for name in _HEADERS if name in answer.headers}
        return RestAnswer(answer.status, kept, answer.data)


def _argument(arguments: Mapping[str, str], name: str) -> str:
    """An argument as part of a path. Raises `InvalidValue` unless it is an identifier."""
    value = arguments[name]
    checked: str = (
        identifiers.connection_id(value)
        if name == "connectionId"
        else identifiers.business_id(value)
    )
    return quote(checked, safe="")


def _in_words(error: urllib3.exceptions.HTTPError) -> str:
    # urllib3 counts a connection that was refused as one that took too long.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    late = isinstance(error, urllib3.exceptions.TimeoutError) and not refused
    return "no answer in time" if late else "the connection failed"
