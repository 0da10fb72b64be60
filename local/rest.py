"""A small client of the REST API, for the demo and the tests."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3


@dataclass(frozen=True)
class Answer:
    """An answer with any status. `body` is decoded if it is JSON; otherwise it is text."""

    status: int
    content_type: str
    body: Any


def call(
    method: str,
    url: str,
    *,
    token: str | None = None,
    body: Any = None,
    raw: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request. `body` is sent as JSON, `raw` as it is."""
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        raw = json.dumps(body).encode()
    if raw is not None:
        headers.setdefault("Content-Type", "application/json")
    response = urllib3.request(method, url, headers=headers, body=raw, timeout=30, retries=False)
    content_type = response.headers.get("Content-Type", "").partition(";")[0]
    try:
        return Answer(response.status, content_type, json.loads(response.data))
    except ValueError:
        return Answer(response.status, content_type, response.data.decode(errors="replace"))
