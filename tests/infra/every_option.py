"""An environment that uses every option.

Tests of an option use this one, so they do not depend on what a team sets in its own environments.
Unlike those, as shipped, it also names its account and its region. Its name is as long as a name
may be.
"""

from infra.configuration import (
    Canary,
    Cleanup,
    Concurrency,
    Domain,
    Domains,
    Environment,
    Feed,
    Limits,
    Oidc,
    OnCall,
    TableThroughput,
    Thresholds,
    Throttle,
)

CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/0"

EVERY_OPTION = Environment(
    name="every-option-set",
    account="123456789012",
    region="eu-central-1",
    log_retention_days=365,
    log_each_call=True,
    websocket_access_log=False,
    customer_managed_key=True,
    gradual_deployments=True,
    snap_start=True,
    oidc=Oidc(issuer="https://id.example", audience="orders", jwks_url="https://id.example/k"),
    domains=Domains(
        rest=Domain("api.example.com", f"{CERTIFICATE}-0"),
        websocket=Domain("sockets.example.com", f"{CERTIFICATE}-1"),
    ),
    cors_origins=("https://app.example.com", "http://localhost:5173"),
    cleanup=Cleanup(workers=3),
    feed=Feed(history_days=30),
    canary=Canary(interval=600),
    on_call=OnCall(
        required=True,
        page_emails=("on-call@example.com",),
        page_urls=("https://events.example.com/page",),
        ticket_emails=("team@example.com",),
        ticket_urls=("https://events.example.com/ticket",),
        runbook_url="https://wiki.example.com/runbook.md",
    ),
    alarms=Thresholds(single_business="nobody"),
    limits=Limits(
        routes={
            "POST /businesses/{businessId}/messages": Throttle(20, 40),
            "$connect": Throttle(300, 400),
        },
        web_acl_rate=2_000,
        concurrency=Concurrency(authorizer=200, rest=50),
        table=TableThroughput(read=20_000, write=12_000),
    ),
)
