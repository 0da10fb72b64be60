"""An environment that uses every option, synthesized once."""

import dataclasses
from pathlib import Path

import pytest

from infra.configuration import Cleanup, Concurrency, Domain, Domains, OnCall, Throttle
from infra.environments import PROD
from tests.infra.synthesis import synthesize
from tests.infra.template import Template

CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/0"

EVERY_OPTION = dataclasses.replace(
    PROD,
    name="every-option",
    cleanup=Cleanup(workers=3),
    customer_managed_key=True,
    domains=Domains(
        rest=Domain("api.example.com", f"{CERTIFICATE}-0"),
        websocket=Domain("sockets.example.com", f"{CERTIFICATE}-1"),
    ),
    on_call=OnCall(
        required=True,
        page_emails=("on-call@example.com",),
        page_urls=("https://events.example.com/page",),
        ticket_emails=("team@example.com",),
        ticket_urls=("https://events.example.com/ticket",),
        runbook_url="https://wiki.example.com/runbook.md",
    ),
    limits=dataclasses.replace(
        PROD.limits,
        concurrency=Concurrency(authorizer=200, rest=50),
        web_acl_rate=2_000,
        routes={
            "POST /businesses/{businessId}/messages": Throttle(20, 40),
            "$connect": Throttle(300, 400),
        },
    ),
)
"""Prod with every option in use, among them three cleanup workers."""

_synthesized: dict[Path, dict[str, Template]] = {}


def every_option_templates(
    tmp_path_factory: pytest.TempPathFactory, source: Path
) -> dict[str, Template]:
    """Return its templates by stack."""
    if source not in _synthesized:
        outdir = tmp_path_factory.mktemp("cdk.out")
        _synthesized[source] = synthesize(outdir, source, [EVERY_OPTION])[EVERY_OPTION.name]
    return _synthesized[source]
