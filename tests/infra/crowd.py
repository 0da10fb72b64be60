"""An environment that sets what the ordinary ones leave at its default, synthesized once."""

import dataclasses
from pathlib import Path

import pytest

from infra.environments import PROD, Concurrency, Domain, Domains, RouteThrottle
from tests.infra.synthesis import synthesize
from tests.infra.template import Template

CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/0"

CROWD = dataclasses.replace(
    PROD,
    name="crowd",
    cleanup_workers=3,
    customer_managed_key=True,
    concurrency=Concurrency(authorizer=200, rest=50),
    web_acl_rate=2_000,
    domains=Domains(
        rest=Domain("api.example.com", f"{CERTIFICATE}-0"),
        websocket=Domain("sockets.example.com", f"{CERTIFICATE}-1"),
    ),
    page_emails=("on-call@example.com",),
    page_urls=("https://events.example.com/page",),
    ticket_emails=("team@example.com",),
    ticket_urls=("https://events.example.com/ticket",),
    route_throttles=(
        RouteThrottle(route="POST /businesses/{businessId}/messages", rate=20, burst=40),
        RouteThrottle(route="$connect", rate=300, burst=400),
    ),
    runbook_url="https://wiki.example.com/runbook.md",
)
"""Prod, with three workers on the table, and somebody to tell."""

_synthesized: dict[Path, dict[str, Template]] = {}


def crowd_templates(tmp_path_factory: pytest.TempPathFactory, source: Path) -> dict[str, Template]:
    """Return its templates by stack."""
    if source not in _synthesized:
        outdir = tmp_path_factory.mktemp("cdk.out")
        _synthesized[source] = synthesize(outdir, source, [CROWD])[CROWD.name]
    return _synthesized[source]
